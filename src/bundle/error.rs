//! Why a bundle is refused: numbers and names, never owned text.

use core::fmt;

use super::Tag;
use crate::runtime::ImageError;

/// Why a bundle, or something in it, is refused. Nothing was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BundleError {
    /// It does not begin as a bundle does.
    NotABundle,
    /// It has another version of the format than this build reads.
    Version {
        /// The bundle's version.
        found: u32,
        /// The version that this build reads.
        expected: u32,
    },
    /// It is shorter than it says.
    Truncated {
        /// Bytes there are.
        found: u64,
        /// Bytes it says.
        expected: u64,
    },
    /// It does not lie on a boundary of [`ALIGNMENT`](super::ALIGNMENT).
    Misaligned,
    /// Its header or directory is damaged.
    Directory,
    /// A section is damaged.
    Checksum {
        /// Which section.
        tag: Tag,
        /// Of which model, by position.
        model: usize,
    },
    /// It has no model of the name that was asked for.
    NoSuchModel,
    /// It has several models or none, and none was named.
    NotOneModel {
        /// Models it has.
        models: usize,
    },
    /// The model has no such section.
    NoSection {
        /// Which section.
        tag: Tag,
    },
    /// The metadata is not text.
    Metadata,
    /// The program does not pass its check.
    Program(ImageError),
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotABundle => write!(f, "this is not a nowcast bundle"),
            Self::Version { found, expected } => {
                let (age, act) = if found > expected {
                    ("newer", "read it with a newer nowcast")
                } else {
                    ("older", "compile the model again")
                };
                write!(
                    f,
                    "the bundle has format version {found}, {age} than the {expected} that this \
                     build reads: {act}"
                )
            }
            Self::Truncated { found, expected } => {
                write!(f, "the bundle has {found} bytes of {expected}: the file is cut short")
            }
            Self::Misaligned => write!(f, "the bundle does not lie on a 64-byte boundary"),
            Self::Directory => write!(f, "the bundle's header or directory is damaged"),
            Self::Checksum { tag, model } => {
                write!(f, "section {tag} of model {model} is damaged: its checksum differs")
            }
            Self::NoSuchModel => write!(f, "the bundle has no model of this name"),
            Self::NotOneModel { models } => {
                write!(f, "the bundle has {models} models: name the one to use")
            }
            Self::NoSection { tag } => write!(f, "the model has no section {tag}"),
            Self::Metadata => write!(f, "the metadata is not text"),
            Self::Program(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for BundleError {}
