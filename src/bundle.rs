//! Bundles: models in one flat file that is run where it lies.
//!
//! Owns the format of `.nowcast` files: sections with a tag, each on a 64-byte boundary, for one
//! or several named models. Its invariant: a [`Bundle`] that exists names only sections that lie
//! within it, behind one another, and its header and directory are undamaged. It does not know
//! what is in a section: programs are [`runtime`](crate::runtime)'s, forecasters
//! [`forecast`](crate::forecast)'s.
//!
//! Opening reads the directory and copies nothing; [`Bundle::verify`] reads every byte. All
//! numbers are little-endian:
//!
//! | bytes | contents |
//! |---|---|
//! | 0..8 | `NOWCAST\0` |
//! | 8..24 | content hash: XXH3-128 of bytes 24 to the end of the directory |
//! | 24..28 | version of the format |
//! | 28..32 | number of sections |
//! | 32..36 | number of models |
//! | 36..40 | zero |
//! | 40..48 | length of the file |
//! | 48..56 | end of the directory |
//! | 56..64 | zero |
//! | 64.. | directory: a section each 32 bytes (tag, model, place, length, checksum), a model each 8 bytes (place of its name, length), the names, each ended by a zero |
//! | .. | sections, each filled with zeros to a multiple of 64 bytes |
//!
//! A checksum is XXH3-64 of a section and the zeros behind it. The directory holds the checksums
//! and the content hash covers the directory, so the hash stands for every byte. It tells damage,
//! not malice: it is no signature.
//!
//! # Examples
//! ```
//! # #[cfg(feature = "onnx")] {
//! use nowcast::bundle::{File, Writer};
//! use nowcast::load::{self, Options};
//! use nowcast::runtime::{KERNELS, Session};
//!
//! let options = Options::new().dim("batch", 1);
//! let program = load::from_path("models/jfk-lstm/model.onnx", &options)?;
//! let mut writer = Writer::new();
//! writer.model("lstm")?.program(&program);
//! let file = File::from_bytes(&writer.finish()?)?;
//!
//! let bundle = file.bundle();
//! bundle.verify()?;
//! let program = bundle.only_model()?.program(&KERNELS)?;
//! let mut session = Session::new(&program)?;
//! session.run()?;
//! # }
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod error;
#[cfg(feature = "std")]
mod file;
#[cfg(feature = "std")]
mod new_file;
#[cfg(feature = "std")]
mod write;

use core::ffi::CStr;
use core::fmt;

use twox_hash::{XxHash3_64, XxHash3_128};

use crate::runtime::{Kernels, Program};
use crate::tensor::view;

pub use error::BundleError;
#[cfg(feature = "std")]
pub use file::{File, FileError};
#[cfg(feature = "std")]
pub use new_file::{NewFile, write_atomically};
#[cfg(feature = "std")]
pub use write::{ModelWriter, Writer};

/// How a bundle begins.
pub const MAGIC: &[u8; 8] = b"NOWCAST\0";
/// The version of the format that this build reads and writes.
pub const VERSION: u32 = 1;
/// Where a bundle and each of its sections begins: a multiple of this.
pub const ALIGNMENT: usize = 64;
const HEADER_BYTES: usize = 64;
/// What the content hash covers begins here.
const HASHED_FROM: usize = 24;
const SECTION_BYTES: usize = 32;
const MODEL_BYTES: usize = 8;
/// Models in one bundle.
const MAX_MODELS: usize = 256;
/// Sections in one bundle.
const MAX_SECTIONS: usize = 4096;

/// What a section is: four letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(pub [u8; 4]);

impl Tag {
    /// The image of a [`Program`].
    pub const PROGRAM: Self = Self(*b"PROG");
    /// What is known of the model, as JSON.
    pub const METADATA: Self = Self(*b"META");
    /// What lies between a series and the program:
    /// [`Forecaster::from_model`](crate::forecast::Forecaster::from_model).
    pub const FORECASTER: Self = Self(*b"FCST");
    /// A [`Gaussian`](crate::sampling::Gaussian), factored.
    pub const GAUSSIAN: Self = Self(*b"GAUS");
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{}", byte.escape_ascii()))
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A bundle where it lies: in memory, in a mapped file, in flash.
#[derive(Clone, Copy)]
pub struct Bundle<'a> {
    bytes: &'a [u8],
}

/// A section of a bundle.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// What it is.
    pub tag: Tag,
    /// Its contents, on a boundary of [`ALIGNMENT`].
    pub bytes: &'a [u8],
    /// The model that it belongs to, by position.
    pub model: usize,
    /// What XXH3-64 of the contents and the zeros behind them was when it was written.
    pub checksum: u64,
    /// The contents and the zeros behind them.
    padded: &'a [u8],
}

