//! The change log with the rows that it is about, for whoever tells other nodes.

use std::collections::HashMap;

use redb::{ReadOnlyTable, ReadTransaction, TableError};

use super::Row;
use super::catalog::Catalog;
use super::changes::{Change, ChangeKind};
use super::error::Error;
use super::key::Key;
use super::layout::{self, LOG, STATE};
use super::row;
use super::transaction::{PUBLISHED, by_key};
use super::version::Version;
use crate::capabilities::TableName;

/// A piece of the change log.
#[derive(Debug, Clone, Default)]
pub struct Outgoing {
    /// Changes that were dropped from the log before they could be read: it is bounded.
    pub lost: u64,
    /// Those of wanted tables, in the order of their sequences.
    pub changes: Vec<Going>,
    /// Up to this sequence the log was read; none when it held nothing more.
    pub through: Option<u64>,
    /// Changes of the log that come after that.
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

impl Going {
    /// Whether there is anything to tell.
    pub(crate) fn is_something(&self) -> bool {
        !self.rows.is_empty() || self.schema.is_some()
    }
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

/// What comes after the sequence `after`, of tables that are wanted; without, after what was
/// published.
pub(super) fn read(
    t: &ReadTransaction,
    catalog: &Catalog,
    node: &str,
    after: Option<u64>,
    most: Most,
    is_wanted: &dyn Fn(&TableName) -> bool,
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
    let mut tables = Tables { t, open: HashMap::new() };
    for entry in range()?.take(most.changes) {
        let (sequence, value) = entry?;
        let change = Change::decode(sequence.value(), value.value())?;
        outgoing.through = Some(change.sequence);
        outgoing.left = most.through - change.sequence;
        if is_wanted(&change.table) {
            outgoing.changes.push(going(&mut tables, catalog, node, change, &mut bytes)?);
        }
        if bytes > most.bytes {
            break;
        }
    }
    Ok(outgoing)
}

/// Tables of the file that are open: to find one takes longer than to find a row in it.
struct Tables<'t> {
    t: &'t ReadTransaction,
    /// By the table's id.
    open: HashMap<u64, Option<RowsAndTombstones>>,
}

type ByKey = ReadOnlyTable<&'static [u8], &'static [u8]>;
type RowsAndTombstones = (ByKey, ByKey);

impl Tables<'_> {
    /// The rows and the tombstones of a table; none of one that was dropped.
    fn of(&mut self, id: u64) -> Result<Option<&RowsAndTombstones>, Error> {
        use std::collections::hash_map::Entry;
        let open = |name: String| match self.t.open_table(by_key(&name)) {
            Ok(table) => Ok(Some(table)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(Error::from(error)),
        };
        let opened = match self.open.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                entry.insert(open(layout::rows(id))?.zip(open(layout::tombstones(id))?))
            }
        };
        Ok(opened.as_ref())
    }
}

fn going(
    tables: &mut Tables<'_>,
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
    let Some((rows, tombstones)) = tables.of(table.id)? else { return Ok(going) };
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
