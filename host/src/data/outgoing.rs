//! The change log with the rows that it is about, for whoever tells other nodes.

use redb::{ReadTransaction, TableError};

use super::Row;
use super::catalog::Catalog;
use super::changes::{Change, ChangeKind};
use super::error::Error;
use super::key::Key;
use super::layout::{self, LOG, STATE};
use super::row;
use super::transaction::{PUBLISHED, by_key};
use super::version::Version;

/// A piece of the change log.
#[derive(Debug, Clone, Default)]
pub struct Outgoing {
    /// Changes that were dropped from the log before they could be read: it is bounded.
    pub lost: u64,
    /// In the order of their sequences.
    pub changes: Vec<Going>,
    /// Changes of the log that come after these.
    pub left: u64,
}

/// A change, and what the rows are now.
#[derive(Debug, Clone)]
pub struct Going {
    /// The change.
    pub change: Change,
    /// The rows as they are now: those that the change made so, or that another node has changed
    /// since. What was changed here since comes later in the log.
    pub rows: Vec<RowNow>,
    /// The primary key and all attributes, if the change has made the table, and it is still there.
    pub schema: Option<(String, Vec<String>)>,
}

/// A row as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct RowNow {
    /// Its key.
    pub key: Key,
    /// The write that made it so.
    pub version: Version,
    /// The row; none when it is deleted.
    pub row: Option<Row>,
}

/// How much is read at once; one change is read in any case, and whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    /// The last sequence.
    pub through: u64,
    pub changes: usize,
    pub bytes: usize,
}

/// What comes after the sequence `after`; without, after what was published.
pub(super) fn read(
    t: &ReadTransaction,
    catalog: &Catalog,
    node: &str,
    after: Option<u64>,
    most: Most,
) -> Result<Outgoing, Error> {
    let published = t.open_table(STATE)?.get(PUBLISHED)?.map_or(0, |found| found.value());
    let after = after.unwrap_or(published);
    let mut outgoing = Outgoing::default();
    if after >= most.through {
        return Ok(outgoing);
    }
    let log = t.open_table(LOG)?;
    let range = || log.range(after + 1..=most.through);
    let Some((first, _)) = range()?.next().transpose()? else { return Ok(outgoing) };
    // Before anything was published nobody was there to be told.
    if after > 0 {
        outgoing.lost = first.value().saturating_sub(after + 1);
    }
    let mut bytes = 0;
    for entry in range()?.take(most.changes) {
        let (sequence, value) = entry?;
        let change = Change::decode(sequence.value(), value.value())?;
        outgoing.left = most.through - sequence.value();
        let going = going(t, catalog, node, change, &mut bytes)?;
        outgoing.changes.push(going);
        if bytes > most.bytes {
            break;
        }
    }
    Ok(outgoing)
}

fn going(
    t: &ReadTransaction,
    catalog: &Catalog,
    node: &str,
    change: Change,
    bytes: &mut usize,
) -> Result<Going, Error> {
    let mut going = Going { rows: Vec::with_capacity(change.keys.len()), schema: None, change };
    // Dropped meanwhile; or dropped and made anew, and then no row has these versions.
    let Ok(table) = catalog.table(&going.change.table) else { return Ok(going) };
    if going.change.kind == ChangeKind::DefineSchema {
        let attributes = table.attributes.iter().map(ToString::to_string).collect();
        going.schema = Some((table.primary_key.clone(), attributes));
        return Ok(going);
    }
    let open = |name: String| match t.open_table(by_key(&name)) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(Error::from(error)),
    };
    let (rows, tombstones) = (open(layout::rows(table.id))?, open(layout::tombstones(table.id))?);
    let (Some(rows), Some(tombstones)) = (rows, tombstones) else { return Ok(going) };
    for key in &going.change.keys {
        let key_bytes = key.to_bytes();
        let (version, row) = match rows.get(key_bytes.as_slice())? {
            Some(found) => {
                let version = row::version(found.value())?;
                if !is_told(&version, &going.change.version, node) {
                    continue;
                }
                *bytes += found.value().len();
                (version, Some(row::decode(found.value())?.1))
            }
            None => match tombstones.get(key_bytes.as_slice())? {
                Some(found) => (row::version(found.value())?, None),
                None => continue,
            },
        };
        *bytes += key_bytes.len();
        if is_told(&version, &going.change.version, node) {
            going.rows.push(RowNow { key: key.clone(), version, row });
        }
    }
    Ok(going)
}

/// Whether a row of the version `now` is told of with a change of the version `then`. Our own later
/// changes come later in the log; those of others may not be in it.
fn is_told(now: &Version, then: &Version, node: &str) -> bool {
    now == then || now.node != node
}
