//! The node's database: one redb file, opened once and by one process.
//!
//! redb blocks, so every transaction runs on tokio's blocking threads, or on a thread of its owner's.
//! After its disk has failed it neither reads nor writes any more: the file is then opened again,
//! so that reads go on at once, and writes as soon as there is room.

mod disk;
mod durables;
mod group;
mod nodes;
mod open;
mod records;
mod tables;
mod users;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};
use tokio::sync::watch;

use disk::{Disk, Failure};
pub use nodes::Renamed;
pub use open::OpenError;
pub use records::{Record, Stale};
pub use users::{Changed, User};

pub(crate) use durables::{Durable, Durables, Start};

/// How long nothing is written after the disk has failed: each try may cost a look at the whole file.
const REST: Duration = Duration::from_secs(5);

/// The open database; clones share it, and it is closed with the last one.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    /// None when it could not be opened again.
    database: RwLock<Option<Database>>,
    path: PathBuf,
    disk: Disk,
    /// Held by whoever writes.
    writing: Mutex<()>,
    /// Writes that come while another is under way.
    waiting: Mutex<Vec<Box<dyn group::Waiting>>>,
    /// Until when nothing is written.
    rest: Mutex<Option<Rest>>,
    node_changes: watch::Sender<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Instant,
    is_full: bool,
}

/// Why a transaction failed; nothing of it was kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// redb could not read or write its file.
    #[error("the database failed: {0}")]
    Database(#[source] Box<redb::Error>),
    /// There is no room on the disk, or none for this user.
    #[error("the disk is full")]
    Full,
    /// The table has as many records as it may have: what other nodes send is not kept without end.
    #[error("the table has {0} records, and may have no more")]
    TooMany(u64),
    /// A stored value is not what this version writes there.
    #[error("the database holds a value that cannot be read: {0}")]
    Value(#[source] serde_json::Error),
    /// The task that ran the transaction was lost: a bug, or the runtime is shutting down.
    #[error("the database did not answer")]
    Lost,
}

impl<E: Into<redb::Error>> From<E> for Error {
    fn from(error: E) -> Error {
        Error::Database(Box::new(error.into()))
    }
}

impl Store {
    fn new(database: Database, path: PathBuf, disk: Disk) -> Store {
        Store(Arc::new(Inner {
            database: RwLock::new(Some(database)),
            path,
            disk,
            writing: Mutex::default(),
            waiting: Mutex::default(),
            rest: Mutex::default(),
            node_changes: watch::Sender::default(),
        }))
    }

    /// Whether it takes writes: none for some seconds after its disk has failed.
    pub fn takes_writes(&self) -> bool {
        self.0.resting().is_none()
    }

    /// Runs `f` on a snapshot.
    pub(crate) async fn read<T, E, F>(&self, f: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: FnOnce(&ReadTransaction) -> Result<T, E> + Send + 'static,
    {
        let store = self.clone();
        blocking(move || {
            let result = store.0.begin_read().map_err(E::from).and_then(|t| f(&t));
            if result.is_err() && store.0.disk.has_failed() {
                store.0.look_after(&lock(&store.0.writing));
            }
            result
        })
        .await
    }

    /// A snapshot, which may be read while others write. It keeps what it reads from being
    /// overwritten: the file grows meanwhile.
    pub(crate) async fn snapshot(&self) -> Result<ReadTransaction, Error> {
        let store = self.clone();
        blocking(move || store.0.begin_read()).await
    }

    /// Runs `f` alone and commits durably when it succeeds.
    async fn write<T, F>(&self, f: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&WriteTransaction) -> Result<T, Error> + Send + 'static,
    {
        let store = self.clone();
        blocking(move || store.write_here(|t| Ok((f(t)?, true)))).await
    }

    /// Runs `f` alone, on this thread, and commits durably when it succeeds and says so.
    pub(crate) fn write_here<T, E: From<Error>>(
        &self,
        f: impl FnOnce(&WriteTransaction) -> Result<(T, bool), E>,
    ) -> Result<T, E> {
        let writing = lock(&self.0.writing);
        if let Some(rest) = self.0.resting() {
            return Err(rest.error().into());
        }
        let written = self.0.begin_write().map_err(E::from).and_then(|transaction| {
            let (value, is_changed) = f(&transaction)?;
            if is_changed {
                transaction.commit().map_err(Error::from)?;
            } else {
                transaction.abort().map_err(Error::from)?;
            }
            Ok(value)
        });
        if written.is_ok() {
            *lock(&self.0.rest) = None;
        } else if let Some(Failure { is_full: true, .. }) = self.0.look_after(&writing) {
            return Err(Error::Full.into());
        }
        written
    }

    #[cfg(test)]
    pub(crate) fn set_room(&self, bytes: Option<u64>) {
        self.0.disk.set_room(bytes);
    }

    #[cfg(test)]
    pub(crate) fn end_rest(&self) {
        *lock(&self.0.rest) = None;
    }
}

impl Rest {
    fn error(self) -> Error {
        if self.is_full { Error::Full } else { redb::Error::PreviousIo.into() }
    }
}

impl Inner {
    fn begin_read(&self) -> Result<ReadTransaction, Error> {
        if let Some(database) = &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(database.begin_read()?);
        }
        if let Some(rest) = self.resting() {
            return Err(rest.error());
        }
        self.open_again(&lock(&self.writing));
        match &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => Ok(database.begin_read()?),
            None => Err(redb::Error::DatabaseClosed.into()),
        }
    }

    /// Only by who holds `writing`: it does not wait then.
    fn begin_write(&self) -> Result<WriteTransaction, Error> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.open_again_now();
        }
        match &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => Ok(database.begin_write()?),
            None => Err(redb::Error::DatabaseClosed.into()),
        }
    }

    fn resting(&self) -> Option<Rest> {
        lock(&self.rest).filter(|rest| Instant::now() < rest.until)
    }

    /// Opens the file again if its disk has failed, and says what it was.
    fn look_after(&self, writing: &MutexGuard<'_, ()>) -> Option<Failure> {
        let failure = self.disk.take_failure()?;
        tracing::error!("the database's disk has failed: {}", failure.text);
        self.rest(failure.is_full);
        self.open_again(writing);
        Some(failure)
    }

    fn rest(&self, is_full: bool) {
        *lock(&self.rest) = Some(Rest { until: Instant::now() + REST, is_full });
    }

    /// Nobody writes meanwhile. Whoever reads is told that the file was closed.
    fn open_again(&self, _writing: &MutexGuard<'_, ()>) {
        self.open_again_now();
    }

    fn open_again_now(&self) {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // What it could not write is why it is closed.
        drop(database.take());
        match open::open_again(&self.path, self.disk.clone()) {
            Ok(opened) => {
                tracing::info!("the database was opened again");
                *database = Some(opened);
            }
            Err(error) => {
                tracing::error!("the database cannot be opened again: {error}");
                let failure = self.disk.take_failure();
                self.rest(failure.is_some_and(|failure| failure.is_full));
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn blocking<T: Send + 'static, E: From<Error> + Send + 'static>(
    f: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    tokio::task::spawn_blocking(f).await.unwrap_or_else(|_| Err(Error::Lost.into()))
}

#[cfg(test)]
mod tests;
