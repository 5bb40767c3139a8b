//! The configuration file: read again whenever it has changed, and written with compare-and-set.
//!
//! A write replaces the file by a rename, so that a reader and a crash find either the old or the
//! new text. Around the comparison and the rename an advisory lock is held on a sibling file
//! (`harperdb-config.yaml.lock`), by every writer in every process; never around anything that
//! waits for a network.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Overrides, backup, edit};
use crate::capabilities::{BoxFuture, Change, Config, ConfigError, KeyPath, Snapshot};

/// A configuration file is a few kilobytes; with 10,000 routes, half a megabyte.
const MOST_BYTES: u64 = 32 << 20;

/// How long another process may hold the lock. It is held for milliseconds.
const LOCK_DEADLINE: Duration = Duration::from_secs(5);

/// A pipe in a file's place would make the open wait for its other end.
const NONBLOCKING: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;

/// The configuration file of a node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    overrides: Overrides,
    /// What was read last. It is used again while the file has the same bytes.
    last: Mutex<Option<Arc<Contents>>>,
    /// Writers of this process queue here, in turn, and not at the lock file.
    writer: Arc<tokio::sync::Mutex<()>>,
}

/// One state of the file.
#[derive(Debug)]
struct Contents {
    text: String,
    document: Value,
    revision: String,
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
    /// It cannot be written. Nothing was changed.
    #[error("{name} cannot be written: {source}")]
    Write {
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
    /// Another process holds the lock.
    #[error("{name} has been locked by another process for more than {} s", LOCK_DEADLINE.as_secs())]
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
            FileError::Yaml { .. } | FileError::NotText { .. } | FileError::NotAFile { .. } => {
                Self::InvalidFile(text)
            }
            FileError::Overridden { .. } => Self::Other(text),
            FileError::Read { .. }
            | FileError::Write { .. }
            | FileError::Mounted { .. }
            | FileError::Locked { .. } => Self::Unavailable(text),
        }
    }
}

impl ConfigFile {
    /// The file at `path`, which must be there and valid. It reads what it finds there at each
    /// access; a symbolic link is followed.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        Self::with_overrides(path, Overrides::default())
    }

    /// The same, with values that lie over those of the file and are never written into it.
    pub fn with_overrides(
        path: impl Into<PathBuf>,
        overrides: Overrides,
    ) -> Result<Self, FileError> {
        let inner =
            Inner { path: path.into(), overrides, last: Mutex::default(), writer: Arc::default() };
        inner.read()?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The whole document, with the overrides over it.
    pub fn document(&self) -> Result<Value, FileError> {
        let mut document = self.inner.read()?.document.clone();
        self.inner.overrides.apply(&mut document);
        Ok(document)
    }
}

impl Config for ConfigFile {
    fn get(&self, paths: Vec<KeyPath>) -> BoxFuture<'_, Result<Snapshot, ConfigError>> {
        let inner = self.inner.clone();
        Box::pin(off_the_runtime(move || {
            let contents = inner.read()?;
            let value = |path: &KeyPath| match inner.overrides.get(path) {
                Some(value) => value.clone(),
                None => at(&contents.document, path),
            };
            Ok(Snapshot {
                revision: contents.revision.clone(),
                values: paths.iter().map(value).collect(),
            })
        }))
    }

    fn set(
        &self,
        expected: String,
        changes: Vec<Change>,
    ) -> BoxFuture<'_, Result<String, ConfigError>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            let turn = inner.writer.clone().lock_owned().await;
            off_the_runtime(move || {
                // In here, so that who gives up waiting does not let the next writer in early.
                let _turn = turn;
                inner.write(&expected, &changes)
            })
            .await
        })
    }
}

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, ConfigError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(ConfigError::from),
        Err(error) => {
            tracing::error!("the configuration file was not handled: {error}");
            Err(ConfigError::Other("The configuration file could not be handled".into()))
        }
    }
}

impl Inner {
    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn read(&self) -> Result<Arc<Contents>, FileError> {
        let bytes = self.read_bytes(&self.path)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // A few kilobytes are compared sooner than any time stamp could be trusted.
        if let Some(last) = last.as_ref().filter(|last| last.text.as_bytes() == bytes) {
            return Ok(last.clone());
        }
        let contents = Arc::new(self.parse(bytes)?);
        *last = Some(contents.clone());
        Ok(contents)
    }

    fn read_bytes(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        let read = |source| FileError::Read { name: self.name(), source };
        let file =
            OpenOptions::new().read(true).custom_flags(NONBLOCKING).open(path).map_err(read)?;
        let metadata = file.metadata().map_err(read)?;
        let mut bytes = Vec::new();
        if metadata.is_file() {
            file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(read)?;
        }
        if !metadata.is_file() || bytes.len() as u64 > MOST_BYTES {
            return Err(FileError::NotAFile { name: self.name() });
        }
        Ok(bytes)
    }

