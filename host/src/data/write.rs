//! Writing and deleting rows, in a group's transaction.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use redb::ReadableTable;
use serde_json::Value;

use super::catalog::Table;
use super::changes::ChangeKind;
use super::error::Error;
use super::key::Key;
use super::layout;
use super::row::{self, CREATED, Checked, UPDATED};
use super::transaction::{Transaction, by_key};
use super::version::Version;
use super::{Deleted, Expected, Row, Write, Written};
use crate::capabilities::TableName;

/// What a request is about to write.
#[derive(Default)]
struct Plan {
    /// Each key once.
    rows: Vec<(Key, Vec<u8>)>,
    bytes: usize,
    values: usize,
}

impl Plan {
    fn add(&mut self, key: Key, ready: Ready, t: &Transaction<'_>) -> Result<(), Error> {
        self.bytes += ready.bytes.len();
        self.values += ready.values;
        self.rows.push((key, ready.bytes));
        let (bytes, values) = (t.limits.transaction_bytes, t.limits.transaction_values);
        if self.bytes > bytes {
            return Err(Error::TooLarge(format!("{bytes} bytes")));
        }
        if self.values > values {
            return Err(Error::TooLarge(format!("{values} values")));
        }
        Ok(())
    }
}

/// Rows of which no two have the same key.
struct Distinct {
    rows: Vec<Checked>,
    /// Of each row of the request its place in `rows`; none of one that is skipped.
    places: Vec<(Key, Option<usize>)>,
}

impl Distinct {
    /// A row that is named again and again costs no more than one: what was stored of it is read,
    /// and written, once.
    fn of(how: Write, rows: Vec<Checked>) -> Distinct {
        let mut known = HashMap::new();
        let (mut distinct, mut places) = (Vec::<Checked>::new(), Vec::with_capacity(rows.len()));
        for Checked { key, row } in rows {
            let place = match known.entry(key.clone()) {
                Entry::Vacant(entry) => {
                    let place = *entry.insert(distinct.len());
                    distinct.push(Checked { key: key.clone(), row });
                    Some(place)
                }
                Entry::Occupied(_) if how == Write::Insert => None,
                Entry::Occupied(entry) => {
                    let place = *entry.get();
                    distinct[place].row.extend(row);
                    Some(place)
                }
            };
            places.push((key, place));
        }
        Distinct { rows: distinct, places }
    }
}

/// The table that a request was checked for, if it is still the same.
fn same(t: &Transaction<'_>, table: &Table) -> Result<Arc<Table>, Error> {
    let now = t.catalog.table(&table.name)?;
    if now.id != table.id {
        return Err(Error::NoTable(table.name.clone()));
    }
    Ok(now.clone())
}

/// Writes rows that were checked for `table`.
pub(super) fn write(
    t: &mut Transaction<'_>,
    table: &Table,
    how: Write,
    rows: Vec<Checked>,
    who: &str,
) -> Result<Written, Error> {
    let mut table = same(t, table)?;
    let attributes = table.attributes.len();
    let version = t.next_version();
    let name = layout::rows(table.id);
    let stored = t.redb.open_table(by_key(&name))?;
    let mut plan = Plan::default();
    let Distinct { rows, places } = Distinct::of(how, rows);
    let mut are_written = Vec::with_capacity(rows.len());
    for Checked { key, row } in rows {
        let before = stored.get(key.to_bytes().as_slice())?;
        let row = match (how, before) {
            // It is not read: it may be large.
            (Write::Insert, Some(_)) | (Write::Update, None) => {
                are_written.push(false);
                continue;
            }
            (_, None) => stamped(row, None, &version),
            (_, Some(before)) => merged(row::decode(before.value())?.1, row, &version),
        };
        let ready = checked(t, &mut table, &row, &version)?;
        plan.add(key, ready, t)?;
        are_written.push(true);
    }
    drop(stored);
    apply(t, table, attributes, plan, version, who)?;
    let mut written = Written::default();
    for (key, place) in places {
        match place {
            Some(place) if are_written[place] => written.written.push(key),
            _ => written.skipped.push(key),
        }
    }
    Ok(written)
}

/// Puts one whole row in place of what is there, if that is what is expected.
pub(super) fn put(
    t: &mut Transaction<'_>,
    table: &Table,
    Checked { key, row }: Checked,
    expected: &Expected,
    who: &str,
) -> Result<Version, Error> {
    let mut table = same(t, table)?;
    let attributes = table.attributes.len();
    let version = t.next_version();
    let name = layout::rows(table.id);
    let stored = t.redb.open_table(by_key(&name))?;
    let before = match stored.get(key.to_bytes().as_slice())? {
        Some(found) => Some(row::decode(found.value())?),
        None => None,
    };
    drop(stored);
    let created = match (expected, before) {
        (Expected::Any | Expected::Missing, None) => None,
        (Expected::Any, Some((_, before))) => before.get(CREATED).cloned(),
        (Expected::Version(expected), Some((version, before))) if *expected == version => {
            before.get(CREATED).cloned()
        }
        _ => return Err(Error::Conflict),
    };
    let row = stamped(row, created, &version);
    let ready = checked(t, &mut table, &row, &version)?;
    let mut plan = Plan::default();
    plan.add(key, ready, t)?;
    apply(t, table, attributes, plan, version.clone(), who)?;
    Ok(version)
}

