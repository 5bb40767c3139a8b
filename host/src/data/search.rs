//! Searches: rows chunk by chunk from one snapshot, however many they are.

use std::ops::Bound;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use redb::{AccessGuard, ReadTransaction};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::catalog::Table;
use super::error::Error;
use super::key::Key;
use super::row;
use super::{Row, open_rows};
use crate::json;

/// How long a search may take, its reader included: while it lasts, nothing that it reads is
/// overwritten, and the file grows.
const LONGEST: Duration = Duration::from_secs(600);
/// What a chunk holds at the most: rows, and bytes of memory (one row more at the most).
pub(super) const ROWS: usize = 256;
pub(super) const BYTES: usize = 1 << 20;
/// Rows, and their bytes in the file, that are looked at before the runtime's thread for it is given
/// back: whoever has gone away does not keep it.
const LOOKED_AT: usize = 10_000;
const LOOKED_AT_BYTES: usize = 4 << 20;

/// Which rows to find. They come in the order of their keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// The attribute to look at. The table has learnt it, or the search is refused.
    pub attribute: String,
    /// What it is to be. A text with `*` at its beginning, its end or both stands for all texts
    /// that end, begin or go on like this; `*` alone for all rows that have the attribute. Other
    /// values are compared: no text equals a number.
    pub value: Value,
    /// Rows to leave out first.
    pub offset: u64,
    /// The most rows to find.
    pub limit: Option<u64>,
    /// From the last key to the first.
    pub reverse: bool,
}

impl Search {
    /// For all rows whose `attribute` is `value`.
    pub fn new(attribute: impl Into<String>, value: impl Into<Value>) -> Search {
        let (attribute, value) = (attribute.into(), value.into());
        Search { attribute, value, offset: 0, limit: None, reverse: false }
    }
}

/// What a search has found, in chunks of some hundred rows. After an error there is no more.
///
/// Dropped, the search ends.
pub struct Rows {
    chunks: mpsc::Receiver<Result<Vec<Row>, Error>>,
    task: JoinHandle<()>,
    is_over: bool,
}

impl Stream for Rows {
    type Item = Result<Vec<Row>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let next = self.chunks.poll_recv(context);
        if let Poll::Ready(next) = next {
            return Poll::Ready(match next {
                Some(Ok(chunk)) if chunk.is_empty() => {
                    // The sign that it was all.
                    self.is_over = true;
                    None
                }
                Some(Ok(chunk)) => Some(Ok(chunk)),
                Some(Err(error)) => {
                    self.is_over = true;
                    Some(Err(error))
                }
                // The task has given up waiting for the reader.
                None => {
                    self.is_over = true;
                    Some(Err(Error::SlowSearch))
                }
            });
        }
        Poll::Pending
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a value is compared with.
enum Matches {
    Any,
    Equal(Value),
    Begins(String),
    Ends(String),
    Holds(String),
}

impl Matches {
    fn of(value: Value) -> Matches {
        let Value::String(text) = value else { return Matches::Equal(value) };
        if text == "*" || text == "**" {
            return Matches::Any;
        }
        match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(rest), Some(_)) => Matches::Holds(rest[..rest.len() - 1].to_owned()),
            (Some(end), None) => Matches::Ends(end.to_owned()),
            (None, Some(beginning)) => Matches::Begins(beginning.to_owned()),
            (None, None) => Matches::Equal(Value::String(text)),
        }
    }

    fn is_met(&self, value: Option<&Value>) -> bool {
        let Some(value) = value else { return matches!(self, Matches::Equal(Value::Null)) };
        match (self, value) {
            (Matches::Any, _) => true,
            (Matches::Equal(Value::Number(one)), Value::Number(other)) => {
                one == other || one.as_f64() == other.as_f64()
            }
            (Matches::Equal(one), other) => one == other,
            (Matches::Begins(text), Value::String(value)) => value.starts_with(text),
            (Matches::Ends(text), Value::String(value)) => value.ends_with(text),
            (Matches::Holds(text), Value::String(value)) => value.contains(text),
            _ => false,
        }
    }
}

/// Where a search is.
struct Cursor {
    transaction: ReadTransaction,
    table: Arc<Table>,
    attribute: String,
    matches: Matches,
    /// What keys are still to be looked at.
    range: (Bound<Vec<u8>>, Bound<Vec<u8>>),
    reverse: bool,
    skip: u64,
    left: u64,
}

