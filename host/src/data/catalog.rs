//! Which databases and tables there are. The file holds it, and so does memory: no request reads
//! the file for it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use redb::{ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::layout::{DATABASES, TABLES};
use crate::capabilities::TableName;
use crate::store;

/// All databases and tables at one moment. Clones share their tables.
#[derive(Debug, Clone, Default)]
pub(super) struct Catalog {
    pub databases: BTreeMap<String, StoredDatabase>,
    pub tables: BTreeMap<TableName, Arc<Table>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredDatabase {
    /// Milliseconds since 1970.
    pub created: u64,
}

/// A table, without its rows.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// Names its rows in the file. No other table ever has it.
    pub id: u64,
    pub name: TableName,
    pub primary_key: String,
    /// In the order in which they were learnt, the primary key among them.
    pub attributes: Vec<Arc<str>>,
    known: HashSet<Arc<str>>,
    /// Milliseconds since 1970.
    pub created: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredTable {
    database: String,
    table: String,
    primary_key: String,
    attributes: Vec<String>,
    created: u64,
}

impl Table {
    pub fn new(id: u64, name: TableName, primary_key: String, created: u64) -> Table {
        let (attributes, known) = (Vec::new(), HashSet::new());
        Table { id, name, primary_key, attributes, known, created }
    }

    pub fn knows(&self, attribute: &str) -> bool {
        self.known.contains(attribute)
    }

    /// Whether it is new.
    pub fn learn(&mut self, attribute: &str) -> bool {
        if self.knows(attribute) {
            return false;
        }
        let attribute: Arc<str> = attribute.into();
        self.attributes.push(attribute.clone());
        self.known.insert(attribute)
    }
}

impl Catalog {
    pub fn table(&self, name: &TableName) -> Result<&Arc<Table>, Error> {
        match self.tables.get(name) {
            Some(table) => Ok(table),
            None if self.databases.contains_key(&name.database) => {
                Err(Error::NoTable(name.clone()))
            }
            None => Err(Error::NoDatabase(name.database.clone())),
        }
    }

    /// As the file has it.
    pub fn read(transaction: &WriteTransaction) -> Result<Catalog, store::Error> {
        let mut catalog = Catalog::default();
        for entry in transaction.open_table(DATABASES)?.iter()? {
            let (name, value) = entry?;
            let database = serde_json::from_slice(value.value()).map_err(store::Error::Value)?;
            catalog.databases.insert(name.value().to_owned(), database);
        }
        for entry in transaction.open_table(TABLES)?.iter()? {
            let (id, value) = entry?;
            let stored: StoredTable =
                serde_json::from_slice(value.value()).map_err(store::Error::Value)?;
            let name = TableName { database: stored.database, table: stored.table };
            let mut table = Table::new(id.value(), name, stored.primary_key, stored.created);
            for attribute in &stored.attributes {
                table.learn(attribute);
            }
            catalog.tables.insert(table.name.clone(), Arc::new(table));
        }
        Ok(catalog)
    }
}

/// Writes a table down.
pub(super) fn write_table(t: &WriteTransaction, table: &Table) -> Result<(), store::Error> {
    let stored = StoredTable {
        database: table.name.database.clone(),
        table: table.name.table.clone(),
        primary_key: table.primary_key.clone(),
        attributes: table.attributes.iter().map(ToString::to_string).collect(),
        created: table.created,
    };
    let value = serde_json::to_vec(&stored).map_err(store::Error::Value)?;
    t.open_table(TABLES)?.insert(table.id, value.as_slice())?;
    Ok(())
}

/// Writes a database down.
pub(super) fn write_database(
    t: &WriteTransaction,
    name: &str,
    database: &StoredDatabase,
) -> Result<(), store::Error> {
    let value = serde_json::to_vec(database).map_err(store::Error::Value)?;
    t.open_table(DATABASES)?.insert(name, value.as_slice())?;
    Ok(())
}
