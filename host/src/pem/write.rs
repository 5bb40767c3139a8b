//! Writing files that only their owner reads.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
};

/// Makes the folder for its owner alone.
pub(crate) fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    keep_private(folder, 0o700)
}

/// What a hand or a backup has opened to others is closed again.
pub(crate) fn keep_private(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Writes the whole file or none, for this user alone, to outlive a power failure. What a process
/// leaves that is killed meanwhile begins with `prefix`.
pub(crate) fn write_whole(
    folder: &Path,
    prefix: &str,
    path: &Path,
    bytes: &[u8],
) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(prefix).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}
