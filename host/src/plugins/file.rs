//! A component's file, and its hash.

use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::files::{self, OpenError};

/// The largest component, in bytes. What componentize-py makes has some twenty million.
const LARGEST: u64 = 256 << 20;

/// Why a component's file was not read. The texts have no path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    #[error("its file cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is larger than any component.
    #[error("its file has more than {LARGEST} bytes")]
    TooLarge,
    /// It is a folder, a pipe or the like.
    #[error("its file is no regular file")]
    NotAFile,
}

impl From<OpenError> for FileError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Read(error) => Self::Read(error),
            OpenError::NotAFile => Self::NotAFile,
        }
    }
}

/// The SHA-256 of these bytes, in lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A component, and the hash of exactly these bytes: the file may be another one a moment later.
pub(super) struct Component {
    pub(super) bytes: Vec<u8>,
    pub(super) sha256: String,
}

/// Reads a file off the threads that serve requests.
pub(super) async fn read(path: &Path) -> Result<Component, FileError> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_now(&path)).await;
    read.unwrap_or_else(|lost| Err(FileError::Read(io::Error::other(lost))))
}

fn read_now(path: &Path) -> Result<Component, FileError> {
    let mut bytes = Vec::new();
    files::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(FileError::TooLarge);
    }
    let sha256 = sha256(&bytes);
    Ok(Component { bytes, sha256 })
}
