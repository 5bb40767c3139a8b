//! Puts another text into the file's place, durably, unless somebody else changed it.
//!
//! The file is replaced by a rename, so that a reader and a crash find either the old or the new
//! text. Around the comparison and the rename an advisory lock is held on a sibling file
//! (`harperdb-config.yaml.lock`), by every writer in every process; never around anything that
//! waits for a network. The folder is synced after that, when others may go on.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::FileError;
use super::backup::Backups;
use super::contents;

/// How long a writer waits for others. Each takes milliseconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The file's name, as errors have it.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Replaces the text of the file at `path`, which must be `before`. When this returns, the new one
/// is durable.
pub(super) fn replace(
    path: &Path,
    before: &str,
    after: &str,
    deadline: Instant,
) -> Result<(), FileError> {
    let folder = swap(path, before, after, deadline)?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| FileError::Sync { name: name(path), source })
}

/// Makes what the file has now durable, whoever wrote it: somebody is about to be told of it.
pub(super) fn settle(path: &Path) {
    let sync = || {
        let target = path.canonicalize()?;
        File::open(&target)?.sync_all()?;
        File::open(folder_of(&target))?.sync_all()
    };
    if let Err(error) = sync() {
        // A disk that only reads has nothing to lose.
        tracing::warn!("{} may not outlive a power failure: {error}", name(path));
    }
}

fn folder_of(target: &Path) -> &Path {
    target.parent().unwrap_or(Path::new("/"))
}

/// Returns the folder, with which the rename becomes durable.
fn swap(path: &Path, before: &str, after: &str, deadline: Instant) -> Result<PathBuf, FileError> {
    let write = |source| FileError::Write { name: name(path), source };
    // What a symbolic link names is replaced, and the link stays.
    let target = path.canonicalize().map_err(write)?;
    let folder = folder_of(&target);
    let _lock = lock(path, &target, deadline)?;
    let is_unchanged = || Ok(contents::read(&target)? == before.as_bytes());
    if !is_unchanged()? {
        return Err(FileError::Conflict);
    }
    let metadata = fs::metadata(&target).map_err(write)?;
    let prefix = temporary_prefix(&target);
    // The lock is held.
    remove_left_overs(folder, &prefix);
    let temporary = temporary_file(folder, &prefix, &metadata, after).map_err(write)?;
    // Again, after all that takes time: an editor knows no lock.
    if !is_unchanged()? {
        return Err(FileError::Conflict);
    }
    let backups = Backups::in_folder(path.parent().unwrap_or(folder));
    let backup = backups.keep(&target).map_err(|error| {
        write(io::Error::new(error.kind(), format!("no backup could be made: {error}")))
    })?;
    temporary.persist(&target).map_err(|error| {
        // A write that fails again and again must not push out the backups that matter.
        let _ = fs::remove_file(backup);
        match error.error.kind() {
            ErrorKind::ResourceBusy | ErrorKind::CrossesDevices => {
                FileError::Mounted { name: name(path) }
            }
            _ => write(error.error),
        }
    })?;
    if let Err(error) = backups.remove_oldest() {
        tracing::warn!("an old backup of {} could not be removed: {error}", name(path));
    }
    Ok(folder.to_owned())
}

fn lock(path: &Path, target: &Path, deadline: Instant) -> Result<File, FileError> {
    let write = |error: io::Error| FileError::Write {
        name: name(path),
        source: io::Error::new(error.kind(), format!("its lock file: {error}")),
    };
    let mut lock = OsString::from(target);
    lock.push(".lock");
    // A symbolic link would have a file made elsewhere; a pipe would make the open wait.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut open = OpenOptions::new();
    open.create(true).truncate(false).write(true).mode(0o600);
    open.custom_flags(flags.bits() as i32);
    loop {
        let file = open.open(&lock).map_err(write)?;
        while let Err(error) = file.try_lock() {
            match error {
                TryLockError::Error(source) => return Err(write(source)),
                TryLockError::WouldBlock if Instant::now() > deadline => {
                    return Err(FileError::Locked { name: name(path) });
                }
                // A blocking thread of its own, so sleeping here holds nobody up.
                TryLockError::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        // Who takes a lock file for a left-over removes it; then the next writer locks another.
        let locked = file.metadata().map_err(write)?;
        let is_there = |now: Metadata| (now.dev(), now.ino()) == (locked.dev(), locked.ino());
        if fs::symlink_metadata(&lock).is_ok_and(is_there) {
            return Ok(file);
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

/// Removes what a writer left that was killed. Call it when nobody can be at work on one.
pub(crate) fn remove_left_overs(folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            // It only takes room: the next writer tries again.
            let _ = fs::remove_file(entry.path());
        }
    }
}
