//! What came on the streams of other nodes: applied together with the place up to which it was, so
//! that neither is there without the other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use super::changes::{Change, ChangeKind};
use super::dead::{self, Message};
use super::error::Error;
use super::key::Key;
use super::layout::APPLIED;
use super::merge::{self, Foreign};
use super::transaction::Transaction;
use super::version::Version;
use super::{Row, check_new};
use crate::capabilities::TableName;
use crate::store;

/// Up to where a stream of another node was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// When the stream was made, as its server writes it: another stream of the same name has
    /// another time.
    pub created: String,
    /// Which subscription it was: where it began, as the node's record says. A later one begins anew.
    pub subscription: String,
    /// The last sequence of the stream that was applied, laid aside or passed over.
    pub sequence: u64,
    /// Messages of the subscription so far that were gone before they were read.
    #[serde(default)]
    pub gap: u64,
}

/// What came on one stream, in its order.
#[derive(Debug, Clone)]
pub struct Arrivals {
    /// The node that the stream is of.
    pub source: String,
    /// The stream's name.
    pub stream: String,
    /// The table that it is of.
    pub table: TableName,
    /// What whoever read it took for applied; if it is something else by now, nothing is done.
    pub before: Option<Applied>,
    /// What is applied with this.
    pub applied: Applied,
    /// What there is to do.
    pub changes: Vec<Arrival>,
    /// What is laid aside, and why.
    pub dead: Vec<(Arc<Message>, String)>,
    /// Whether changes go into the change log, for others to be told.
    pub are_told: bool,
}

/// A change that another node made.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The table.
    pub table: TableName,
    /// What is to be done.
    pub what: Incoming,
    /// The write.
    pub version: Version,
    /// Who did it there.
    pub user: String,
    /// The nodes that have it already.
    pub passed: Vec<String>,
    /// The message that said so: it is laid aside if this cannot be done.
    pub message: Arc<Message>,
}

/// What another node has done.
#[derive(Debug, Clone)]
pub enum Incoming {
    /// Rows were written.
    Rows {
        /// The rows.
        rows: Vec<Row>,
        /// Their keys, of as many of the first as there are; the others' are in the rows.
        keys: Vec<Key>,
        /// Whether attributes that they do not give stay.
        is_partial: bool,
    },
    /// Rows of these keys were deleted.
    Deleted(Vec<Key>),
    /// The table was made, or has more attributes.
    Schema {
        /// None if it does not say.
        primary_key: Option<String>,
        /// Attributes.
        attributes: Vec<String>,
    },
}

impl Arrival {
    /// How many rows it is about.
    pub(super) fn weight(&self) -> usize {
        match &self.what {
            Incoming::Rows { rows, .. } => rows.len(),
            Incoming::Deleted(keys) => keys.len(),
            Incoming::Schema { .. } => 1,
        }
    }
}

/// What became of [`Arrivals`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rows that were written or deleted.
    pub applied: u64,
    /// Rows that something newer is here in place of, or the same.
    pub older: u64,
    /// Messages that were laid aside.
    pub dead: u64,
    /// Why the first of them was.
    pub why_dead: Option<String>,
}

/// Where a stream was applied up to.
pub(super) fn applied(
    table: &impl ReadableTable<(&'static str, &'static str), &'static [u8]>,
    source: &str,
    stream: &str,
) -> Result<Option<Applied>, store::Error> {
    let found = table.get((source, stream))?;
    found
        .map(|found| serde_json::from_slice(found.value()))
        .transpose()
        .map_err(store::Error::Value)
}

/// Does all of it. One that cannot be done is laid aside, and keeps the others from nothing.
pub(super) fn apply(t: &mut Transaction<'_>, arrivals: Arrivals) -> Result<Outcome, Error> {
    let Arrivals { source, stream, table, before, applied: place, changes, dead, are_told } =
        arrivals;
    if applied(&t.redb.open_table(APPLIED)?, &source, &stream)? != before {
        return Err(Error::Conflict);
    }
    let mut outcome = Outcome::default();
    let mut letters = dead;
    let mut ties = Ties::on(&source);
    let mut changes = changes.into_iter().peekable();
    while let Some(arrival) = changes.next() {
        let message = arrival.message.clone();
        let is_next = |next: &Arrival| next.message.sequence == message.sequence;
        let has_more = changes.peek().is_some_and(is_next);
        match one(t, arrival, are_told, &mut ties, has_more) {
            Ok((applied, older)) => {
                outcome.applied += applied;
                outcome.older += older;
            }
            Err(error) if error.is_of_store() => return Err(error),
            Err(error) => letters.push((message, error.to_string())),
        }
    }
    // One that had several parts is laid aside once.
    letters.sort_by_key(|(message, _)| message.sequence);
    letters.dedup_by_key(|(message, _)| message.sequence);
    for (message, reason) in letters {
        outcome.why_dead.get_or_insert_with(|| reason.clone());
        dead::lay_aside(t, (&source, &stream, &table), &message, reason)?;
        outcome.dead += 1;
    }
    let place = serde_json::to_vec(&place).map_err(store::Error::Value)?;
    let mut table = t.redb.open_table(APPLIED)?;
    table.insert((source.as_str(), stream.as_str()), place.as_slice())?;
    drop(table);
    t.mark_changed();
    Ok(outcome)
}

