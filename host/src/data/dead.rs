//! Messages of other nodes that could not be applied: laid aside as they came, for someone to look
//! at, to apply once more or to drop, and without end neither in number nor in bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::layout::LETTERS;
use super::row::damaged;
use super::transaction::{State, Transaction};
use crate::capabilities::TableName;
use crate::store;

/// A message as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Its sequence in its stream.
    pub sequence: u64,
    /// Names and values, each name as often as it was there.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub payload: Bytes,
}

/// A message that was laid aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeadLetter {
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// The node that it came from.
    pub source: String,
    /// The stream.
    pub stream: String,
    /// Its sequence there.
    pub sequence: u64,
    /// Why it could not be applied.
    pub reason: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// The table that the stream is of; earlier versions did not write it down.
    #[serde(default)]
    pub table: Option<TableName>,
    /// Its body. It is stored behind the rest, as it is.
    #[serde(skip)]
    pub payload: Vec<u8>,
}

/// How many messages are laid aside, by the node and the stream that they came from.
pub(crate) type Letters = Arc<BTreeMap<(String, String), u64>>;

/// Lays a message of a stream aside: its node, its name, and its table.
pub(super) fn lay_aside(
    t: &mut Transaction<'_>,
    (source, stream, table): (&str, &str, &TableName),
    message: &Message,
    reason: String,
) -> Result<(), Error> {
    let letter = DeadLetter {
        time: t.milliseconds(),
        source: source.to_owned(),
        stream: stream.to_owned(),
        sequence: message.sequence,
        reason,
        headers: message.headers.clone(),
        table: Some(table.clone()),
        payload: Vec::new(),
    };
    let bytes = encode(&letter, &message.payload)?;
    let mut letters = t.redb.open_table(LETTERS)?;
    // No number comes twice: whoever has one means the message that had it then.
    let last = letters.last()?.map_or(0, |(number, _)| number.value());
    let number = last.max(t.state.last_letter) + 1;
    t.state.last_letter = number;
    letters.insert(number, bytes.as_slice())?;
    t.state.letter_bytes += bytes.len() as u64;
    more(&mut t.state, &letter);
    while letters.len()? > 1
        && (letters.len()? > t.limits.dead_letters
            || t.state.letter_bytes > t.limits.dead_letter_bytes)
    {
        let Some((_, oldest)) = letters.pop_first()? else { break };
        gone(&mut t.state, oldest.value())?;
    }
    drop(letters);
    t.mark_changed();
    Ok(())
}

/// Removes a message that was laid aside; whether it was still there.
pub(super) fn remove(t: &mut Transaction<'_>, number: u64) -> Result<bool, Error> {
    let mut letters = t.redb.open_table(LETTERS)?;
    let Some(removed) = letters.remove(number)? else { return Ok(false) };
    gone(&mut t.state, removed.value())?;
    drop(removed);
    drop(letters);
    t.mark_changed();
    Ok(true)
}

/// Writes down why a message is still there, as `letter` says.
pub(super) fn keep(t: &mut Transaction<'_>, number: u64, letter: &DeadLetter) -> Result<(), Error> {
    if !remove(t, number)? {
        return Ok(());
    }
    let bytes = encode(letter, &letter.payload)?;
    t.redb.open_table(LETTERS)?.insert(number, bytes.as_slice())?;
    t.state.letter_bytes += bytes.len() as u64;
    more(&mut t.state, letter);
    Ok(())
}

/// Whether it is still there.
pub(super) fn is_there(t: &Transaction<'_>, number: u64) -> Result<bool, Error> {
    Ok(t.redb.open_table(LETTERS)?.get(number)?.is_some())
}

fn more(state: &mut State, letter: &DeadLetter) {
    let of = (letter.source.clone(), letter.stream.clone());
    *Arc::make_mut(&mut state.letters).entry(of).or_default() += 1;
}

/// One is not there any more.
fn gone(state: &mut State, bytes: &[u8]) -> Result<(), store::Error> {
    let (letter, _) = head(bytes)?;
    state.letter_bytes = state.letter_bytes.saturating_sub(bytes.len() as u64);
    let letters = Arc::make_mut(&mut state.letters);
    let of = (letter.source, letter.stream);
    match letters.get_mut(&of) {
        Some(count) if *count > 1 => *count -= 1,
        _ => drop(letters.remove(&of)),
    }
    Ok(())
}

/// How many there are: counted once, when the file is opened.
pub(super) fn count_all(transaction: &WriteTransaction) -> Result<Letters, store::Error> {
    let mut counted = BTreeMap::new();
    for entry in transaction.open_table(LETTERS)?.iter()? {
        let (letter, _) = head(entry?.1.value())?;
        *counted.entry((letter.source, letter.stream)).or_default() += 1;
    }
    Ok(Arc::new(counted))
}

fn encode(letter: &DeadLetter, payload: &[u8]) -> Result<Vec<u8>, Error> {
    let head = rmp_serde::to_vec(letter).map_err(|error| {
        tracing::error!("a message cannot be encoded: {error}");
        Error::Failed
    })?;
    let length = u32::try_from(head.len()).map_err(|_| Error::Failed)?;
    Ok([&length.to_be_bytes()[..], &head, payload].concat())
}

/// One without its body, and that.
pub(super) fn head(bytes: &[u8]) -> Result<(DeadLetter, &[u8]), store::Error> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| damaged())?;
    let (head, payload) = rest.split_at_checked(length).ok_or_else(damaged)?;
    let letter = rmp_serde::from_slice(head).map_err(|_| damaged())?;
    Ok((letter, payload))
}

pub(super) fn decode(bytes: &[u8]) -> Result<DeadLetter, store::Error> {
    let (letter, payload) = head(bytes)?;
    Ok(DeadLetter { payload: payload.to_vec(), ..letter })
}
