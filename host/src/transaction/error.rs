//! Why a message is no transaction.

use std::fmt;

use crate::data::KeyError;

/// Why a message is no transaction, or one that is refused. No text holds anything of the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The bytes are no MessagePack, or more than is taken.
    #[error("{0}")]
    Message(#[from] harper_wire::DecodeError),
    /// The message, or the `next` of a part, is no map.
    #[error("part {part} is no object")]
    NoMap {
        /// Its place, from 0.
        part: usize,
    },
    /// Something that a part needs is not there, or is no such thing.
    #[error("part {part} has no valid '{field}'")]
    Field {
        /// Its place, from 0.
        part: usize,
        /// What it is.
        field: Field,
    },
    /// The operation is none of those that change rows.
    #[error("part {part} is of an unknown operation")]
    Operation {
        /// Its place, from 0.
        part: usize,
    },
    /// A key cannot be one.
    #[error("a key of part {part} {problem}")]
    Key {
        /// Its place, from 0.
        part: usize,
        /// What is wrong with it.
        problem: KeyError,
    },
    /// There are not as many keys as rows.
    #[error("part {part} has not as many keys as records")]
    Uneven {
        /// Its place, from 0.
        part: usize,
    },
    /// [`Limits::parts`](super::Limits::parts).
    #[error("the transaction has more than {limit} parts")]
    TooManyParts {
        /// The limit.
        limit: usize,
    },
    /// [`Limits::rows`](super::Limits::rows).
    #[error("the transaction has more than {limit} records, keys and attributes")]
    TooManyRows {
        /// The limit.
        limit: usize,
    },
    /// [`Limits::memory`](super::Limits::memory).
    #[error("the transaction would take more than {limit} bytes of memory")]
    TooMuchMemory {
        /// The limit.
        limit: usize,
    },
}

impl TransactionError {
    /// Whether the bytes may well be a transaction, and one that costs too much.
    pub fn is_limit(&self) -> bool {
        match self {
            Self::Message(error) => error.is_limit(),
            Self::TooManyParts { .. } | Self::TooManyRows { .. } | Self::TooMuchMemory { .. } => {
                true
            }
            _ => false,
        }
    }

    /// Whether more memory could help.
    pub fn is_memory(&self) -> bool {
        use harper_wire::DecodeError;
        let is_wire = matches!(self, Self::Message(DecodeError::TooMuchMemory { .. }));
        is_wire || matches!(self, Self::TooMuchMemory { .. })
    }
}

/// What a part needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// The name of what was done.
    Operation,
    /// The database: a string of the first part.
    Schema,
    /// The table: a string.
    Table,
    /// The rows: objects.
    Records,
    /// The keys.
    HashValues,
    /// The attributes: strings, or objects that name one.
    Attributes,
    /// Who did it, when and where.
    Origin,
    /// When it was done: a number of milliseconds from 1970 to 2248, or a date.
    Timestamp,
    /// The node that did it: a string, short and without characters that cannot be shown.
    NodeName,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operation => "operation",
            Self::Schema => "schema",
            Self::Table => "table",
            Self::Records => "records",
            Self::HashValues => "hash_values",
            Self::Attributes => "attributes",
            Self::Origin => "__origin",
            Self::Timestamp => "__origin.timestamp",
            Self::NodeName => "__origin.node_name",
        })
    }
}
