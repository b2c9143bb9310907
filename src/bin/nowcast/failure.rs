//! How a verb fails.

use std::fmt;
use std::io;

/// Why a verb did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A mistake of the user: one sentence with the file, what was expected and what to do.
    User(String),
    /// A mistake of ours.
    Internal(String),
    /// A check that was asked for says no.
    Different(String),
    /// Whoever reads our output has stopped.
    Closed,
}

impl Failure {
    /// The status that the process exits with.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::User(_) => 2,
            Self::Internal(_) | Self::Different(_) => 1,
            Self::Closed => 0,
        }
    }

    /// `error`, met while writing to `to`.
    pub(crate) fn writing(to: impl fmt::Display, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::User(format!("{to} cannot be written: {error}")),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(sentence) | Self::Different(sentence) => f.write_str(sentence),
            Self::Internal(what) => write!(f, "{what} (this is a defect of nowcast: report it)"),
            Self::Closed => f.write_str("the output was closed"),
        }
    }
}