/// A model of a bundle.
#[derive(Clone, Copy)]
pub struct Model<'a> {
    bundle: Bundle<'a>,
    index: usize,
    name: &'a str,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn usize_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64_at(bytes, at)?).ok()
}

impl<'a> Bundle<'a> {
    /// The bundle at the start of `bytes`, which may be longer, as a partition of flash is.
    ///
    /// Header and directory are checked whole; contents of sections are not read. A program is
    /// checked when it is opened: [`Model::program`].
    ///
    /// **Errors**: any of [`BundleError`] but those of programs and forecasters.
    ///
    /// **Cost**: reads the directory, copies nothing; no allocation.
    pub fn open(bytes: &'a [u8]) -> Result<Self, BundleError> {
        if !bytes.starts_with(MAGIC) {
            return Err(BundleError::NotABundle);
        }
        let truncated = |expected| BundleError::Truncated { found: bytes.len() as u64, expected };
        let version = u32_at(bytes, 24).ok_or(truncated(HEADER_BYTES as u64))?;
        if version != VERSION {
            return Err(BundleError::Version { found: version, expected: VERSION });
        }
        if !bytes.as_ptr().addr().is_multiple_of(ALIGNMENT) {
            return Err(BundleError::Misaligned);
        }
        let length = u64_at(bytes, 40).ok_or(truncated(HEADER_BYTES as u64))?;
        let whole = usize::try_from(length).ok().and_then(|length| bytes.get(..length));
        let bytes = whole.ok_or(truncated(length))?;
        let bundle = Self { bytes };
        let hash = bundle.hashed().map(XxHash3_128::oneshot).ok_or(BundleError::Directory)?;
        if bytes[8..24] != hash.to_le_bytes() {
            return Err(BundleError::Directory);
        }
        bundle.check().ok_or(BundleError::Directory)?;
        Ok(bundle)
    }

    /// Takes bytes that have been opened before.
    #[cfg(feature = "std")]
    fn opened_before(bytes: &'a [u8]) -> Self {
        let length = usize_at(bytes, 40).unwrap_or_default();
        Self { bytes: bytes.get(..length).unwrap_or_default() }
    }

    /// What the content hash covers.
    fn hashed(&self) -> Option<&'a [u8]> {
        self.bytes.get(HASHED_FROM..usize_at(self.bytes, 48)?)
    }

    /// Whether the directory is one: sections behind one another from its end to that of the
    /// file, names that can be read, each once.
    fn check(&self) -> Option<()> {
        let directory_end = usize_at(self.bytes, 48)?;
        let (sections, models) = (self.sections_len(), self.models_len());
        if sections > MAX_SECTIONS || models > MAX_MODELS {
            return None;
        }
        let tables = HEADER_BYTES + sections * SECTION_BYTES + models * MODEL_BYTES;
        let mut end = directory_end;
        let zeros = u32_at(self.bytes, 36)? == 0 && u64_at(self.bytes, 56)? == 0;
        if tables > directory_end || !end.is_multiple_of(ALIGNMENT) || !zeros {
            return None;
        }
        for i in 0..sections {
            let (model, place, length) = self.section_place(i)?;
            if place != end || model >= models {
                return None;
            }
            end = end.checked_add(length)?.checked_next_multiple_of(ALIGNMENT)?;
        }
        for i in 0..models {
            let name = self.name(i)?;
            if name.is_empty() || (0..i).any(|earlier| self.name(earlier) == Some(name)) {
                return None;
            }
        }
        (end == self.bytes.len()).then_some(())
    }

    fn sections_len(&self) -> usize {
        u32_at(self.bytes, 28).unwrap_or(0) as usize
    }

    fn models_len(&self) -> usize {
        u32_at(self.bytes, 32).unwrap_or(0) as usize
    }

    /// Model, place and length of section `i`.
    fn section_place(&self, i: usize) -> Option<(usize, usize, usize)> {
        let at = HEADER_BYTES + i * SECTION_BYTES;
        let model = u32_at(self.bytes, at + 4)? as usize;
        Some((model, usize_at(self.bytes, at + 8)?, usize_at(self.bytes, at + 16)?))
    }

    /// A name and the zero that ends it.
    fn name_bytes(&self, i: usize) -> Option<&'a [u8]> {
        let at = HEADER_BYTES + self.sections_len() * SECTION_BYTES + i * MODEL_BYTES;
        let place = u32_at(self.bytes, at)? as usize;
        let len = u32_at(self.bytes, at + 4)?.checked_add(1)?;
        let directory = self.bytes.get(..usize_at(self.bytes, 48)?)?;
        directory.get(place..)?.get(..len as usize).filter(|name| name.ends_with(&[0]))
    }

    fn name(&self, i: usize) -> Option<&'a str> {
        core::str::from_utf8(self.name_bytes(i)?.split_last()?.1).ok()
    }

    fn c_name(&self, i: usize) -> Option<&'a CStr> {
        CStr::from_bytes_until_nul(self.name_bytes(i)?).ok()
    }

    fn section(&self, i: usize) -> Option<Section<'a>> {
        let at = HEADER_BYTES + i * SECTION_BYTES;
        let (model, place, length) = self.section_place(i)?;
        let padded = self.bytes.get(place..)?.get(..length.next_multiple_of(ALIGNMENT))?;
        let tag = Tag(*self.bytes.get(at..)?.first_chunk()?);
        let checksum = u64_at(self.bytes, at + 24)?;
        Some(Section { tag, bytes: &padded[..length], model, checksum, padded })
    }

    /// Reads every byte against its checksum.
    ///
    /// **Errors**: [`BundleError::Checksum`], with the first section that is damaged.
    ///
    /// **Cost**: about that of reading the bytes; no allocation.
    pub fn verify(&self) -> Result<(), BundleError> {
        for section in self.sections() {
            if XxHash3_64::oneshot(section.padded) != section.checksum {
                return Err(BundleError::Checksum { tag: section.tag, model: section.model });
            }
        }
        Ok(())
    }

    /// The hash that stands for every byte of the bundle.
    pub fn content_hash(&self) -> [u8; 16] {
        let mut hash = [0; 16];
        hash.copy_from_slice(&self.bytes[8..24]);
        hash
    }

    /// The bundle's bytes, and no more.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// All sections, in the order of the file.
    pub fn sections(&self) -> impl Iterator<Item = Section<'a>> + use<'a> {
        let bundle = *self;
        (0..bundle.sections_len()).filter_map(move |i| bundle.section(i))
    }

    /// All models, in the order of the file.
    pub fn models(&self) -> impl Iterator<Item = Model<'a>> + use<'a> {
        let bundle = *self;
        (0..bundle.models_len())
            .filter_map(move |index| Some(Model { bundle, index, name: bundle.name(index)? }))
    }

    /// The model of this name.
    ///
    /// **Errors**: [`BundleError::NoSuchModel`].
    pub fn model(&self, name: &str) -> Result<Model<'a>, BundleError> {
        self.models().find(|model| model.name == name).ok_or(BundleError::NoSuchModel)
    }

    /// The model of a bundle that has one.
    ///
    /// **Errors**: [`BundleError::NotOneModel`].
    pub fn only_model(&self) -> Result<Model<'a>, BundleError> {
        let models = self.models_len();
        let mut all = self.models();
        let first = all.next().filter(|_| models == 1);
        first.ok_or(BundleError::NotOneModel { models })
    }
}

