//! The table `system.hdb_nodes`: key the node's name, value its record as JSON, with a revision for
//! compare-and-set.

use std::ops::Bound;

use redb::{AccessGuard, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::open::META;
use super::{Error, Store};

pub(super) const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("system.hdb_nodes");

/// The last revision that was given to a record. It only grows, so that a record which was removed
/// and made anew is not taken for the one that was read before.
const REVISION: &str = "hdb_nodes_revision";

/// The node's own table: key what is said, value what it is.
pub(super) const OWN: TableDefinition<'_, &str, &str> = TableDefinition::new("system.node");
const NAME: &str = "name";

/// The node bore another name when it got to know other nodes, which know it by that one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'clustering.nodeName' was '{before}' when this node got to know {nodes} other nodes, which know it by \
     that name: set it back, or remove these nodes first"
)]
pub struct Renamed {
    /// The name it has among them.
    pub before: String,
    /// How many they are.
    pub nodes: u64,
}

/// A node of the manifest, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Names one state of the record; another write gives another.
    pub revision: u64,
    /// What the operations wrote.
    pub record: Value,
}

/// The record is not, or no longer, in the state that was expected; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node's record was changed meanwhile")]
pub struct Stale;

impl Store {
    /// Writes down under which name this node takes part in a cluster.
    ///
    /// # Errors
    /// The database cannot be written. The inner error says that others know it by another name.
    pub async fn take_name(&self, name: &str) -> Result<Result<(), Renamed>, Error> {
        let name = name.to_owned();
        self.write(move |t| {
            let mut own = t.open_table(OWN)?;
            let before = own.get(NAME)?.map(|before| before.value().to_owned());
            let nodes = t.open_table(TABLE)?.len()?;
            match before {
                Some(before) if before != name && nodes > 0 => Ok(Err(Renamed { before, nodes })),
                _ => {
                    own.insert(NAME, name.as_str())?;
                    Ok(Ok(()))
                }
            }
        })
        .await
    }

    /// The record of the node of that name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn node(&self, name: &str) -> Result<Option<NodeRecord>, Error> {
        let name = name.to_owned();
        self.read(move |t| {
            let found = t.open_table(TABLE)?.get(name.as_str())?;
            found.map(|value| decode(value.value())).transpose()
        })
        .await
    }

    /// All nodes and their records, in the order of their names.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn nodes(&self) -> Result<Vec<(String, NodeRecord)>, Error> {
        self.nodes_after(None, usize::MAX).await
    }

    /// The first so many of the nodes whose names come after `after`, in the order of their names.
    pub(super) async fn nodes_after(
        &self,
        after: Option<String>,
        most: usize,
    ) -> Result<Vec<(String, NodeRecord)>, Error> {
        self.read(move |t| {
            let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let table = t.open_table(TABLE)?;
            let nodes = table.range::<&str>((from, Bound::Unbounded))?.take(most);
            let node = |entry: Result<(AccessGuard<'_, &str>, AccessGuard<'_, &[u8]>), _>| {
                let (name, value) = entry?;
                Ok((name.value().to_owned(), decode(value.value())?))
            };
            nodes.map(node).collect()
        })
        .await
    }

    /// Writes a node's record if the stored one has the revision `expected`, or if there is none and
    /// none is expected. Returns the new revision; it is durable then.
    ///
    /// # Errors
    /// The database cannot be written. The inner error says that the record is another by now.
    pub async fn put_node(
        &self,
        name: &str,
        record: Value,
        expected: Option<u64>,
    ) -> Result<Result<u64, Stale>, Error> {
        let name = name.to_owned();
        self.write(move |t| {
            let mut table = t.open_table(TABLE)?;
            if revision(&table, &name)? != expected {
                return Ok(Err(Stale));
            }
            let revision = next_revision(t)?;
            let value =
                serde_json::to_vec(&NodeRecord { revision, record }).map_err(Error::Value)?;
            table.insert(name.as_str(), value.as_slice())?;
            Ok(Ok(revision))
        })
        .await
    }

    /// Removes a node's record if it has the revision `expected`.
    ///
    /// # Errors
    /// The database cannot be written. The inner error says that the record is another by now, or
    /// gone.
    pub async fn remove_node(&self, name: &str, expected: u64) -> Result<Result<(), Stale>, Error> {
        let name = name.to_owned();
        self.write(move |t| {
            let mut table = t.open_table(TABLE)?;
            if revision(&table, &name)? != Some(expected) {
                return Ok(Err(Stale));
            }
            table.remove(name.as_str())?;
            Ok(Ok(()))
        })
        .await
    }
}

fn revision(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Option<u64>, Error> {
    let found = table.get(name)?;
    Ok(found.map(|value| decode(value.value())).transpose()?.map(|record| record.revision))
}

fn next_revision(transaction: &WriteTransaction) -> Result<u64, Error> {
    let mut meta = transaction.open_table(META)?;
    let next = meta.get(REVISION)?.map_or(0, |last| last.value()) + 1;
    meta.insert(REVISION, next)?;
    Ok(next)
}

fn decode(value: &[u8]) -> Result<NodeRecord, Error> {
    serde_json::from_slice(value).map_err(Error::Value)
}
