//! Opening the file: who may read it, who else has it, and which version wrote it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use redb::{
    Builder, Database, DatabaseError, ReadableTable, TableDefinition, WriteTransaction,
    backends::FileBackend,
};

use super::disk::{Disk, Watched};
use super::records::{INTENTS, NODES};
use super::{Store, durables, nodes, users};

pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("system.meta");
const SCHEMA_VERSION: &str = "schema_version";
/// What this version of the host reads and writes. 1 had users alone, 2 has nodes, 3 data and what
/// adding nodes needs.
const SCHEMA: u64 = 3;
/// How a file's name begins until it is whole.
const NEW: &str = ".harper.redb.new-";
/// redb's default is 1 GiB, more than the rest of the host.
const CACHE_BYTES: usize = 64 << 20;

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or the file could not be made, or made private.
    #[error("{} cannot be opened: {source}", path.display())]
    File {
        /// The folder or the file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process, or another `Store` of this one, has the file open.
    #[error("{} is in use by another harper-host", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A later release wrote the file.
    #[error(
        "{} has schema version {found}, this harper-host knows up to {SCHEMA}: \
         use the release that wrote it, or a later one", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// The file is empty: something has cut off all that it held. A new node would have no file.
    #[error(
        "{} is empty, and the users that it held are gone: put a copy of it there; without one, \
         remove it to begin as a new node", path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file has no version that this release knows of.
    #[error("{} was not written by harper-host", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged, or the disk failed.
    #[error("{} cannot be read: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What redb said.
        source: Box<redb::Error>,
    },
}

impl Store {
    /// Opens `<root>/database/harper.redb`, making what is missing: the folder for the owner alone
    /// (0700), the file too (0600).
    pub async fn open(root: &Path) -> Result<Store, OpenError> {
        let folder = root.join("database");
        let path = folder.join("harper.redb");
        let opened = tokio::task::spawn_blocking({
            let path = path.clone();
            move || open(&folder, &path)
        });
        opened.await.unwrap_or_else(|e| Err(OpenError::File { path, source: io::Error::other(e) }))
    }
}

#[cfg(test)]
impl Store {
    /// One whose file is memory.
    pub(crate) fn in_memory() -> Store {
        let backend = redb::backends::InMemoryBackend::new();
        let database = Builder::new().create_with_backend(backend).unwrap();
        begin(&database).unwrap();
        Store::new(database, PathBuf::new(), Disk::default())
    }
}

fn open(folder: &Path, path: &Path) -> Result<Store, OpenError> {
    let failed = |at: &Path| {
        let path = at.to_path_buf();
        move |source| OpenError::File { path, source }
    };
    make_folder(folder).map_err(failed(folder))?;
    if !path.exists() {
        create(folder, path)?;
        // The file's own fsync does not cover its name.
        File::open(folder).and_then(|f| f.sync_all()).map_err(failed(folder))?;
    }
    let file = open_file(path).map_err(failed(path))?;
    if file.metadata().map_err(failed(path))?.len() == 0 {
        return Err(OpenError::Empty { path: path.into() });
    }
    let disk = Disk::default();
    let database = match database(file, disk.clone()) {
        Ok(database) => database,
        Err(DatabaseError::DatabaseAlreadyOpen) => {
            return Err(OpenError::InUse { path: path.into() });
        }
        Err(e) => return Err(broken(path)(e)),
    };
    match prepare(&database).map_err(broken(path))? {
        Some(SCHEMA) => {
            // Nobody else needs one now: the database is there, and it is ours.
            crate::config::remove_left_overs(folder, NEW);
            Ok(Store::new(database, path.into(), disk))
        }
        Some(found) if found > SCHEMA => Err(OpenError::Newer { path: path.into(), found }),
        _ => Err(OpenError::Foreign { path: path.into() }),
    }
}

fn database(file: File, disk: Disk) -> Result<Database, DatabaseError> {
    let watched = Watched { file: FileBackend::new(file)?, disk };
    Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(watched)
}

/// Opens a file that was open already; it is not made anew, whatever has become of it.
pub(super) fn open_again(path: &Path, disk: Disk) -> Result<Database, OpenError> {
    let failed = |source| OpenError::File { path: path.into(), source };
    let file = open_file(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() == 0 {
        return Err(OpenError::Empty { path: path.into() });
    }
    database(file, disk).map_err(broken(path))
}

/// Makes the file whole under another name first: a start that is killed halfway must not leave one
/// that no later start can read.
fn create(folder: &Path, path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::File { path: path.to_path_buf(), source };
    let new = tempfile::Builder::new().prefix(NEW).tempfile_in(folder);
    let new = new.map_err(failed)?;
    let file = new.as_file().try_clone().map_err(failed)?;
    let database = database(file, Disk::default()).map_err(broken(path))?;
    begin(&database).map_err(broken(path))?;
    drop(database);
    match new.persist_noclobber(path) {
        // Where another process was first, its file is opened, or found in use. It may have removed
        // this one.
        Err(error) if !path.exists() => Err(failed(error.error)),
        _ => Ok(()),
    }
}

/// The file's version. An older file gets ours, and its tables in the same transaction, so that
/// reads find them.
fn prepare(database: &Database) -> Result<Option<u64>, redb::Error> {
    let transaction = database.begin_write()?;
    if !transaction.list_tables()?.any(|t| redb::TableHandle::name(&t) == "system.meta") {
        return Ok(None);
    }
    let found = transaction.open_table(META)?.get(SCHEMA_VERSION)?.map(|v| v.value());
    if !matches!(found, Some(1..SCHEMA)) {
        return Ok(found);
    }
    bring_up_to_date(transaction)?;
    Ok(Some(SCHEMA))
}

/// What a new file holds.
fn begin(database: &Database) -> Result<(), redb::Error> {
    bring_up_to_date(database.begin_write()?)
}

fn bring_up_to_date(transaction: WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(META)?.insert(SCHEMA_VERSION, SCHEMA)?;
    transaction.open_table(users::TABLE)?;
    transaction.open_table(nodes::OWN)?;
    transaction.open_table(NODES.table)?;
    transaction.open_table(INTENTS.table)?;
    transaction.open_table(durables::TABLE)?;
    Ok(transaction.commit()?)
}

fn broken<E: Into<redb::Error>>(path: &Path) -> impl FnOnce(E) -> OpenError {
    let path = path.to_path_buf();
    move |e| OpenError::Database { path, source: Box::new(e.into()) }
}

/// A folder that a backup or a hand has opened to others is closed again.
fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)?;
    keep_private(folder, 0o700)
}

/// A file too.
fn open_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    keep_private(path, 0o600)?;
    Ok(file)
}

#[cfg(unix)]
fn keep_private(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
fn keep_private(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}