/// The row with the times that are ours to set.
fn stamped(mut row: Row, created: Option<Value>, version: &Version) -> Row {
    let now = version.milliseconds();
    row.insert(CREATED.into(), created.unwrap_or_else(|| now.into()));
    row.insert(UPDATED.into(), now.into());
    row
}

/// What was there, with what the request says anew.
fn merged(mut before: Row, row: Row, version: &Version) -> Row {
    before.extend(row);
    before.insert(UPDATED.into(), version.milliseconds().into());
    before
}

/// A whole row that may be written.
pub(super) struct Ready {
    pub bytes: Vec<u8>,
    values: usize,
}

/// The bytes of a whole row, if it may be written. The table learns its attributes.
pub(super) fn checked(
    t: &Transaction<'_>,
    table: &mut Arc<Table>,
    row: &Row,
    version: &Version,
) -> Result<Ready, Error> {
    let (values, most) = (row::count(row), t.limits.row_values);
    if values > most {
        return Err(Error::Limit(format!("A record must have at most {most} values")));
    }
    let mut is_new = false;
    for name in row.keys() {
        is_new |= !table.knows(name) && Arc::make_mut(table).learn(name);
    }
    if is_new {
        t.check_attributes(table)?;
    }
    let bytes = row::encode(version, row)?;
    let most = t.limits.row_bytes;
    if bytes.len() > most {
        return Err(Error::Limit(format!("A record must have at most {most} bytes")));
    }
    Ok(Ready { bytes, values })
}

/// Changes what the plan says; `attributes` is how many the table had before.
fn apply(
    t: &mut Transaction<'_>,
    table: Arc<Table>,
    attributes: usize,
    plan: Plan,
    version: Version,
    who: &str,
) -> Result<(), Error> {
    if plan.rows.is_empty() {
        return Ok(());
    }
    let (rows, tombstones) = (layout::rows(table.id), layout::tombstones(table.id));
    let mut rows = t.redb.open_table(by_key(&rows))?;
    let mut tombstones = t.redb.open_table(by_key(&tombstones))?;
    let are_tombstones = tombstones.first()?.is_some();
    let mut keys = Vec::with_capacity(plan.rows.len());
    for (key, bytes) in plan.rows {
        let key_bytes = key.to_bytes();
        rows.insert(key_bytes.as_slice(), bytes.as_slice())?;
        if are_tombstones {
            tombstones.remove(key_bytes.as_slice())?;
        }
        keys.push(key);
    }
    drop((rows, tombstones));
    t.see(&version);
    t.touch(&table, version.milliseconds());
    t.log(&table.name, ChangeKind::Upsert, keys, version, who)?;
    if table.attributes.len() > attributes {
        t.replace_table(table)?;
    }
    Ok(())
}

/// Deletes rows; each leaves a tombstone.
pub(super) fn delete(
    t: &mut Transaction<'_>,
    name: &TableName,
    keys: Vec<Key>,
    expected: &Expected,
    who: &str,
) -> Result<Deleted, Error> {
    let table = t.catalog.table(name)?.clone();
    let (rows, tombstones) = (layout::rows(table.id), layout::tombstones(table.id));
    let mut rows = t.redb.open_table(by_key(&rows))?;
    for key in &keys {
        let found = rows.get(key.to_bytes().as_slice())?;
        let version = found.map(|found| row::version(found.value())).transpose()?;
        if !expected.is(version.as_ref()) {
            return Err(Error::Conflict);
        }
    }
    let mut tombstones = t.redb.open_table(by_key(&tombstones))?;
    let version = t.next_version();
    let tombstone = tombstone(&version, t.milliseconds());
    let mut deleted = Deleted::default();
    for key in keys {
        let bytes = key.to_bytes();
        if rows.remove(bytes.as_slice())?.is_some() {
            tombstones.insert(bytes.as_slice(), tombstone.as_slice())?;
            deleted.deleted.push(key);
        } else {
            deleted.skipped.push(key);
        }
    }
    drop((rows, tombstones));
    if !deleted.deleted.is_empty() {
        t.see(&version);
        t.touch(&table, version.milliseconds());
        t.log(&table.name, ChangeKind::Delete, deleted.deleted.clone(), version, who)?;
    }
    Ok(deleted)
}

/// What stays of a row that is deleted here at `now`, in milliseconds.
pub(super) fn tombstone(version: &Version, now: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    version.write_to(&mut bytes);
    bytes.extend(now.to_be_bytes());
    bytes
}
