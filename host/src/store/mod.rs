//! The node's database: one redb file, opened once and by one process.
//!
//! redb blocks, so every transaction runs on tokio's blocking threads.

mod durables;
mod nodes;
mod open;
mod records;
mod tables;
mod users;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use redb::{Database, ReadTransaction, WriteTransaction};
use tokio::sync::watch;

pub use nodes::Renamed;
pub use open::OpenError;
pub use records::{Record, Stale};
pub use users::{Changed, User};

pub(crate) use durables::{Durable, Durables, Start};

/// The open database; clones share it, and it is closed with the last one.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
    /// redb refuses every write after one that its disk has failed.
    failed: Arc<AtomicBool>,
    node_changes: Arc<watch::Sender<u64>>,
}

/// Why a transaction failed; nothing of it was kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// redb could not read or write its file.
    #[error("the database failed: {0}")]
    Database(#[source] Box<redb::Error>),
    /// A stored value is not what this version writes there.
    #[error("the database holds a value that cannot be read: {0}")]
    Value(#[source] serde_json::Error),
    /// The table has as many records as it may have: what other nodes send is not kept without end.
    #[error("the table has {0} records, and may have no more")]
    Full(u64),
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
    fn new(database: Database) -> Store {
        Store { database: Arc::new(database), failed: Arc::default(), node_changes: Arc::default() }
    }

    /// Whether it takes writes: none after its disk has failed, until it is opened again.
    pub fn takes_writes(&self) -> bool {
        !self.failed.load(Relaxed)
    }

    /// Runs `f` on a snapshot.
    async fn read<T, F>(&self, f: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTransaction) -> Result<T, Error> + Send + 'static,
    {
        let database = self.database.clone();
        blocking(move || {
            use redb::ReadableDatabase;
            f(&database.begin_read()?)
        })
        .await
    }

    /// Runs `f` alone and commits durably when it succeeds.
    async fn write<T, F>(&self, f: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&WriteTransaction) -> Result<T, Error> + Send + 'static,
    {
        self.write_then(f, |_| ()).await
    }

    /// The same, and runs `then` once that is durable, whether anybody waits for it or not.
    async fn write_then<T, F>(
        &self,
        f: F,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&WriteTransaction) -> Result<T, Error> + Send + 'static,
    {
        let database = self.database.clone();
        let written = blocking(move || {
            let transaction = database.begin_write()?;
            let value = f(&transaction)?;
            transaction.commit()?;
            then(&value);
            Ok(value)
        })
        .await;
        if let Err(Error::Database(error)) = &written
            && matches!(**error, redb::Error::Io(_) | redb::Error::PreviousIo)
            && !self.failed.swap(true, Relaxed)
        {
            tracing::error!("the database takes no writes until the node is restarted: {error}");
        }
        written
    }
}

async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(f).await.unwrap_or(Err(Error::Lost))
}

#[cfg(test)]
mod tests;
