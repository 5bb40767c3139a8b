//! The folder `keys/`: who may read it, one writer at a time, and files that are whole or not there.

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::{Error, check::OWN};
use crate::pem;

pub(super) const AUTHORITY_KEY: &str = "cluster-ca-key.pem";
pub(super) const AUTHORITY: &str = "cluster-ca.pem";
pub(super) const KEY: &str = "cluster-key.pem";
pub(super) const CERTIFICATE: &str = "cluster-certificate.pem";
pub(super) const PASSWORD: &str = "cluster-password";
/// A bundle that is being imported, for as long as the files are not all written.
pub(super) const IMPORT: &str = "cluster-import.json";
const LOCK: &str = "cluster.lock";
/// What a killed writer leaves begins so.
const NEW: &str = ".cluster.new-";
/// How long another process is waited for. Each takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The folder `keys/` of a node.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

/// The folder, for as long as nobody else writes there.
#[derive(Debug)]
pub(super) struct Locked {
    path: PathBuf,
    /// Whose the node is: a command of root's must not keep the node out of its files.
    owner: Option<(u32, u32)>,
    _lock: File,
}

impl Folder {
    pub(super) fn of(root_path: &Path) -> Folder {
        Folder { path: root_path.join("keys") }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder where there is none, and locks it.
    pub(super) fn lock(&self) -> Result<Locked, Error> {
        self.lock_within(PATIENCE)
    }

    pub(super) fn lock_within(&self, patience: Duration) -> Result<Locked, Error> {
        let failed = |source| Error::Write { folder: self.path.clone(), source };
        let is_new = !self.path.exists();
        pem::make_private(&self.path).map_err(failed)?;
        let root = self.path.parent().and_then(|root| root.metadata().ok());
        let owner = root.filter(|_| rustix::process::geteuid().is_root());
        let owner = owner.map(|root| (root.uid(), root.gid())).filter(|owner| *owner != (0, 0));
        if let (true, Some((user, group))) = (is_new, owner) {
            chown(&self.path, Some(user), Some(group)).map_err(failed)?;
        }
        let lock = self.lock_file(patience)?;
        let locked = Locked { path: self.path.clone(), owner, _lock: lock };
        locked.remove_left_overs();
        Ok(locked)
    }

    fn lock_file(&self, patience: Duration) -> Result<File, Error> {
        let path = self.path.join(LOCK);
        let failed = |source| Error::Write { folder: self.path.clone(), source };
        // A symbolic link would have a file made elsewhere; a pipe would make the open wait.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut open = OpenOptions::new();
        open.create(true).truncate(false).write(true).mode(0o600);
        open.custom_flags(flags.bits() as i32);
        let deadline = Instant::now() + patience;
        loop {
            let file = open.open(&path).map_err(failed)?;
            while let Err(error) = file.try_lock() {
                match error {
                    TryLockError::Error(source) => return Err(failed(source)),
                    TryLockError::WouldBlock if Instant::now() > deadline => {
                        return Err(Error::Locked { path, seconds: patience.as_secs() });
                    }
                    TryLockError::WouldBlock => thread::sleep(Duration::from_millis(1)),
                }
            }
            // Whoever takes it for a left-over removes it; then the next one locks another.
            let ours = file.metadata().map_err(failed)?;
            let is_there = |now: fs::Metadata| (now.dev(), now.ino()) == (ours.dev(), ours.ino());
            if fs::symlink_metadata(&path).is_ok_and(is_there) {
                return Ok(file);
            }
        }
    }
}

impl Locked {
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What the file holds; none when there is none. One with a secret that has been opened to
    /// others is closed again.
    pub(super) fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let path = self.file(name);
        // Of a link to nowhere it is said.
        if fs::symlink_metadata(&path).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(None);
        }
        if [AUTHORITY_KEY, KEY, PASSWORD, IMPORT].contains(&name) {
            close(&path).map_err(|source| Error::Write { folder: self.path.clone(), source })?;
        }
        let key = match name {
            AUTHORITY_KEY => "the private key of the cluster's own authority",
            KEY => OWN.private_key,
            CERTIFICATE => OWN.certificate,
            AUTHORITY => OWN.authority,
            PASSWORD => "the cluster's password",
            _ => "a bundle that is being imported",
        };
        pem::read(&path).map(Some).map_err(|source| Error::Read { key, path, source })
    }

    /// Writes the whole file or none.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.file(name);
        let write = || {
            pem::write_whole(&self.path, NEW, &path, bytes)?;
            match self.owner {
                Some((user, group)) => chown(&path, Some(user), Some(group)),
                None => Ok(()),
            }
        };
        write().map_err(|source| Error::Write { folder: self.path.clone(), source })
    }

    /// Removes the file, if there is one.
    pub(super) fn remove(&self, name: &str) -> Result<(), Error> {
        let failed = |source| Error::Write { folder: self.path.clone(), source };
        match fs::remove_file(self.file(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(error)),
            Err(_) => Ok(()),
            Ok(()) => File::open(&self.path).and_then(|folder| folder.sync_all()).map_err(failed),
        }
    }

    /// They may hold secrets. The lock is held, so nobody is at work on one.
    fn remove_left_overs(&self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(NEW) {
                // The next one tries again.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn close(path: &Path) -> io::Result<()> {
    let Ok(metadata) = path.metadata() else { return Ok(()) };
    let mode = metadata.permissions().mode() & 0o777;
    if !metadata.is_file() || mode & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    let mode = format!("{mode:04o}");
    tracing::warn!(file = %path.display(), mode, "a secret that others could read was closed again");
    Ok(())
}
