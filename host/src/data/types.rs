//! How to keep and write data, and what is said of it.

use std::time::Duration;

use super::key::Key;
use super::limits::DataLimits;
use super::version::{Version, WallClock};
use crate::capabilities::TableName;

/// How to keep data.
#[derive(Debug, Clone)]
pub struct DataConfig {
    /// The node's name: part of the version of each row that is written here.
    pub node_name: Option<String>,
    /// What is taken.
    pub limits: DataLimits,
    /// How long tombstones are kept: longer than streams keep messages. Default: 30 days.
    pub tombstone_life: Duration,
    /// What time it is.
    pub clock: WallClock,
}

impl Default for DataConfig {
    fn default() -> Self {
        let tombstone_life = Duration::from_secs(30 * 24 * 60 * 60);
        Self {
            node_name: None,
            limits: DataLimits::default(),
            tombstone_life,
            clock: WallClock::default(),
        }
    }
}

/// How to write rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Rows whose key is free; the others are skipped.
    Insert,
    /// Rows that are there; the others are skipped. Attributes that are not given stay.
    Update,
    /// All rows. Of those that are there, attributes that are not given stay.
    Upsert,
}

/// What became of the rows of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The keys of those that were written, in the order of the request.
    pub written: Vec<Key>,
    /// The keys of those that were not.
    pub skipped: Vec<Key>,
}

/// What became of rows that were to be deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The keys of those that were.
    pub deleted: Vec<Key>,
    /// The keys that no row had.
    pub skipped: Vec<Key>,
}

/// A table as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTable {
    /// Its name.
    pub name: TableName,
    /// The attribute that is the key.
    pub primary_key: String,
    /// All attributes; more are learnt.
    pub attributes: Vec<String>,
}

/// A table, without its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableDescription {
    /// Its name.
    pub name: TableName,
    /// No other table of this node has it, before or after.
    pub id: u64,
    /// The attribute that is the key.
    pub primary_key: String,
    /// All that rows have had, in the order in which they came; the primary key first.
    pub attributes: Vec<Attribute>,
    /// How many rows there are.
    pub record_count: u64,
    /// When it was made, in milliseconds since 1970.
    pub created: u64,
    /// When a row was written or deleted last, in milliseconds since 1970; none when none ever was.
    pub last_updated: Option<u64>,
}

/// An attribute of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Whether it is the key.
    pub is_primary_key: bool,
}

/// In which state a row must be for a change.
pub(super) enum Expected {
    Any,
    Missing,
    Version(Version),
}

impl Expected {
    pub fn is(&self, found: Option<&Version>) -> bool {
        match self {
            Self::Any => true,
            Self::Missing => found.is_none(),
            Self::Version(expected) => found == Some(expected),
        }
    }
}
