//! The configuration file: read again whenever it has changed, and written with compare-and-set.
//!
//! A write replaces the file by a rename, so that a reader and a crash find either the old or the
//! new text. Around the comparison and the rename an advisory lock is held on a sibling file
//! (`harperdb-config.yaml.lock`), by every writer in every process; never around anything that
//! waits for a network. The folder is synced after that, before the writer is told that it is done.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::timeout_at;

use super::backup::Backups;
use super::{Overrides, edit};
use crate::capabilities::{BoxFuture, Change, Config, ConfigError, KeyPath, Snapshot};

/// A configuration file is a few kilobytes; with 10,000 routes, half a megabyte.
const MOST_BYTES: u64 = 32 << 20;

/// How long a writer waits for its turn and for the lock. Each is held for milliseconds.
const LOCK_DEADLINE: Duration = Duration::from_secs(5);

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
    #[error("{name} has been locked by other writers for more than {} s", LOCK_DEADLINE.as_secs())]
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
            let deadline = Instant::now() + LOCK_DEADLINE;
            let turn = timeout_at(deadline.into(), inner.writer.clone().lock_owned())
                .await
                .map_err(|_| FileError::Locked { name: inner.name() })?;
            off_the_runtime(move || {
                let written = inner.write(&expected, &changes, deadline);
                // In here, so that who gives up waiting does not let the next writer in early. The
                // next writer need not wait for our folder: it syncs the same one itself, and the
                // disk does both at once.
                drop(turn);
                let (revision, folder) = written?;
                folder.map_or(Ok(()), |folder| inner.sync(&folder))?;
                Ok(revision)
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
        // A pipe in the file's place would make the open wait for a writer.
        let nonblocking = OFlags::NONBLOCK.bits() as i32;
        let file =
            OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(read)?;
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

    /// Returns the new revision and the folder to be synced, if anything changed.
    fn write(
        &self,
        expected: &str,
        changes: &[Change],
        deadline: Instant,
    ) -> Result<(String, Option<PathBuf>), FileError> {
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
        if text == before.text {
            return Ok((before.revision.clone(), None));
        }
        if text.len() as u64 > MOST_BYTES {
            return Err(FileError::TooLarge { name: self.name() });
        }
        let after = Arc::new(self.parse(text.into_bytes())?);
        let folder = self.replace(&before, &after, deadline)?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(after.clone());
        Ok((after.revision.clone(), Some(folder)))
    }

    /// Puts `after` into the file's place if it still has the text of `before`, and returns the
    /// folder, with which the rename becomes durable.
    fn replace(
        &self,
        before: &Contents,
        after: &Contents,
        deadline: Instant,
    ) -> Result<PathBuf, FileError> {
        let write = |source| FileError::Write { name: self.name(), source };
        // What a symbolic link names is replaced, and the link stays.
        let target = self.path.canonicalize().map_err(write)?;
        let folder = target.parent().unwrap_or(Path::new("/"));
        let _lock = self.lock(&target, deadline)?;
        let is_unchanged = || Ok(self.read_bytes(&target)? == before.text.as_bytes());
        if !is_unchanged()? {
            return Err(FileError::Conflict);
        }
        let metadata = fs::metadata(&target).map_err(write)?;
        let prefix = temporary_prefix(&target);
        remove_left_overs(folder, &prefix);
        let temporary = temporary_file(folder, &prefix, &metadata, &after.text).map_err(write)?;
        // Again, after all that takes time: an editor knows no lock.
        if !is_unchanged()? {
            return Err(FileError::Conflict);
        }
        let backups = Backups::in_folder(self.path.parent().unwrap_or(folder));
        let backup = backups.keep(&target).map_err(|error| {
            write(io::Error::new(error.kind(), format!("no backup could be made: {error}")))
        })?;
        temporary.persist(&target).map_err(|error| {
            // A write that fails again and again must not push out the backups that matter.
            let _ = fs::remove_file(backup);
            match error.error.kind() {
                ErrorKind::ResourceBusy | ErrorKind::CrossesDevices => {
                    FileError::Mounted { name: self.name() }
                }
                _ => write(error.error),
            }
        })?;
        if let Err(error) = backups.remove_oldest() {
            tracing::warn!("an old backup of {} could not be removed: {error}", self.name());
        }
        Ok(folder.to_owned())
    }

    fn sync(&self, folder: &Path) -> Result<(), FileError> {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| FileError::Sync { name: self.name(), source })
    }

    fn lock(&self, target: &Path, deadline: Instant) -> Result<File, FileError> {
        let write = |error: io::Error| FileError::Write {
            name: self.name(),
            source: io::Error::new(error.kind(), format!("its lock file: {error}")),
        };
        let mut path = OsString::from(target);
        path.push(".lock");
        // A symbolic link would have a file made elsewhere; a pipe would make the open wait.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut open = OpenOptions::new();
        open.create(true).truncate(false).write(true).mode(0o600);
        open.custom_flags(flags.bits() as i32);
        loop {
            let file = open.open(&path).map_err(write)?;
            while let Err(error) = file.try_lock() {
                match error {
                    TryLockError::Error(source) => return Err(write(source)),
                    TryLockError::WouldBlock if Instant::now() > deadline => {
                        return Err(FileError::Locked { name: self.name() });
                    }
                    // A blocking thread of its own, so sleeping here holds nobody up.
                    TryLockError::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
                }
            }
            // Who takes a lock file for a left-over removes it; then the next writer locks another.
            let locked = file.metadata().map_err(write)?;
            let is_there = |now: Metadata| (now.dev(), now.ino()) == (locked.dev(), locked.ino());
            if fs::symlink_metadata(&path).is_ok_and(is_there) {
                return Ok(file);
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
    let temporary = tempfile::Builder::new().prefix(prefix).tempfile_in(folder);
    // Its errors name the path, which is not for the caller.
    let mut temporary = temporary.map_err(|error| io::Error::from(error.kind()))?;
    let now = temporary.as_file().metadata()?;
    if (now.uid(), now.gid()) != (like.uid(), like.gid()) {
        fchown(temporary.as_file(), Some(like.uid()), Some(like.gid()))?;
    }
    temporary.as_file().set_permissions(like.permissions())?;
    temporary.as_file_mut().write_all(text.as_bytes())?;
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
