//! Files that are whole or not there.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file in the making: it has its name only once it is whole and on the disk, so that whatever
/// interrupts the program leaves the file that was there before. Until then it is a hidden file
/// beside that name, which a drop removes; a process that is killed leaves it.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    partial: PathBuf,
    writer: Option<BufWriter<File>>,
}

impl NewFile {
    /// Begins a file beside its final place.
    ///
    /// **Errors**: a path without a file name; those of the file system.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let no_name = || io::Error::new(io::ErrorKind::InvalidInput, "this is no file name");
        let name = path.file_name().ok_or_else(no_name)?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.partial", std::process::id()));
        let partial = path.with_file_name(hidden);
        let file = File::create(&partial)?;
        Ok(Self { path: path.to_owned(), partial, writer: Some(BufWriter::new(file)) })
    }

    /// Puts the file on the disk and gives it its name. Whoever has the old file mapped keeps the
    /// old file.
    ///
    /// **Errors**: those of the file system; a file that was there is unchanged then.
    pub fn finish(mut self) -> io::Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&self.partial, &self.path)?;
        // The new name is on the disk when its folder is.
        #[cfg(unix)]
        if let Some(folder) = self.path.parent() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.as_mut().map_or(Ok(0), |writer| writer.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        self.writer = None;
        // After `finish` there is nothing to remove.
        let _ = std::fs::remove_file(&self.partial);
    }
}

/// Writes a file whole or not at all: to a temporary name beside it, to the disk, then under its
/// name.
///
/// **Errors**: those of the file system; a file that was there is unchanged then.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
    let mut file = NewFile::create(path)?;
    file.write_all(bytes)?;
    file.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_not_there() {
        let folder = std::env::temp_dir().join(format!("nowcast-new-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("out.csv");
        write_atomically(&path, b"before").expect("written");
        let mut file = NewFile::create(&path).expect("begun");
        file.write_all(b"half").expect("written");
        file.flush().expect("written");
        assert_eq!(std::fs::read(&path).expect("there"), b"before");
        drop(file);
        assert_eq!(std::fs::read(&path).expect("there"), b"before");
        write_atomically(&path, b"after").expect("written");
        assert_eq!(std::fs::read(&path).expect("there"), b"after");
        assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 1);
        std::fs::remove_dir_all(&folder).expect("removed");
        assert!(NewFile::create("/").is_err());
    }
}