impl<'a> Model<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Its name as C reads it: up to its first NUL.
    pub fn c_name(&self) -> &'a CStr {
        self.bundle.c_name(self.index).unwrap_or_default()
    }

    /// Its sections, in the order of the file.
    pub fn sections(&self) -> impl Iterator<Item = Section<'a>> + use<'a> {
        let index = self.index;
        self.bundle.sections().filter(move |section| section.model == index)
    }

    /// The contents of its first section of this kind, on a boundary of [`ALIGNMENT`].
    ///
    /// **Errors**: [`BundleError::NoSection`].
    pub fn section(&self, tag: Tag) -> Result<&'a [u8], BundleError> {
        let found = self.sections().find(|section| section.tag == tag);
        found.map(|section| section.bytes).ok_or(BundleError::NoSection { tag })
    }

    /// Its program, run where it lies. `kernels` is [`KERNELS`](crate::runtime::KERNELS), or the
    /// few that it needs.
    ///
    /// **Errors**: [`BundleError::NoSection`]; [`BundleError::Program`] for an image that does not
    /// pass its check or a kernel that is not in `kernels`.
    ///
    /// **Cost**: checks every step and table; copies nothing, no allocation.
    pub fn program(&self, kernels: &Kernels) -> Result<Program<'a>, BundleError> {
        let words = view::<u32>(self.section(Tag::PROGRAM)?).ok_or(BundleError::Misaligned)?;
        Program::from_words(words, kernels).map_err(BundleError::Program)
    }

    /// What is known of the model: JSON, empty if nothing was written.
    ///
    /// **Errors**: [`BundleError::Metadata`] if it is not text.
    pub fn metadata(&self) -> Result<&'a str, BundleError> {
        let bytes = self.section(Tag::METADATA).unwrap_or_default();
        core::str::from_utf8(bytes).map_err(|_| BundleError::Metadata)
    }
}

impl fmt::Debug for Bundle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle")
            .field("bytes", &self.bytes.len())
            .field("models", &self.models_len())
            .field("sections", &self.sections_len())
            .finish()
    }
}

impl fmt::Debug for Model<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("name", &self.name).finish_non_exhaustive()
    }
}
