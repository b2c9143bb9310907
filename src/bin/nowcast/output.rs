//! Where results go: standard output, and files that are whole or not there.

use std::io::{self, Write};
use std::path::Path;

use nowcast::bundle::{NewFile, write_atomically};

use crate::failure::Failure;

/// Writes text to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::writing("standard output", &error))
}

/// Writes a value to standard output as JSON.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::Internal(format!("the result is no JSON: {error}")))?;
    print(&(text + "\n"))
}

/// Begins a file that is whole or not there.
pub(crate) fn create(path: &Path) -> Result<NewFile, Failure> {
    NewFile::create(path).map_err(|error| Failure::writing(path.display(), &error))
}

/// Gives a file its name.
pub(crate) fn finish(path: &Path, file: NewFile) -> Result<(), Failure> {
    file.finish().map_err(|error| Failure::writing(path.display(), &error))
}

/// Writes a whole file.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_atomically(path, bytes).map_err(|error| Failure::writing(path.display(), &error))
}