/// Which of two changes of the same version is the later one. Ours have no such: but nodes whose
/// clocks count milliseconds do, and parts of one message have the same.
pub(super) struct Ties<'s> {
    source: &'s str,
    /// The message.
    sequence: u64,
    /// What earlier parts of it are about.
    keys: HashSet<(TableName, Key)>,
}

impl<'s> Ties<'s> {
    /// Of what comes on a stream of `source`.
    pub(super) fn on(source: &'s str) -> Self {
        Self { source, sequence: 0, keys: HashSet::new() }
    }
}

/// Does one, and returns how many rows were changed, and how many were not.
pub(super) fn one(
    t: &mut Transaction<'_>,
    arrival: Arrival,
    is_told: bool,
    ties: &mut Ties<'_>,
    has_more: bool,
) -> Result<(u64, u64), Error> {
    let Arrival { table, what, version, user, passed, message } = arrival;
    if ties.sequence != message.sequence {
        ties.keys.clear();
        ties.sequence = message.sequence;
    }
    // The stream of the node that made them has them in their order.
    let is_direct = *ties.source == version.node;
    let mut rows = match what {
        Incoming::Schema { primary_key, attributes } => {
            schema(t, &table, primary_key, &attributes, &user)?;
            return Ok((0, 0));
        }
        Incoming::Deleted(keys) => {
            let gone = |key| {
                let (version, row) = (version.clone(), None);
                Foreign { key, version, row, is_partial: false, wins_tie: is_direct }
            };
            keys.into_iter().map(gone).collect::<Vec<_>>()
        }
        Incoming::Rows { rows, keys, is_partial } => {
            let primary_key = &t.catalog.table(&table)?.primary_key;
            distinct(primary_key, rows, keys, (is_partial, is_direct), &version)?
        }
    };
    if !ties.keys.is_empty() {
        for row in &mut rows {
            row.wins_tie |= ties.keys.contains(&(table.clone(), row.key.clone()));
        }
    }
    if has_more {
        ties.keys.extend(rows.iter().map(|row| (table.clone(), row.key.clone())));
    }
    // A message has one kind of change.
    let kind = match rows.first() {
        Some(Foreign { row: None, .. }) => ChangeKind::Delete,
        _ => ChangeKind::Upsert,
    };
    let all = rows.len();
    let applied = merge::merge(t, &table, rows)?;
    let counted = (applied.len() as u64, (all - applied.len()) as u64);
    if is_told && !applied.is_empty() {
        t.log_change(Change { sequence: 0, table, kind, keys: applied, version, user, passed })?;
    }
    Ok(counted)
}

/// Rows by their keys: of two with the same key the later one says what the row is.
fn distinct(
    primary_key: &str,
    rows: Vec<Row>,
    keys: Vec<Key>,
    (is_partial, wins_tie): (bool, bool),
    version: &Version,
) -> Result<Vec<Foreign>, Error> {
    let mut known = HashMap::with_capacity(rows.len());
    let mut foreign: Vec<Foreign> = Vec::with_capacity(rows.len());
    let mut keys = keys.into_iter();
    for (index, row) in rows.into_iter().enumerate() {
        let place = || format!("records[{index}].{}", super::error::shown(primary_key));
        let key = match (keys.next(), row.get(primary_key)) {
            (Some(key), _) => key,
            (None, Some(value)) => {
                Key::try_from(value).map_err(|problem| Error::Key { place: place(), problem })?
            }
            (None, None) => return Err(Error::NoKey { place: place() }),
        };
        match known.get(&key) {
            Some(&at) => {
                let before: &mut Foreign = &mut foreign[at];
                match &mut before.row {
                    Some(before) if is_partial => before.extend(row),
                    before => *before = Some(row),
                }
            }
            None => {
                known.insert(key.clone(), foreign.len());
                let version = version.clone();
                foreign.push(Foreign { key, version, row: Some(row), is_partial, wins_tie });
            }
        }
    }
    Ok(foreign)
}

fn schema(
    t: &mut Transaction<'_>,
    table: &TableName,
    primary_key: Option<String>,
    attributes: &[String],
    user: &str,
) -> Result<(), Error> {
    let primary_key = match (primary_key, t.catalog.table(table)) {
        (Some(primary_key), _) => primary_key,
        (None, Ok(known)) => known.primary_key.clone(),
        (None, Err(error)) => return Err(error),
    };
    check_new(table, &primary_key, attributes)?;
    t.ensure_table(table, &primary_key, attributes, user)
}
