//! The change log: what was changed here, in the order of the commits, for whoever publishes it.

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::key::Key;
use super::row::damaged;
use super::version::Version;
use crate::capabilities::TableName;
use crate::store;

/// What one request has changed. The rows themselves are in their table, as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Its place in the log; the next one has the next number.
    pub sequence: u64,
    /// The table.
    pub table: TableName,
    /// What was done.
    pub kind: ChangeKind,
    /// To which rows.
    pub keys: Vec<Key>,
    /// The version that these rows got, or their tombstones.
    pub version: Version,
    /// Who did it.
    pub user: String,
    /// The nodes that had it already when it came here; none of a change that was made here.
    pub passed: Vec<String>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChangeKind {
    /// Rows were written.
    Upsert,
    /// Rows were deleted.
    Delete,
    /// The table was made.
    DefineSchema,
}

/// A piece of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The sequence of the oldest change that is still held; of the next one, when none is. Where
    /// it is beyond what a reader has read, changes between are lost to the log.
    pub first: u64,
    /// In the order of their sequences.
    pub changes: Vec<Change>,
}

/// As it is stored; the sequence is the key.
#[derive(Serialize, Deserialize)]
struct Stored {
    database: String,
    table: String,
    kind: ChangeKind,
    keys: Vec<Key>,
    version: Version,
    user: String,
    #[serde(default)]
    passed: Vec<String>,
}

impl Change {
    /// How much it counts in the log, and its bytes.
    pub(super) fn encode(self) -> Result<(u64, Vec<u8>), Error> {
        let Change { table, kind, keys, version, user, passed, .. } = self;
        let weight = u32::try_from(keys.len()).unwrap_or(u32::MAX).max(1);
        let TableName { database, table } = table;
        let mut bytes = weight.to_be_bytes().to_vec();
        let stored = Stored { database, table, kind, keys, version, user, passed };
        rmp_serde::encode::write(&mut bytes, &stored).map_err(|error| {
            tracing::error!("a change cannot be encoded: {error}");
            Error::Failed
        })?;
        Ok((weight.into(), bytes))
    }

    /// How much a stored one counts.
    pub(super) fn weight(bytes: &[u8]) -> Result<u64, store::Error> {
        let (weight, _) = bytes.split_first_chunk().ok_or_else(damaged)?;
        Ok(u32::from_be_bytes(*weight).into())
    }

    pub(super) fn decode(sequence: u64, bytes: &[u8]) -> Result<Change, store::Error> {
        let (_, stored) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
        let stored = rmp_serde::from_slice(stored).map_err(serde::de::Error::custom);
        let Stored { database, table, kind, keys, version, user, passed } =
            stored.map_err(store::Error::Value)?;
        let table = TableName { database, table };
        Ok(Change { sequence, table, kind, keys, version, user, passed })
    }
}
