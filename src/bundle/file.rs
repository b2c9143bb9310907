//! Bundles that own their bytes: read, or mapped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::{Bundle, BundleError, Tag};
use crate::runtime::{Kernels, Program, Storage};

/// Why a file cannot be opened as a bundle. Its text names the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file cannot be read or mapped.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no bundle, or a damaged one.
    #[error("{path}: {source}", path = path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BundleError,
    },
}

/// A bundle and the memory that it lies in. Programs that come from it keep that memory.
#[derive(Clone, Debug)]
pub struct File {
    storage: Arc<Storage>,
}

impl File {
    /// Maps a file: its pages are read when they are needed, and shared with everybody else who
    /// maps it.
    ///
    /// **Errors**: a file that cannot be mapped, or whose header or directory is refused.
    ///
    /// **Cost**: maps the file and makes one allocation; then reads the directory, and the rest
    /// when it is used.
    ///
    /// # Safety
    /// The file's contents must not change while it is mapped. Replacing it by another file of
    /// the same name, as [`write_atomically`](super::write_atomically) does, is no such change.
    #[allow(unsafe_code, reason = "a mapping is memory that others could write")]
    pub unsafe fn map(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let io = |source| FileError::Io { path: path.to_owned(), source };
        let file = fs::File::open(path).map_err(io)?;
        // SAFETY: promised by the caller.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
        Self::of(Arc::new(Storage::mapped(map)))
            .map_err(|source| FileError::Bundle { path: path.to_owned(), source })
    }

    /// Reads a file into memory of its own.
    ///
    /// **Errors**: a file that cannot be read, or whose header or directory is refused.
    ///
    /// **Cost**: reads and copies the file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let bytes =
            fs::read(path).map_err(|source| FileError::Io { path: path.to_owned(), source })?;
        Self::from_bytes(&bytes)
            .map_err(|source| FileError::Bundle { path: path.to_owned(), source })
    }

    /// Copies a bundle into memory of its own.
    ///
    /// **Errors**: a header or directory that is refused; no memory is
    /// [`BundleError::Misaligned`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BundleError> {
        Self::of(Arc::new(Storage::copied(bytes).ok_or(BundleError::Misaligned)?))
    }

    fn of(storage: Arc<Storage>) -> Result<Self, BundleError> {
        Bundle::open(storage.bytes())?;
        Ok(Self { storage })
    }

    /// The bundle.
    pub fn bundle(&self) -> Bundle<'_> {
        Bundle::opened_before(self.storage.bytes())
    }

    /// The program of a model, or of the only one; it keeps the memory of this file.
    ///
    /// **Errors**: those of [`Bundle::model`] (or [`Bundle::only_model`]) and
    /// [`Model::program`](super::Model::program).
    pub fn program(
        &self,
        model: Option<&str>,
        kernels: &Kernels,
    ) -> Result<Program<'static>, BundleError> {
        let bundle = self.bundle();
        let model = model.map_or_else(|| bundle.only_model(), |name| bundle.model(name))?;
        let section = model.section(Tag::PROGRAM)?;
        let start = section.as_ptr().addr() - self.storage.bytes().as_ptr().addr();
        let range = start..start + section.len();
        Program::from_storage(Arc::clone(&self.storage), range, kernels)
            .map_err(BundleError::Program)
    }
}
