//! Why the configuration file cannot be read or written.

use std::io;

use super::contents::MOST_BYTES;
use super::replace::PATIENCE;
use super::{SettingsError, edit};
use crate::capabilities::{ConfigError, KeyPath};

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A value is not what it should be.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// Why the configuration file cannot be read or written. The texts name the file without its
/// folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    #[error("{name} cannot be read: {source}")]
    Read {
        /// The file's name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// It is too large, or no regular file.
    #[error("{name} is not a file of at most {MOST_BYTES} bytes")]
    NotAFile {
        /// The file's name.
        name: String,
    },
    /// It is not text.
    #[error("{name} is not valid UTF-8 on line {line}")]
    NotText {
        /// The file's name.
        name: String,
        /// The first line that is not, from 1.
        line: usize,
    },
    /// It is not valid YAML, or not in a form that can be changed.
    #[error("{name}, {source}")]
    Yaml {
        /// The file's name.
        name: String,
        /// Where, and what is wrong.
        source: edit::EditError,
    },
    /// The change would make it larger than what can be read.
    #[error("{name} would be larger than {MOST_BYTES} bytes")]
    TooLarge {
        /// The file's name.
        name: String,
    },
    /// It cannot be written. Nothing was changed.
    #[error("{name} cannot be written: {source}")]
    Write {
        /// The file's name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// It was written, and its folder cannot be made durable.
    #[error("{name} was written, but may not outlive a power failure: {source}")]
    Sync {
        /// The file's name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// It is a mount point of its own, which no rename can replace.
    #[error("{name} is mounted as a single file and cannot be replaced: mount its folder instead")]
    Mounted {
        /// The file's name.
        name: String,
    },
    /// Other writers hold the lock.
    #[error("{name} has been locked by other writers for more than {} s", PATIENCE.as_secs())]
    Locked {
        /// The file's name.
        name: String,
    },
    /// A key that is to be written is overridden in the environment.
    #[error(
        "'{key}' is set by the environment variable {variable}, so a change in the file would not show"
    )]
    Overridden {
        /// The key path.
        key: KeyPath,
        /// The variable.
        variable: String,
    },
    /// The file is not at the revision that was expected.
    #[error("the configuration was changed meanwhile")]
    Conflict,
}

impl From<FileError> for ConfigError {
    fn from(error: FileError) -> Self {
        let text = error.to_string();
        match error {
            FileError::Conflict => Self::Conflict,
            // The caller can do no more about it than about a conflict; the operator can.
            FileError::Locked { .. } => {
                tracing::warn!("{text}");
                Self::Conflict
            }
            FileError::Yaml { .. } | FileError::NotText { .. } | FileError::NotAFile { .. } => {
                Self::InvalidFile(text)
            }
            FileError::Overridden { .. } | FileError::TooLarge { .. } => Self::Other(text),
            FileError::Read { .. }
            | FileError::Write { .. }
            | FileError::Sync { .. }
            | FileError::Mounted { .. } => Self::Unavailable(text),
        }
    }
}
