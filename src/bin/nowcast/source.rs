//! Where a model comes from: an ONNX file or a bundle, told apart by their first bytes.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

use nowcast::bundle::{self, File, FileError, MAGIC};

use crate::arrays::read_input;
use crate::failure::Failure;

/// A model's file, opened.
pub(crate) struct Source {
    /// What errors call it.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// For opening it.
    pub(crate) open_ns: u64,
}

/// What is in it.
pub(crate) enum Kind {
    /// ONNX; the bytes where the model has no file.
    Onnx(Option<Vec<u8>>),
    Bundle(File),
}

impl Source {
    /// Opens a file; `-` is standard input.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let started = Instant::now();
        let (name, kind) = match is_file(path) {
            true if is_bundle(path) => (path.display().to_string(), Kind::Bundle(map(path)?)),
            true => (path.display().to_string(), Kind::Onnx(None)),
            // What is no file can be read once.
            false => {
                let (name, bytes) = read_input(path)?;
                let kind = match bytes.starts_with(MAGIC) {
                    true => Kind::Bundle(
                        File::from_bytes(&bytes)
                            .map_err(|error| Failure::User(format!("{name}: {error}")))?,
                    ),
                    false => Kind::Onnx(Some(bytes)),
                };
                (name, kind)
            }
        };
        Ok(Self { name, kind, open_ns: started.elapsed().as_nanos() as u64 })
    }

    /// The bundle, if it is one.
    pub(crate) fn bundle(&self) -> Option<&File> {
        match &self.kind {
            Kind::Bundle(file) => Some(file),
            Kind::Onnx(_) => None,
        }
    }

    /// Reads every byte of a bundle against its checksum; the time that took.
    pub(crate) fn verify(&self) -> Result<u64, Failure> {
        let started = Instant::now();
        if let Some(file) = self.bundle() {
            file.bundle()
                .verify()
                .map_err(|error| Failure::User(format!("{}: {error}", self.name)))?;
        }
        Ok(started.elapsed().as_nanos() as u64)
    }

    /// The model of a bundle that is named, or its only one.
    pub(crate) fn model(&self, name: Option<&str>) -> Result<bundle::Model<'_>, Failure> {
        let file =
            self.bundle().ok_or_else(|| Failure::Internal("this is no bundle".to_owned()))?;
        let bundle = file.bundle();
        let found = name.map_or_else(|| bundle.only_model(), |name| bundle.model(name));
        found.map_err(|_| {
            let names: Vec<_> = bundle.models().map(|model| model.name()).collect();
            let (file, list) = (&self.name, names.join(", "));
            Failure::User(match name {
                Some(name) => format!("{file}: there is no model {name:?}, only [{list}]"),
                None => format!(
                    "{file}: the bundle has {} models, [{list}]: choose one with --name",
                    names.len()
                ),
            })
        })
    }
}

/// Whether a path can be read more than once. One that is not there is left to whoever reads it.
fn is_file(path: &Path) -> bool {
    path.as_os_str() != "-" && !fs::metadata(path).is_ok_and(|data| !data.is_file())
}

fn is_bundle(path: &Path) -> bool {
    let mut first = [0; MAGIC.len()];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut first));
    read.is_ok() && first == *MAGIC
}

#[allow(unsafe_code, reason = "a mapping is memory that others could write")]
fn map(path: &Path) -> Result<File, Failure> {
    // SAFETY: `nowcast compile` replaces a bundle and never writes into one; whoever writes into a
    // file that a running command has opened is beyond what a command can guard against.
    unsafe { File::map(path) }.map_err(|error: FileError| Failure::User(error.to_string()))
}
