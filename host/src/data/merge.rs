//! Rows of other nodes: applied when they are newer than what is here, in any order and as often as
//! they come, with the same end.

use std::collections::HashMap;
use std::sync::Arc;

use redb::ReadableTable;

use super::catalog::Table;
use super::error::Error;
use super::key::Key;
use super::layout;
use super::row::{self, CREATED, UPDATED};
use super::transaction::{Transaction, by_key};
use super::version::Version;
use super::write::{checked, tombstone};
use super::{Row, TableName};

/// A row of another node as it is there, or its deletion.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreign {
    /// The row's key.
    pub key: Key,
    /// The write that made it so.
    pub version: Version,
    /// The row; none when it was deleted.
    pub row: Option<Row>,
    /// Whether it is applied if what is here has the same version and is something else: only who
    /// knows the order says so.
    pub wins_tie: bool,
    /// Whether attributes that the row does not give stay as they are here. Where there is no row,
    /// it becomes one.
    pub is_partial: bool,
}

/// The latest timestamp that all nodes can tell from the next one, in the year 2255. Of a later one
/// ours would follow, and could not go on increasing.
const LATEST: u64 = 1 << 53;

/// Where a row that is applied was made of, and what it becomes.
struct Ready {
    key: Key,
    bytes: Vec<u8>,
    version: Version,
    row: Option<Vec<u8>>,
}

/// Applies what is newer, and returns the keys of these rows, each once. None of it goes into the
/// change log, or two nodes would send it to each other for ever.
pub(super) fn merge(
    t: &mut Transaction<'_>,
    name: &TableName,
    rows: Vec<Foreign>,
) -> Result<Vec<Key>, Error> {
    let mut table: Arc<Table> = t.catalog.table(name)?.clone();
    let attributes = table.attributes.len();
    let (stored, tombstones) = (layout::rows(table.id), layout::tombstones(table.id));
    let mut stored = t.redb.open_table(by_key(&stored))?;
    let mut tombstones = t.redb.open_table(by_key(&tombstones))?;
    let are_tombstones = tombstones.first()?.is_some();
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut ready: Vec<Ready> = Vec::with_capacity(rows.len());
    for (index, Foreign { key, version, row, is_partial, wins_tie }) in rows.into_iter().enumerate()
    {
        if version.timestamp > LATEST {
            let text = format!("'records[{index}]' has a timestamp that is beyond 2^53");
            return Err(Error::Limit(text));
        }
        let bytes = key.to_bytes();
        let place = places.get(&bytes).copied();
        // What an earlier one of these will have made of it, or what is there.
        let (here, before) = match place {
            Some(place) => {
                let Ready { version, row, .. }: &Ready = &ready[place];
                (Some(version.clone()), row.as_ref().map(|row| row::decode(row)).transpose()?)
            }
            None => match stored.get(bytes.as_slice())? {
                Some(found) if is_partial => {
                    let (version, row) = row::decode(found.value())?;
                    (Some(version.clone()), Some((version, row)))
                }
                Some(found) => (Some(row::version(found.value())?), None),
                None if are_tombstones => match tombstones.get(bytes.as_slice())? {
                    Some(found) => (Some(row::version(found.value())?), None),
                    None => (None, None),
                },
                None => (None, None),
            },
        };
        let is_tie = here.as_ref() == Some(&version);
        if (is_tie && !wins_tie) || here.is_some_and(|here| here > version) {
            continue;
        }
        let row = match row {
            None => None,
            Some(mut row) => {
                row.insert(table.primary_key.clone(), key.clone().into());
                for time in [CREATED, UPDATED] {
                    if row.get(time).is_some_and(|value| !is_time(value)) {
                        row.shift_remove(time);
                    }
                }
                row::check_row(&row, &format!("records[{index}]"), t.limits)?;
                if let (true, Some((_, mut before))) = (is_partial, before) {
                    before.insert(UPDATED.into(), version.milliseconds().into());
                    before.extend(row);
                    row = before;
                }
                for time in [CREATED, UPDATED] {
                    row.entry(time).or_insert_with(|| version.milliseconds().into());
                }
                Some(checked(t, &mut table, &row, &version)?.bytes)
            }
        };
        if is_tie {
            let same = match place {
                Some(place) => ready[place].row == row,
                None => {
                    let there = stored.get(bytes.as_slice())?;
                    there.as_ref().map(|there| there.value()) == row.as_deref()
                }
            };
            if same {
                continue;
            }
        }
        let one = Ready { key, bytes: bytes.clone(), version, row };
        match place {
            Some(place) => ready[place] = one,
            None => {
                places.insert(bytes, ready.len());
                ready.push(one);
            }
        }
    }
    let now = t.milliseconds();
    let mut applied = Vec::with_capacity(ready.len());
    for Ready { key, bytes, version, row } in ready {
        t.see(&version);
        match row {
            Some(row) => {
                stored.insert(bytes.as_slice(), row.as_slice())?;
                if are_tombstones {
                    tombstones.remove(bytes.as_slice())?;
                }
            }
            None => {
                stored.remove(bytes.as_slice())?;
                tombstones.insert(bytes.as_slice(), tombstone(&version, now).as_slice())?;
            }
        }
        applied.push(key);
    }
    drop((stored, tombstones));
    if !applied.is_empty() {
        t.touch(&table, now);
    }
    if table.attributes.len() > attributes {
        t.replace_table(table)?;
    }
    Ok(applied)
}

/// Whether a value may be when a row was made, or changed: milliseconds since 1970 that a
/// JavaScript date can have. What another node gives there is shown to clients as it is.
fn is_time(value: &serde_json::Value) -> bool {
    value.as_f64().is_some_and(|milliseconds| (0.0..=8.64e15).contains(&milliseconds))
}
