//! What the file says: its text, read in one piece, and what that means.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::FileError;
use super::edit::Document;
use crate::capabilities::KeyPath;

/// A configuration file is a few kilobytes; with 10,000 routes, half a megabyte.
pub(super) const MOST_BYTES: u64 = 32 << 20;

/// What is so small is handled where it is asked for: another thread would take longer to wake up.
pub(super) const SMALL: usize = 64 << 10;

/// One state of the file.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) document: Document,
    pub(super) revision: String,
}

impl Contents {
    /// What the bytes of the file of this name mean.
    pub(super) fn parse(name: &str, bytes: Vec<u8>) -> Result<Self, FileError> {
        let name = || name.to_owned();
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = error.as_bytes().get(..error.utf8_error().valid_up_to());
            let lines = valid.unwrap_or_default().iter().filter(|byte| **byte == b'\n');
            FileError::NotText { name: name(), line: lines.count() + 1 }
        })?;
        let document =
            Document::read(text).map_err(|source| FileError::Yaml { name: name(), source })?;
        Ok(Self::new(document))
    }

    pub(super) fn new(document: Document) -> Self {
        let hash = Sha256::digest(document.text());
        Self { document, revision: hash.iter().map(|byte| format!("{byte:02x}")).collect() }
    }

    pub(super) fn text(&self) -> &str {
        self.document.text()
    }

    pub(super) fn at(&self, path: &KeyPath) -> Value {
        let value = path.keys().try_fold(self.document.json(), |value, key| value.get(key));
        value.cloned().unwrap_or(Value::Null)
    }
}

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let name = || super::replace::name(path);
    let read = |source| FileError::Read { name: name(), source };
    // A pipe in the file's place would make the open wait for a writer.
    let nonblocking = OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(read)?;
    let metadata = file.metadata().map_err(read)?;
    let mut bytes = Vec::new();
    if metadata.is_file() {
        // One more than it has, so that one read finds the end.
        bytes.reserve(metadata.len().min(MOST_BYTES) as usize + 1);
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(read)?;
    }
    if !metadata.is_file() || bytes.len() as u64 > MOST_BYTES {
        return Err(FileError::NotAFile { name: name() });
    }
    Ok(bytes)
}

/// Reads a small file if that needs no wait: all of it is in memory, and the kernel says so. Nothing
/// otherwise, and on systems that cannot say.
#[cfg(target_os = "linux")]
pub(super) fn look(path: &Path) -> Option<Vec<u8>> {
    use std::io::IoSliceMut;

    use rustix::fs::{CWD, Mode, ResolveFlags, openat2};
    use rustix::io::{ReadWriteFlags, preadv2};

    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file: File = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED).ok()?.into();
    let metadata = file.metadata().ok().filter(|metadata| metadata.is_file())?;
    let mut bytes =
        vec![0; usize::try_from(metadata.len()).ok().filter(|size| *size <= SMALL)? + 1];
    let read = preadv2(&file, &mut [IoSliceMut::new(&mut bytes)], 0, ReadWriteFlags::NOWAIT);
    // Shorter than it was: somebody is at it. Longer likewise.
    let read = read.ok().filter(|read| read + 1 == bytes.len())?;
    bytes.truncate(read);
    Some(bytes)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn look(_: &Path) -> Option<Vec<u8>> {
    None
}