/// Starts a search.
pub(super) fn start(
    transaction: ReadTransaction,
    table: Arc<Table>,
    search: Search,
    permit: OwnedSemaphorePermit,
) -> Rows {
    let matches = Matches::of(search.value);
    let is_key = search.attribute == table.primary_key;
    let range = match &matches {
        Matches::Equal(value) if is_key => match Key::try_from(value) {
            Ok(key) => (Bound::Included(key.to_bytes()), Bound::Included(key.to_bytes())),
            // No row has it: an empty range.
            Err(_) => (Bound::Included(vec![0]), Bound::Included(vec![0])),
        },
        Matches::Begins(text) if is_key => {
            let first = Key::prefix_of_texts(text);
            // No UTF-8 has this byte.
            let mut last = first.clone();
            last.push(0xff);
            (Bound::Included(first), Bound::Excluded(last))
        }
        _ => (Bound::Unbounded, Bound::Unbounded),
    };
    let cursor = Cursor {
        transaction,
        table,
        attribute: search.attribute,
        matches,
        range,
        reverse: search.reverse,
        skip: search.offset,
        left: search.limit.unwrap_or(u64::MAX),
    };
    let (send, chunks) = mpsc::channel(1);
    let task = tokio::spawn(run(cursor, send, permit));
    Rows { chunks, task, is_over: false }
}

/// Holds a thread only while it reads, and the snapshot only until the deadline.
async fn run(
    mut cursor: Cursor,
    chunks: mpsc::Sender<Result<Vec<Row>, Error>>,
    _permit: OwnedSemaphorePermit,
) {
    let deadline = Instant::now() + LONGEST;
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let read = cursor.chunk();
            (cursor, read)
        });
        let Ok((back, read)) = read.await else {
            let _ = timeout_at(deadline, chunks.send(Err(Error::Lost))).await;
            return;
        };
        let (chunk, is_last) = match read {
            Ok(Chunk { rows, is_last }) => (Ok(rows), is_last),
            Err(error) => (Err(error), true),
        };
        // The snapshot of what was read need not wait for the reader.
        let back = if is_last { None } else { Some(back) };
        let is_error = chunk.is_err();
        let is_empty = chunk.as_ref().is_ok_and(Vec::is_empty);
        if !is_empty && !matches!(timeout_at(deadline, chunks.send(chunk)).await, Ok(Ok(()))) {
            return;
        }
        match back {
            Some(back) => cursor = back,
            None => {
                if !is_error {
                    let _ = timeout_at(deadline, chunks.send(Ok(Vec::new()))).await;
                }
                return;
            }
        }
        if Instant::now() >= deadline {
            return;
        }
    }
}

struct Chunk {
    rows: Vec<Row>,
    is_last: bool,
}

impl Cursor {
    fn chunk(&mut self) -> Result<Chunk, Error> {
        let mut chunk = Chunk { rows: Vec::new(), is_last: true };
        if self.left == 0 {
            return Ok(chunk);
        }
        let table = open_rows(&self.transaction, &self.table)?;
        let range = (as_slice(&self.range.0), as_slice(&self.range.1));
        let mut entries = table.range::<&[u8]>(range)?;
        let (mut bytes, mut looked_at, mut looked_at_bytes) = (0, 0, 0);
        let mut last = None;
        type Entry<'a> = (AccessGuard<'a, &'static [u8]>, AccessGuard<'a, &'static [u8]>);
        loop {
            let next = if self.reverse { entries.next_back() } else { entries.next() };
            let Some(next) = next else { break };
            let (key, value): Entry<'_> = next?;
            let (_, row) = row::decode(value.value())?;
            looked_at += 1;
            looked_at_bytes += value.value().len();
            if self.matches.is_met(row.get(&self.attribute)) {
                if self.skip > 0 {
                    self.skip -= 1;
                } else {
                    bytes += json::size_of_fields(&row);
                    chunk.rows.push(row);
                    self.left -= 1;
                }
            }
            let is_full = chunk.rows.len() >= ROWS
                || bytes >= BYTES
                || looked_at >= LOOKED_AT
                || looked_at_bytes >= LOOKED_AT_BYTES;
            if self.left == 0 {
                return Ok(chunk);
            }
            if is_full {
                last = Some(key.value().to_vec());
                break;
            }
        }
        if let Some(last) = last {
            chunk.is_last = false;
            if self.reverse {
                self.range.1 = Bound::Excluded(last);
            } else {
                self.range.0 = Bound::Excluded(last);
            }
        }
        Ok(chunk)
    }
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(bytes) => Bound::Included(bytes.as_slice()),
        Bound::Excluded(bytes) => Bound::Excluded(bytes.as_slice()),
        Bound::Unbounded => Bound::Unbounded,
    }
}
