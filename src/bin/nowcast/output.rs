//! Where results go: standard output, and files that are whole or not there.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

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

/// A file in the making: it has its name only once it is whole, so that whatever interrupts the
/// program leaves the file that was there before.
pub(crate) struct NewFile {
    path: PathBuf,
    partial: PathBuf,
    writer: Option<BufWriter<File>>,
}

impl NewFile {
    /// Begins a file beside its final place.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let name = path.file_name().ok_or_else(|| {
            Failure::User(format!("{} is no file name: name a file to write", path.display()))
        })?;
        let name = format!(".{}.{}.partial", name.to_string_lossy(), std::process::id());
        let partial = path.with_file_name(name);
        let file =
            File::create(&partial).map_err(|error| Failure::writing(path.display(), &error))?;
        Ok(Self { path: path.to_owned(), partial, writer: Some(BufWriter::new(file)) })
    }

    /// Gives the file its name.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let flushed = self.flush();
        self.writer = None;
        flushed
            .and_then(|()| std::fs::rename(&self.partial, &self.path))
            .map_err(|error| Failure::writing(self.path.display(), &error))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.as_mut().map_or(Ok(0), |writer| writer.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), |writer| writer.flush())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        self.writer = None;
        // After `finish` there is nothing to remove.
        let _ = std::fs::remove_file(&self.partial);
    }
}

/// Writes a whole file.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut file = NewFile::create(path)?;
    file.write_all(bytes).map_err(|error| Failure::writing(path.display(), &error))?;
    file.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_not_there() {
        let folder = std::env::temp_dir().join(format!("nowcast-output-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("out.csv");
        write_file(&path, b"before").expect("written");
        let mut file = NewFile::create(&path).expect("begun");
        file.write_all(b"half").expect("written");
        file.flush().expect("written");
        assert_eq!(std::fs::read(&path).expect("there"), b"before");
        drop(file);
        assert_eq!(std::fs::read(&path).expect("there"), b"before");
        write_file(&path, b"after").expect("written");
        assert_eq!(std::fs::read(&path).expect("there"), b"after");
        assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 1);
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
