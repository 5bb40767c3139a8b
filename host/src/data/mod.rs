//! Databases, tables and rows, on the node's file.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `names.rs`, `key.rs`, `row.rs`, `limits.rs` | what may be called what, and what a row may be |
//! | `types.rs` | how to write, and what became of it; what a table is |
//! | `version.rs` | which write a row is the result of |
//! | `layout.rs` | how all of it lies in the file |
//! | `catalog.rs` | databases, tables and their attributes |
//! | `writer.rs` | the one thread that writes, and what it commits at once |
//! | `transaction.rs`, `write.rs` | what a request changes |
//! | `merge.rs` | rows of other nodes, applied when they are newer |
//! | `expiry.rs` | tombstones that go in the end |
//! | `changes.rs` | the change log |
//! | `outgoing.rs` | the same with the rows as they are now |
//! | `exchange.rs` | what came from other nodes, and what goes to them, as a whole |
//! | `arrivals.rs` | what came from other nodes, and up to where it was applied |
//! | `dead.rs`, `letters.rs` | what of it could not be applied, and what is done with that |
//! | `search.rs` | rows in chunks, from one snapshot |
//! | `lookup.rs` | rows of many keys in chunks |
//! | `capability.rs` | all of it as plugins see it |
//!
//! One request is one transaction, with one version: it is done wholly or not at all, and durable
//! before it is answered. The change log is part of it.
//!
//! ```
//! use harper_host::TableName;
//! use harper_host::data::{Data, DataConfig, Row, Write};
//! use harper_host::store::Store;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let data = Data::open(Store::open(folder).await?, DataConfig::default()).await?;
//! let dog = TableName { database: "dev".into(), table: "dog".into() };
//! data.create_table(&dog, "id", &[], "admin").await?;
//! let row = Row::from_iter([("id".into(), 1.into()), ("name".into(), "Penny".into())]);
//! let written = data.write(&dog, Write::Insert, vec![row], "admin").await?;
//! let found = data.get(&dog, written.written).await?;
//! assert_eq!(found[0]["name"], "Penny");
//! # Ok(())
//! # }
//! ```

mod arrivals;
mod capability;
mod catalog;
mod changes;
mod dead;
mod error;
mod exchange;
mod expiry;
mod key;
mod layout;
mod letters;
mod limits;
mod lookup;
mod merge;
mod names;
mod outgoing;
mod row;
mod search;
mod transaction;
mod types;
mod version;
mod write;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::Stream;
use redb::{ReadTransaction, ReadableTableMetadata, TableError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::capabilities::TableName;
use crate::store::Store;
use catalog::Table;
use layout::UPDATED;
use transaction::by_key;
use types::Expected;
use writer::{Shared, Writer};

pub use arrivals::{Applied, Arrival, Arrivals, Incoming, Outcome};
pub use changes::{Change, ChangeKind, Changes};
pub(crate) use dead::Letters;
pub use dead::{DeadLetter, Message};
pub use error::Error;
pub use key::{Key, KeyError};
pub use letters::{Again, Listed, Tried, Which};
pub use limits::{DataLimits, MAX_KEY, MAX_NAME};
pub use merge::Foreign;
pub use names::{NameError, check_attribute, check_database, check_table};
pub use outgoing::{Going, Outgoing, RowNow};
pub use row::{CREATED as CREATED_TIME, UPDATED as UPDATED_TIME};
pub use search::{Rows, Search};
pub use types::{Attribute, DataConfig, Deleted, NewTable, TableDescription, Write, Written};
pub use version::{NoVersion, Version, WallClock};

/// A row: attributes and their values, in the order in which they came.
pub type Row = serde_json::Map<String, serde_json::Value>;

/// The data of a node; clones share it. The thread that writes ends with the last one.
#[derive(Clone)]
pub struct Data(Arc<Inner>);

struct Inner {
    store: Store,
    shared: Arc<Shared>,
    writer: Writer,
    limits: Arc<DataLimits>,
    node: String,
    clock: WallClock,
    tombstone_life: Duration,
    searches: Arc<Semaphore>,
    /// Removes tombstones that have expired.
    expiry: OnceLock<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(expiry) = self.expiry.get() {
            expiry.abort();
        }
    }
}

