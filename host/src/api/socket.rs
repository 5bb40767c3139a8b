//! The Unix socket in the node's folder: no login is asked for, because only the user who runs the
//! node, or root, gets through.
//!
//! It is made in a folder of its own that is nobody else's, and renamed into its place when it is
//! private and listening. So there is no moment at which another user could connect, whatever the
//! mode of the node's folder and the umask, and none at which a client finds it dead.

use std::{
    fs::{self, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::listeners::BACKLOG;

/// The longest path that the system takes, in bytes; a NUL follows it.
const LONGEST: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Why the API cannot listen on its Unix socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The system takes no path of this length.
    #[error(
        "the path of the socket {} has {length} bytes, and {LONGEST} are the most: start the node \
         with a shorter path to its folder, such as that of a symbolic link to it", path.display()
    )]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its bytes.
        length: usize,
    },
    /// Another process listens there.
    #[error("the socket {} is in use by {}", path.display(), named(*process))]
    InUse {
        /// The socket.
        path: PathBuf,
        /// The process, where the system tells.
        process: Option<i32>,
    },
    /// What is there is not ours to remove.
    #[error("{} is no socket: move it away, the node makes its socket there", path.display())]
    NotASocket {
        /// What is in the way.
        path: PathBuf,
    },
    /// Anything else the system says.
    #[error("the socket {} cannot be made: {source}", path.display())]
    Other {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn named(process: Option<i32>) -> String {
    process.map_or_else(|| "another process".to_owned(), |id| format!("process {id}"))
}

/// The listening socket. Dropping it removes the file, if it is still this one's.
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    identity: Identity,
}

/// Device and inode, which no other file has for as long as the listener is open.
type Identity = (u64, u64);

impl Socket {
    /// Listens at `path`. Who else is there is asked; the socket of a process that has gone is
    /// replaced.
    pub(super) async fn bind(path: PathBuf) -> Result<Socket, SocketError> {
        let length = path.as_os_str().len();
        if length > LONGEST {
            return Err(SocketError::TooLong { path, length });
        }
        make_way(&path).await?;
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        match warn_when_open(folder).and_then(|()| listen(folder, &path)) {
            Ok((listener, identity)) => Ok(Socket { listener, path, identity }),
            Err(source) => Err(SocketError::Other { path, source }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The next client, and the user who it is.
    pub(super) async fn accept(&self) -> io::Result<(UnixStream, u32)> {
        let (stream, _) = self.listener.accept().await?;
        let user = stream.peer_cred()?.uid();
        Ok((stream, user))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Another node may have put its own there meanwhile.
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether this user may do all, without a login. The socket's mode says so already; this holds
/// when somebody has changed the mode.
pub(super) fn may_enter(user: u32) -> bool {
    lets_in(geteuid().as_raw(), user)
}

fn lets_in(owner: u32, user: u32) -> bool {
    user == owner || user == 0
}

/// Finds out that nobody listens at `path`, and that what is there may be replaced.
async fn make_way(path: &Path) -> Result<(), SocketError> {
    let owned = || path.to_path_buf();
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => return Err(SocketError::NotASocket { path: owned() }),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(SocketError::Other { path: owned(), source }),
    }
    match UnixStream::connect(path).await {
        Ok(stream) => {
            let process = stream.peer_cred().ok().and_then(|cred| cred.pid());
            Err(SocketError::InUse { path: owned(), process })
        }
        Err(error) => match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::NotFound => Ok(()),
            // Someone listens, and more clients wait than the system lets wait.
            ErrorKind::WouldBlock => Err(SocketError::InUse { path: owned(), process: None }),
            _ => Err(SocketError::Other { path: owned(), source: error }),
        },
    }
}

fn warn_when_open(folder: &Path) -> io::Result<()> {
    let mode = fs::metadata(folder)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(
            folder = %folder.display(),
            mode = format!("{mode:o}"),
            "the node's folder is open to other users, its socket is not: make the folder's mode 700"
        );
    }
    Ok(())
}

fn listen(folder: &Path, path: &Path) -> io::Result<(UnixListener, Identity)> {
    // With short names: this path is no longer than the socket's own.
    let private = tempfile::Builder::new()
        .prefix(".s")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(folder)?;
    let new = private.path().join("s");
    let socket = UnixSocket::new_stream()?;
    socket.bind(&new)?;
    fs::set_permissions(&new, Permissions::from_mode(0o600))?;
    let listener = socket.listen(BACKLOG)?;
    let identity = identity(&new)?;
    fs::rename(&new, path)?;
    Ok((listener, identity))
}

fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_and_root_get_through_and_nobody_else() {
        assert!(lets_in(1000, 1000) && lets_in(1000, 0) && lets_in(0, 0));
        assert!(!lets_in(1000, 1001) && !lets_in(0, 1000) && !lets_in(1000, u32::MAX));
    }

    #[tokio::test]
    async fn the_longest_path_is_taken_and_a_longer_one_told() {
        let folder = tempfile::tempdir().unwrap();
        let room = LONGEST - folder.path().as_os_str().len() - "/operations-server".len();
        for (more, fits) in [(0, true), (1, false)] {
            let folder = folder.path().join("x".repeat(room + more - 1));
            fs::create_dir(&folder).unwrap();
            let path = folder.join("operations-server");
            match Socket::bind(path.clone()).await {
                Ok(_) => assert!(fits),
                Err(error) => {
                    assert!(!fits, "{error}");
                    let path = path.display();
                    let expected = format!("the path of the socket {path} has 108 bytes, and 107 ");
                    assert!(error.to_string().starts_with(&expected), "{error}");
                }
            }
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "it leaves nothing behind");
        }
    }
}
