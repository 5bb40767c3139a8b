//! How data lies in the node's file.
//!
//! | redb table | key | value |
//! | --- | --- | --- |
//! | `data.databases` | name | JSON: when it was made |
//! | `data.tables` | id | JSON: name, primary key, attributes, when it was made |
//! | `data.state` | what is said | the last timestamp, sequence and id that were given, keys in the log, what of it was published, bytes of dead letters and the last number of one |
//! | `data.updated` | table's id | when a row was written or deleted last, ms |
//! | `data.log` | sequence | keys in it (4 bytes), then a [`Change`](super::Change) as MessagePack |
//! | `data.applied` | source, stream | JSON: an [`Applied`](super::Applied) |
//! | `data.dead_letters` | number | length (4 bytes) of a [`DeadLetter`](super::DeadLetter) as MessagePack, that, then its payload |
//! | `rows.<id>` | key | version, then the row as MessagePack |
//! | `tombstones.<id>` | key of a deleted row | version, then when it was deleted here, ms (8 bytes) |
//!
//! Each table's rows have a redb table of their own: its length is the number of rows, and it is
//! dropped without reading them. Rows are MessagePack and not JSON because a number comes back
//! from it as it was, to its last bit, in two thirds of the time.

use redb::{TableDefinition, WriteTransaction};

use crate::store;

pub(super) const DATABASES: TableDefinition<'_, &str, &[u8]> =
    TableDefinition::new("data.databases");
pub(super) const TABLES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("data.tables");
pub(super) const STATE: TableDefinition<'_, &str, u64> = TableDefinition::new("data.state");
pub(super) const UPDATED: TableDefinition<'_, u64, u64> = TableDefinition::new("data.updated");
pub(super) const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("data.log");
pub(super) const APPLIED: TableDefinition<'_, (&str, &str), &[u8]> =
    TableDefinition::new("data.applied");
pub(super) const LETTERS: TableDefinition<'_, u64, &[u8]> =
    TableDefinition::new("data.dead_letters");

/// A table of rows, or of tombstones.
pub(super) type ByKey<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

/// The name of the redb table with the rows of the table `id`.
pub(super) fn rows(id: u64) -> String {
    format!("rows.{id}")
}

/// The name of the redb table with what is left of its deleted rows.
pub(super) fn tombstones(id: u64) -> String {
    format!("tombstones.{id}")
}

/// Makes what is missing, so that reads find it.
pub(super) fn make(transaction: &WriteTransaction) -> Result<(), store::Error> {
    transaction.open_table(DATABASES)?;
    transaction.open_table(TABLES)?;
    transaction.open_table(STATE)?;
    transaction.open_table(UPDATED)?;
    transaction.open_table(LOG)?;
    transaction.open_table(APPLIED)?;
    transaction.open_table(LETTERS)?;
    Ok(())
}