impl Data {
    /// The data in `store`; a store has one owner of its data.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub async fn open(store: Store, config: DataConfig) -> Result<Data, Error> {
        let limits = Arc::new(config.limits);
        let node = config.node_name.unwrap_or_default();
        let clock = config.clock;
        let started =
            Writer::start(store.clone(), limits.clone(), node.clone(), clock.clone()).await;
        let (writer, shared) = started?;
        let searches = Arc::new(Semaphore::new(limits.searches));
        let expiry = OnceLock::new();
        let inner = Arc::new(Inner {
            store,
            shared,
            writer,
            limits,
            node,
            clock,
            tombstone_life: config.tombstone_life,
            searches,
            expiry,
        });
        let run = expiry::run(Arc::downgrade(&inner), config.tombstone_life);
        let _ = inner.expiry.set(tokio::spawn(run));
        Ok(Data(inner))
    }

    /// Lets go of it, and waits for the thread that writes if this was the last clone: then the file
    /// may be opened again.
    pub async fn close(self) {
        let Ok(inner) = Arc::try_unwrap(self.0).map_err(drop) else { return };
        let mut ended = inner.writer.ended();
        drop(inner);
        let _ = tokio::time::timeout(Duration::from_secs(60), ended.changed()).await;
    }

    /// Makes a database.
    ///
    /// # Errors
    /// It is there already, cannot have this name, or there are too many.
    pub async fn create_database(&self, database: &str) -> Result<(), Error> {
        check_database(database).map_err(|problem| Error::Name("database", problem))?;
        let database = database.to_owned();
        self.0.writer.ask(1, move |t| t.create_database(&database)).await
    }

    /// Drops a database, its tables and their rows.
    ///
    /// # Errors
    /// There is none of this name.
    pub async fn drop_database(&self, database: &str) -> Result<(), Error> {
        let database = database.to_owned();
        self.0.writer.ask(1, move |t| t.drop_database(&database)).await
    }

    /// Makes a table, and its database when that is missing. `who` does it.
    ///
    /// # Errors
    /// It is there already, it or an attribute cannot have this name, or there are too many.
    pub async fn create_table(
        &self,
        name: &TableName,
        primary_key: &str,
        attributes: &[String],
        who: &str,
    ) -> Result<(), Error> {
        check_new(name, primary_key, attributes)?;
        let (name, primary_key) = (name.clone(), primary_key.to_owned());
        let (attributes, who) = (attributes.to_vec(), who.to_owned());
        self.0.writer.ask(1, move |t| t.create_table(&name, &primary_key, &attributes, &who)).await
    }

    /// Makes what is missing of these tables, of all or of none.
    ///
    /// # Errors
    /// As of [`ensure_table`](Self::ensure_table).
    pub async fn ensure_tables(&self, tables: Vec<NewTable>, who: &str) -> Result<(), Error> {
        for NewTable { name, primary_key, attributes } in &tables {
            check_new(name, primary_key, attributes)?;
        }
        let who = who.to_owned();
        self.0.writer.ask(tables.len(), move |t| t.ensure_tables(&tables, &who)).await
    }

    /// Makes what is missing of a table: its database, itself, attributes.
    ///
    /// # Errors
    /// It has another primary key; or as for [`create_table`](Self::create_table).
    pub async fn ensure_table(
        &self,
        name: &TableName,
        primary_key: &str,
        attributes: &[String],
        who: &str,
    ) -> Result<(), Error> {
        check_new(name, primary_key, attributes)?;
        let (name, primary_key) = (name.clone(), primary_key.to_owned());
        let (attributes, who) = (attributes.to_vec(), who.to_owned());
        self.0.writer.ask(1, move |t| t.ensure_table(&name, &primary_key, &attributes, &who)).await
    }

    /// Drops a table and its rows.
    ///
    /// # Errors
    /// There is none of this name.
    pub async fn drop_table(&self, name: &TableName) -> Result<(), Error> {
        let name = name.clone();
        self.0.writer.ask(1, move |t| t.drop_table(&name)).await
    }

    /// The names of all databases, in order.
    pub fn databases(&self) -> Vec<String> {
        self.0.shared.catalog().databases.keys().cloned().collect()
    }

    /// All tables, or those of a database, in the order of their names. No row is read.
    ///
    /// # Errors
    /// There is no such database, or the file cannot be read.
    pub async fn tables(&self, database: Option<&str>) -> Result<Vec<TableDescription>, Error> {
        let catalog = self.0.shared.catalog();
        if let Some(database) = database
            && !catalog.databases.contains_key(database)
        {
            return Err(Error::NoDatabase(database.to_owned()));
        }
        let is_asked =
            |table: &&Arc<Table>| database.is_none_or(|name| table.name.database == name);
        let tables = catalog.tables.values().filter(is_asked).cloned().collect();
        self.describe(tables).await
    }

    /// One table. No row is read.
    ///
    /// # Errors
    /// There is no such table, or the file cannot be read.
    pub async fn table(&self, name: &TableName) -> Result<TableDescription, Error> {
        let table = self.known(name)?;
        let described = self.describe(vec![table]).await?;
        described.into_iter().next().ok_or_else(|| Error::NoTable(name.clone()))
    }

    /// Fails unless the table has all of these attributes. The file is not read.
    ///
    /// # Errors
    /// There is no such table, or attribute.
    pub fn check_attributes(&self, name: &TableName, attributes: &[String]) -> Result<(), Error> {
        let table = self.known(name)?;
        match attributes.iter().find(|attribute| !table.knows(attribute)) {
            Some(unknown) => Err(Error::NoAttribute(name.clone(), error::shown(unknown))),
            None => Ok(()),
        }
    }

    async fn describe(&self, tables: Vec<Arc<Table>>) -> Result<Vec<TableDescription>, Error> {
        self.0
            .store
            .read(move |t| {
                let updated = t.open_table(UPDATED)?;
                let mut described = Vec::with_capacity(tables.len());
                for table in tables {
                    let record_count = match t.open_table(by_key(&layout::rows(table.id))) {
                        Ok(rows) => rows.len()?,
                        // It was dropped meanwhile.
                        Err(TableError::TableDoesNotExist(_)) => continue,
                        Err(error) => return Err(error.into()),
                    };
                    let attribute = |name: &Arc<str>| Attribute {
                        name: name.to_string(),
                        is_primary_key: **name == *table.primary_key,
                    };
                    described.push(TableDescription {
                        name: table.name.clone(),
                        id: table.id,
                        primary_key: table.primary_key.clone(),
                        attributes: table.attributes.iter().map(attribute).collect(),
                        record_count,
                        created: table.created,
                        last_updated: updated.get(table.id)?.map(|updated| updated.value()),
                    });
                }
                Ok(described)
            })
            .await
    }

    /// Writes rows, all of them or none. `who` does it.
    ///
    /// New rows without a key get one that is made up.
    ///
    /// # Errors
    /// There is no such table, a row is not valid, or a limit is passed; or the file cannot be
    /// written.
    pub async fn write(
        &self,
        name: &TableName,
        how: Write,
        rows: Vec<Row>,
        who: &str,
    ) -> Result<Written, Error> {
        let table = self.known(name)?;
        let weight = rows.len();
        let rows = {
            let (table, limits) = (table.clone(), self.0.limits.clone());
            aside(weight, move || row::check(&table, how, rows, &limits)).await?
        };
        let who = who.to_owned();
        self.0.writer.ask(weight, move |t| write::write(t, &table, how, rows, &who)).await
    }

    /// Deletes rows. Each leaves a tombstone: its key, and the version of the deletion.
    ///
    /// # Errors
    /// There is no such table, there are too many keys; or the file cannot be written.
    pub async fn delete(
        &self,
        name: &TableName,
        keys: Vec<Key>,
        who: &str,
    ) -> Result<Deleted, Error> {
        self.known(name)?;
        row::check_number(keys.len(), "ids", &self.0.limits)?;
        let (name, who) = (name.clone(), who.to_owned());
        self.0
            .writer
            .ask(keys.len(), move |t| write::delete(t, &name, keys, &Expected::Any, &who))
            .await
    }

    /// Whether there is such a table. The file is not read.
    pub fn has_table(&self, name: &TableName) -> bool {
        self.0.shared.catalog().tables.contains_key(name)
    }

    /// All rows of a table, and what is left of deleted ones.
    #[cfg(test)]
    pub(crate) async fn rows_now(
        &self,
        name: &TableName,
    ) -> Result<std::collections::BTreeMap<Key, (Version, Option<Row>)>, Error> {
        use redb::ReadableTable;
        let table = self.known(name)?;
        self.0
            .store
            .read(move |t| {
                let key = |bytes: &[u8]| Key::from_bytes(bytes).ok_or_else(row::damaged);
                let mut all = std::collections::BTreeMap::new();
                for entry in t.open_table(by_key(&layout::tombstones(table.id)))?.iter()? {
                    let (bytes, value) = entry?;
                    all.insert(key(bytes.value())?, (row::version(value.value())?, None));
                }
                for entry in open_rows(t, &table)?.iter()? {
                    let (bytes, value) = entry?;
                    let (version, row) = row::decode(value.value())?;
                    all.insert(key(bytes.value())?, (version, Some(row)));
                }
                Ok(all)
            })
            .await
    }

    /// What time it is for versions, in microseconds since 1970.
    pub fn now(&self) -> u64 {
        self.0.clock.now()
    }

    /// Removes tombstones that are older than `life`, and returns how many were. It is done once an
    /// hour.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn expire_tombstones(&self, life: Duration) -> Result<u64, Error> {
        expiry::expire(&self.0, life).await
    }

    /// The rows of these keys that are there, in the order of the keys.
    ///
    /// # Errors
    /// There is no such table, there are too many keys; or the file cannot be read.
    pub async fn get(&self, name: &TableName, keys: Vec<Key>) -> Result<Vec<Row>, Error> {
        let table = self.known(name)?;
        row::check_number(keys.len(), "ids", &self.0.limits)?;
        self.0
            .store
            .read(move |t| {
                let mut found = Vec::with_capacity(keys.len().min(1024));
                let rows = open_rows(t, &table)?;
                for key in keys {
                    if let Some(row) = rows.get(key.to_bytes().as_slice())? {
                        found.push(row::decode(row.value())?.1);
                    }
                }
                Ok(found)
            })
            .await
    }

    /// The rows of these keys that are there, in the order of the keys, and in chunks of which each
    /// is from a snapshot of its own: memory holds one at a time. A chunk may be empty. What takes
    /// more than one is a search among the others.
    ///
    /// # Errors
    /// There is no such table, there are too many keys, too many searches go on; or, of a chunk, the
    /// file cannot be read or the table was dropped meanwhile.
    pub fn look_up(
        &self,
        name: &TableName,
        keys: Vec<Key>,
    ) -> Result<impl Stream<Item = Result<Vec<Row>, Error>> + Send + use<>, Error> {
        let table = self.known(name)?;
        row::check_number(keys.len(), "ids", &self.0.limits)?;
        let is_long = keys.len() > search::ROWS;
        let permit = is_long.then(|| self.search_permit()).transpose()?;
        Ok(lookup::start(self.0.store.clone(), table, keys, permit))
    }

    /// Searches rows. What it finds comes in chunks from one snapshot, and memory holds two of them
    /// at the most; within ten minutes, or it fails.
    ///
    /// # Errors
    /// There is no such table or attribute, too many searches go on; or the file cannot be read.
    pub async fn search(&self, name: &TableName, search: Search) -> Result<Rows, Error> {
        let table = self.known(name)?;
        if !table.knows(&search.attribute) {
            return Err(Error::NoAttribute(name.clone(), error::shown(&search.attribute)));
        }
        let permit = self.search_permit()?;
        let snapshot = self.0.store.snapshot().await?;
        Ok(search::start(snapshot, table, search, permit))
    }

    fn search_permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.0.searches.clone().try_acquire_owned().map_err(|_| Error::Busy)
    }

    fn known(&self, name: &TableName) -> Result<Arc<Table>, Error> {
        self.0.shared.catalog().table(name).cloned()
    }
}

