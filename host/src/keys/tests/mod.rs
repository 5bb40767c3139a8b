//! The cluster's files as nodes make, give, lose and exchange them.

mod bundle;
mod fresh;
mod given;
mod handshake;
mod own;
mod password;
mod together;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::*;
use folder::{AUTHORITY, AUTHORITY_KEY, CERTIFICATE, IMPORT, KEY, PASSWORD};

/// All that a first node has, in the order in which it is made.
const MADE: [&str; 5] = [PASSWORD, AUTHORITY_KEY, AUTHORITY, KEY, CERTIFICATE];

fn root() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn wanted(root: &TempDir) -> Wanted {
    Wanted::new(root.path(), "node1")
}

/// Opens the files of node1.
fn open(root: &TempDir) -> Result<ClusterFiles, Error> {
    ClusterFiles::open(wanted(root))
}

fn read(root: &TempDir, name: &str) -> Option<Vec<u8>> {
    fs::read(root.path().join("keys").join(name)).ok()
}

fn write(root: &TempDir, name: &str, bytes: impl AsRef<[u8]>) {
    let file = root.path().join("keys").join(name);
    fs::write(&file, bytes).unwrap();
    fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
}

fn remove(root: &TempDir, name: &str) {
    fs::remove_file(root.path().join("keys").join(name)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

/// A bundle for a node of this name, in a file beside the node's folder.
fn bundle_for(first: &TempDir, node: &str) -> std::path::PathBuf {
    let file = first.path().join(format!("{node}.json"));
    let hosts = ["10.0.0.2".to_owned()];
    issue(first.path(), node, &hosts, &GivenPassword::Nothing).unwrap().write(&file).unwrap();
    file
}
