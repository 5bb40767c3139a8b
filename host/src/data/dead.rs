//! Messages of other nodes that could not be applied: laid aside as they came, for someone to look
//! at, and without end neither in number nor in bytes.

use bytes::Bytes;
use redb::{ReadableTable, ReadableTableMetadata};
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::layout::LETTERS;
use super::row::damaged;
use super::transaction::Transaction;
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
    /// Its body. It is stored behind the rest, as it is.
    #[serde(skip)]
    pub payload: Vec<u8>,
}

pub(super) fn lay_aside(
    t: &mut Transaction<'_>,
    source: &str,
    stream: &str,
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
        payload: Vec::new(),
    };
    let head = rmp_serde::to_vec(&letter).map_err(|error| {
        tracing::error!("a message cannot be encoded: {error}");
        Error::Failed
    })?;
    let length = u32::try_from(head.len()).map_err(|_| Error::Failed)?;
    let letter = [&length.to_be_bytes()[..], &head, &message.payload].concat();
    let mut letters = t.redb.open_table(LETTERS)?;
    let number = letters.last()?.map_or(0, |(number, _)| number.value()) + 1;
    letters.insert(number, letter.as_slice())?;
    t.state.letter_bytes += letter.len() as u64;
    while letters.len()? > 1
        && (letters.len()? > t.limits.dead_letters
            || t.state.letter_bytes > t.limits.dead_letter_bytes)
    {
        let Some((_, oldest)) = letters.pop_first()? else { break };
        let bytes = oldest.value().len() as u64;
        t.state.letter_bytes = t.state.letter_bytes.saturating_sub(bytes);
    }
    drop(letters);
    t.mark_changed();
    Ok(())
}

pub(super) fn decode(bytes: &[u8]) -> Result<DeadLetter, store::Error> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| damaged())?;
    let (head, payload) = rest.split_at_checked(length).ok_or_else(damaged)?;
    let letter: DeadLetter = rmp_serde::from_slice(head).map_err(|_| damaged())?;
    Ok(DeadLetter { payload: payload.to_vec(), ..letter })
}