type RowsTable = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The rows of a table, unless it was dropped meanwhile.
fn open_rows(t: &ReadTransaction, table: &Table) -> Result<RowsTable, Error> {
    match t.open_table(by_key(&layout::rows(table.id))) {
        Ok(rows) => Ok(rows),
        Err(TableError::TableDoesNotExist(_)) => Err(Error::NoTable(table.name.clone())),
        Err(error) => Err(error.into()),
    }
}

/// What a table may be made with.
fn check_new(name: &TableName, primary_key: &str, attributes: &[String]) -> Result<(), Error> {
    check_database(&name.database).map_err(|problem| Error::Name("database", problem))?;
    check_table(&name.table).map_err(|problem| Error::Name("table", problem))?;
    check_attribute(primary_key).map_err(|problem| Error::Name("primary_key", problem))?;
    for reserved in [row::CREATED, row::UPDATED] {
        if primary_key == reserved {
            return Err(Error::Name("primary_key", NameError::Reserved(reserved)));
        }
    }
    for name in attributes {
        check_attribute(name).map_err(|problem| Error::Attribute {
            name: error::shown(name),
            place: "'attributes'".into(),
            problem,
        })?;
    }
    Ok(())
}

/// Runs what takes long for many rows where it is in nobody's way.
async fn aside<T: Send + 'static>(
    rows: usize,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    const FEW: usize = 32;
    if rows <= FEW {
        return work();
    }
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Lost))
}
