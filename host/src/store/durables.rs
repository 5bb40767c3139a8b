//! The table `system.durables`: which durable consumers this node has made, or is about to make, on
//! the streams of other nodes. What no record names any more is found here and removed, however long
//! its node was away.

use std::collections::BTreeMap;

use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{Error, Store};

/// Key the other node's name and the stream's.
pub(super) const TABLE: TableDefinition<'_, (&str, &str), &[u8]> =
    TableDefinition::new("system.durables");

/// A durable consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Durable {
    pub(crate) name: String,
    /// Where it begins.
    pub(crate) start: Start,
}

/// Where a subscription begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Start {
    /// With what comes once its durable is there.
    Now,
    /// With what was published from this time on (RFC 3339).
    Time(String),
    /// Behind this sequence of the stream that was made at `created`, as its server writes it. Of one
    /// that was made later, everything is wanted; without `created` there was none.
    After { created: Option<String>, sequence: u64 },
}

/// The durables on one node, by stream.
pub(crate) type Durables = BTreeMap<String, Durable>;

impl Store {
    /// All of them, by node.
    pub(crate) async fn durables(&self) -> Result<BTreeMap<String, Durables>, Error> {
        self.read(|t| {
            let mut all: BTreeMap<String, Durables> = BTreeMap::new();
            for entry in t.open_table(TABLE)?.iter()? {
                let (key, value) = entry?;
                let (node, stream) = key.value();
                let durable = serde_json::from_slice(value.value()).map_err(Error::Value)?;
                all.entry(node.to_owned()).or_default().insert(stream.to_owned(), durable);
            }
            Ok(all)
        })
        .await
    }

    /// Remembers these durables on a node, in the place of those on the same streams.
    pub(crate) async fn remember_durables(
        &self,
        node: &str,
        durables: Durables,
    ) -> Result<(), Error> {
        if durables.is_empty() {
            return Ok(());
        }
        let node = node.to_owned();
        let write = move |t: &WriteTransaction| {
            let mut table = t.open_table(TABLE)?;
            for (stream, durable) in &durables {
                let value = serde_json::to_vec(durable).map_err(Error::Value)?;
                table.insert((node.as_str(), stream.as_str()), value.as_slice())?;
            }
            Ok(())
        };
        self.write_together(write, |()| ()).await
    }

    /// Forgets the durables on these streams of a node.
    pub(crate) async fn forget_durables(
        &self,
        node: &str,
        streams: Vec<String>,
    ) -> Result<(), Error> {
        if streams.is_empty() {
            return Ok(());
        }
        let node = node.to_owned();
        let write = move |t: &WriteTransaction| {
            let mut table = t.open_table(TABLE)?;
            for stream in &streams {
                table.remove((node.as_str(), stream.as_str()))?;
            }
            Ok(())
        };
        self.write_together(write, |()| ()).await
    }
}
