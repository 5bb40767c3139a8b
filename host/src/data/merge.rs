//! Rows of other nodes: applied when they are newer than what is here, in any order and as often as
//! they come, with the same end.

use std::sync::Arc;

use redb::ReadableTable;

use super::catalog::Table;
use super::error::Error;
use super::key::Key;
use super::layout;
use super::row::{self, CREATED, UPDATED};
use super::transaction::{Transaction, by_key};
use super::version::{self, Version};
use super::write::{checked, tombstone};
use super::{Row, TableName};

/// A row of another node as it is there, whole, or its deletion.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreign {
    /// The row's key.
    pub key: Key,
    /// The write that made it so.
    pub version: Version,
    /// The row; none when it was deleted.
    pub row: Option<Row>,
}

/// The latest timestamp that all nodes can tell from the next one, in the year 2255. Of a later one
/// ours would follow, and could not go on increasing.
const LATEST: u64 = 1 << 53;

/// Applies what is newer, and returns how many rows were. None of it goes into the change log, or
/// two nodes would send it to each other for ever.
pub(super) fn merge(
    t: &mut Transaction<'_>,
    name: &TableName,
    rows: Vec<Foreign>,
) -> Result<usize, Error> {
    let mut table: Arc<Table> = t.catalog.table(name)?.clone();
    let attributes = table.attributes.len();
    let mut ready = Vec::with_capacity(rows.len());
    for (index, Foreign { key, version, row }) in rows.into_iter().enumerate() {
        if version.timestamp > LATEST {
            let text = format!("'records[{index}]' has a timestamp that is beyond 2^53");
            return Err(Error::Limit(text));
        }
        let row = match row {
            None => None,
            Some(mut row) => {
                row.insert(table.primary_key.clone(), key.clone().into());
                row::check_row(&row, &format!("records[{index}]"), t.limits)?;
                for time in [CREATED, UPDATED] {
                    row.entry(time).or_insert_with(|| version.milliseconds().into());
                }
                Some(checked(t, &mut table, &row, &version)?.bytes)
            }
        };
        ready.push((key, version, row));
    }
    let (rows, tombstones) = (layout::rows(table.id), layout::tombstones(table.id));
    let mut rows = t.redb.open_table(by_key(&rows))?;
    let mut tombstones = t.redb.open_table(by_key(&tombstones))?;
    let mut applied = 0;
    for (key, version, row) in ready {
        let key = key.to_bytes();
        let here = match rows.get(key.as_slice())? {
            Some(found) => Some(row::version(found.value())?),
            None => match tombstones.get(key.as_slice())? {
                Some(found) => Some(row::version(found.value())?),
                None => None,
            },
        };
        if here.is_some_and(|here| here >= version) {
            continue;
        }
        t.see(&version);
        match row {
            Some(row) => {
                rows.insert(key.as_slice(), row.as_slice())?;
                tombstones.remove(key.as_slice())?;
            }
            None => {
                rows.remove(key.as_slice())?;
                tombstones.insert(key.as_slice(), tombstone(&version).as_slice())?;
            }
        }
        applied += 1;
    }
    drop((rows, tombstones));
    if applied > 0 {
        t.touch(&table, version::now() / 1000);
    }
    if table.attributes.len() > attributes {
        t.replace_table(table)?;
    }
    Ok(applied)
}
