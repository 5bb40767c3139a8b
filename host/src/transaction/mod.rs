//! What a message on a table's stream says: the transaction of one node, for those who subscribe.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `decode.rs` | the bytes of a message to a transaction, within [`Limits`] |
//! | `encode.rs` | a transaction to the bytes of a message |
//! | `headers.rs` | who has already applied it |
//! | `error.rs` | why bytes are no transaction |
//!
//! The bytes are MessagePack as msgpackr has it (`harper_wire`), one map a part:
//!
//! ```text
//! {operation, schema, table, records: [..], hash_values: [..],
//!  __origin: {user, timestamp, node_name},
//!  next?: {operation, table, id, record, next?}}
//! ```
//!
//! - `insert`, `upsert` and `put` bring whole rows, `update` and `patch` attributes of rows,
//!   `delete` the keys in `hash_values`, `define_schema` a table's primary key and attributes.
//! - `timestamp` is in milliseconds since 1970. Ours have the microseconds as a fraction, so that a
//!   version names one write; others are rounded to microseconds.
//! - Integers within 2^53 go out as JavaScript numbers, larger ones as 64-bit, which are `BigInt`
//!   there. They come in with all their digits.
//! - A date of a peer becomes its ISO 8601 text, as it would be in JSON: rows hold JSON. Bytes
//!   become base64 text; what is `undefined` is not there.

mod decode;
mod encode;
mod error;
mod headers;
#[cfg(test)]
mod tests;

use crate::capabilities::TableName;
use crate::data::{Key, MAX_NAME, Row, Version};

pub use error::{Field, TransactionError};
pub use headers::Passed;

/// The key below which a part has the next one.
const NEXT: &str = "next";

/// What one node has done at once.
///
/// All of it has one version, and a key may be named by several parts: then the later part holds.
/// Who applies them one by one must not take the earlier part for as new as the later one.
#[derive(Debug, Clone, PartialEq)]
pub struct Transaction {
    /// In their order; one at least.
    pub parts: Vec<Part>,
    /// When it was done, and on which node.
    pub version: Version,
    /// Who did it; empty when nobody says.
    pub user: String,
}

/// What was done to one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The table. It may be any: only who has subscribed to it should look further.
    pub table: TableName,
    /// What was done.
    pub change: Change,
}

/// What was done to a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Rows were written.
    Rows {
        /// Their attributes. They are not checked yet.
        rows: Vec<Row>,
        /// Their keys, in the same order; or none, and the rows have theirs.
        ids: Vec<Key>,
        /// Whether attributes that are not given stay.
        partial: bool,
    },
    /// Rows of these keys were deleted.
    Deleted(Vec<Key>),
    /// The table was made, or has learnt attributes.
    DefineSchema {
        /// The attribute that is the key, where it is said.
        primary_key: Option<String>,
        /// Names of attributes; they are not checked yet.
        attributes: Vec<String>,
    },
}

/// What a message may cost before it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Of the message.
    pub wire: harper_wire::Limits,
    /// Parts that `next` brings one after another.
    pub parts: usize,
    /// Rows, keys and attributes of all parts.
    pub rows: usize,
    /// Bytes of memory that the rows and keys take, roughly.
    pub memory: usize,
}

/// What NATS carries at most, as many rows as a request may have, and a million and a half values.
impl Default for Limits {
    fn default() -> Self {
        let wire = harper_wire::Limits { name: MAX_NAME, ..harper_wire::Limits::transaction() };
        Self { wire, parts: 100_000, rows: 100_000, memory: 256 << 20 }
    }
}

impl Limits {
    /// The same, and no more than so many bytes of memory: of the message as it is read, and of
    /// what is made of it.
    #[must_use]
    pub fn with_memory(mut self, bytes: usize) -> Self {
        self.memory = self.memory.min(bytes);
        self.wire.memory = self.wire.memory.min(bytes);
        self
    }
}

/// A transaction, and what it costs to keep it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// What the message says.
    pub transaction: Transaction,
    /// Bytes of memory that its rows and keys take, roughly.
    pub memory: usize,
}

impl Transaction {
    /// The transaction that a message holds.
    ///
    /// # Errors
    /// See [`TransactionError`]. Who gets one keeps the message for a human, and goes on.
    pub fn decode(payload: &[u8], limits: &Limits) -> Result<Self, TransactionError> {
        Ok(decode::decode(payload, limits)?.transaction)
    }

    /// The same, and what it costs to keep it.
    ///
    /// # Errors
    /// As of [`decode`](Self::decode).
    pub fn decode_measured(payload: &[u8], limits: &Limits) -> Result<Decoded, TransactionError> {
        decode::decode(payload, limits)
    }

    /// The message. How large it may be is for whoever publishes it to say.
    pub fn encode(&self) -> Vec<u8> {
        encode::encode(self)
    }
}