    fn parse(&self, bytes: Vec<u8>) -> Result<Contents, FileError> {
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = error.as_bytes().get(..error.utf8_error().valid_up_to());
            let lines = valid.unwrap_or_default().iter().filter(|byte| **byte == b'\n');
            FileError::NotText { name: self.name(), line: lines.count() + 1 }
        })?;
        let document =
            edit::parse(&text).map_err(|source| FileError::Yaml { name: self.name(), source })?;
        let revision = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Contents { text, document, revision })
    }

    fn write(&self, expected: &str, changes: &[Change]) -> Result<String, FileError> {
        let before = self.read()?;
        if before.revision != expected {
            return Err(FileError::Conflict);
        }
        let mut text = before.text.clone();
        for Change { path, value } in changes {
            if let Some(variable) = self.overrides.variable(path) {
                return Err(FileError::Overridden { key: path.clone(), variable: variable.into() });
            }
            let keys: Vec<_> = path.keys().collect();
            text = edit::set(&text, &keys, value)
                .map_err(|source| FileError::Yaml { name: self.name(), source })?;
        }
        // What would not be read again is not written.
        if text.len() as u64 > MOST_BYTES {
            let source = ErrorKind::FileTooLarge.into();
            return Err(FileError::Write { name: self.name(), source });
        }
        if text == before.text {
            return Ok(before.revision.clone());
        }
        let after = Arc::new(self.parse(text.into_bytes())?);
        self.replace(&before, &after)?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(after.clone());
        Ok(after.revision.clone())
    }

    /// Puts `after` into the file's place if it still has the text of `before`.
    fn replace(&self, before: &Contents, after: &Contents) -> Result<(), FileError> {
        let write = |source| FileError::Write { name: self.name(), source };
        // What a symbolic link names is replaced, and the link stays.
        let target = self.path.canonicalize().map_err(write)?;
        let folder = target.parent().unwrap_or(Path::new("/"));
        let _lock = self.lock(&target)?;
        if self.read_bytes(&target)? != before.text.as_bytes() {
            return Err(FileError::Conflict);
        }
        let metadata = fs::metadata(&target).map_err(write)?;
        let prefix = temporary_prefix(&target);
        remove_left_overs(folder, &prefix);
        let temporary = temporary_file(folder, &prefix, &metadata, &after.text).map_err(write)?;
        backup::keep(&target, self.path.parent().unwrap_or(folder)).map_err(|error| {
            write(io::Error::new(error.kind(), format!("no backup could be made: {error}")))
        })?;
        temporary.persist(&target).map_err(|error| match error.error.kind() {
            ErrorKind::ResourceBusy | ErrorKind::CrossesDevices => {
                FileError::Mounted { name: self.name() }
            }
            _ => write(error.error),
        })?;
        // The rename itself is durable only with its folder.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(write)
    }

    fn lock(&self, target: &Path) -> Result<File, FileError> {
        let write = |source| FileError::Write { name: self.name(), source };
        let mut path = OsString::from(target);
        path.push(".lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(NONBLOCKING)
            .open(path)
            .map_err(write)?;
        let deadline = Instant::now() + LOCK_DEADLINE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(source)) => return Err(write(source)),
                Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                    return Err(FileError::Locked { name: self.name() });
                }
                // A blocking thread of its own, so sleeping here holds nobody up.
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

fn temporary_prefix(target: &Path) -> String {
    format!(".{}.new-", target.file_name().unwrap_or_default().to_string_lossy())
}

/// Writes a sibling of the file, with its mode and owner, durably.
fn temporary_file(
    folder: &Path,
    prefix: &str,
    like: &Metadata,
    text: &str,
) -> io::Result<tempfile::NamedTempFile> {
    let mut temporary = tempfile::Builder::new().prefix(prefix).tempfile_in(folder)?;
    let now = temporary.as_file().metadata()?;
    if (now.uid(), now.gid()) != (like.uid(), like.gid()) {
        fchown(temporary.as_file(), Some(like.uid()), Some(like.gid()))?;
    }
    temporary.as_file().set_permissions(like.permissions())?;
    temporary.write_all(text.as_bytes())?;
    temporary.as_file().sync_all()?;
    Ok(temporary)
}

/// Removes what a writer left that was killed. The lock is held, so nobody is at work on one.
fn remove_left_overs(folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            // It only takes room: the next writer tries again.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn at(document: &Value, path: &KeyPath) -> Value {
    let value = path.keys().try_fold(document, |value, key| value.get(key));
    value.cloned().unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, ConfigFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("harperdb-config.yaml");
        fs::write(&path, text).unwrap();
        let file = ConfigFile::open(path).unwrap();
        (folder, file)
    }

    async fn set(file: &ConfigFile, value: Value) -> Result<String, ConfigError> {
        let path: KeyPath = "a".parse().unwrap();
        let revision = file.get(vec![path.clone()]).await?.revision;
        file.set(revision, vec![Change { path, value }]).await
    }

    #[tokio::test]
    async fn what_would_be_too_large_to_be_read_is_not_written() {
        let (_folder, file) = file("b: 1\n");
        let error = set(&file, "x".repeat(MOST_BYTES as usize).into()).await.unwrap_err();
        let text = "harperdb-config.yaml cannot be written: file too large";
        assert_eq!(error, ConfigError::Unavailable(text.into()));
        set(&file, 1.into()).await.unwrap();
    }

    #[tokio::test]
    async fn a_pipe_in_the_place_of_the_lock_file_holds_up_nobody() {
        let (folder, file) = file("b: 1\n");
        let lock = folder.path().join("harperdb-config.yaml.lock");
        assert!(std::process::Command::new("mkfifo").arg(&lock).status().unwrap().success());
        let refused = tokio::time::timeout(LOCK_DEADLINE * 2, set(&file, 1.into())).await;
        assert!(matches!(refused, Ok(Err(ConfigError::Unavailable(_)))), "{refused:?}");
        fs::remove_file(lock).unwrap();
        set(&file, 1.into()).await.unwrap();
    }
}
