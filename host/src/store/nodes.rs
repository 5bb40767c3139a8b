//! The table `system.hdb_nodes`: key the node's name, value its record.

use std::collections::BTreeMap;

use redb::{ReadableTable, ReadableTableMetadata, TableDefinition};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;

use super::records::{Changes, NODES, Record, Stale};
use super::{Error, Store};

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
            let nodes = t.open_table(NODES.table)?.len()?;
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
    pub async fn node(&self, name: &str) -> Result<Option<Record>, Error> {
        self.record(&NODES, name).await
    }

    /// All nodes and their records, in the order of their names.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn nodes(&self) -> Result<Vec<(String, Record)>, Error> {
        self.records(&NODES).await
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
        self.put_record(&NODES, name, record, expected).await
    }

    /// Removes a node's record if it has the revision `expected`.
    ///
    /// # Errors
    /// The database cannot be written. The inner error says that the record is another by now, or
    /// gone.
    pub async fn remove_node(&self, name: &str, expected: u64) -> Result<Result<(), Stale>, Error> {
        self.remove_record(&NODES, name, expected).await
    }

    /// How often a node's record was written or removed since the database was opened. A change is
    /// counted once it is durable, and before whoever made it is told.
    pub(crate) fn node_changes(&self) -> watch::Receiver<u64> {
        self.0.node_changes.subscribe()
    }

    /// What has changed since the nodes had these revisions.
    pub(crate) async fn nodes_changed<T: DeserializeOwned + Send + 'static>(
        &self,
        known: BTreeMap<String, u64>,
    ) -> Result<Changes<T>, Error> {
        self.records_changed(&NODES, known).await
    }
}
