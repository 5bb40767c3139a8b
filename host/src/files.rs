//! Files whose paths somebody else may have prepared.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Why a file is not read. The texts have no path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It cannot be opened or read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is a folder, a pipe, a device or the like.
    #[error("it is no regular file")]
    NotAFile,
}

/// Opens a regular file to be read. What was opened is what was looked at, and a pipe in its place is
/// not waited for until somebody writes to it.
///
/// # Errors
///
/// See [`OpenError`].
pub fn open(path: &Path) -> Result<File, OpenError> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(OpenError::NotAFile),
    }
}

/// All of a regular file.
///
/// # Errors
///
/// See [`OpenError`].
pub fn read(path: &Path) -> Result<Vec<u8>, OpenError> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    // covers: files.regular
    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for path in [&*pipe, folder.path(), Path::new("/dev/null")] {
            assert!(matches!(read(path), Err(OpenError::NotAFile)), "{}", path.display());
        }
        let file = folder.path().join("file");
        assert!(matches!(read(&file), Err(OpenError::Read(_))));
        std::fs::write(&file, "text").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read(&link).unwrap(), b"text");
    }
}
