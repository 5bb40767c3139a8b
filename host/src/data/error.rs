//! Why a request on data was not done, as the caller is told.

use crate::capabilities::TableName;
use crate::dispatch::ErrorKind;
use crate::store;

use super::key::KeyError;
use super::names::NameError;

/// Why a request was not done; nothing was changed, but where it says so. The texts are for the
/// caller, without paths of the machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such database.
    #[error("database '{0}' does not exist")]
    NoDatabase(String),
    /// There is no such table, or no longer.
    #[error("Table '{0}' does not exist")]
    NoTable(TableName),
    /// The table has no such attribute.
    #[error("Table '{0}' has no attribute '{1}'")]
    NoAttribute(TableName, String),
    /// There is such a database.
    #[error("database '{0}' already exists")]
    DatabaseExists(String),
    /// There is such a table.
    #[error("Table '{0}' already exists")]
    TableExists(TableName),
    /// The table is there, with another primary key.
    #[error("Table '{table}' has the primary key '{has}', not '{wanted}'")]
    OtherKey {
        /// The table.
        table: TableName,
        /// Its primary key.
        has: String,
        /// The one that it should have.
        wanted: String,
    },
    /// Something cannot have this name.
    #[error("'{0}' {1}")]
    Name(&'static str, NameError),
    /// An attribute cannot have this name.
    #[error("The attribute name '{name}' in {place} {problem}")]
    Attribute {
        /// The name, shortened, and without characters that cannot be shown.
        name: String,
        /// Where it stands.
        place: String,
        /// What is wrong with it.
        problem: NameError,
    },
    /// A value cannot be a key.
    #[error("'{place}' {problem}")]
    Key {
        /// Where it stands.
        place: String,
        /// What is wrong with it.
        problem: KeyError,
    },
    /// A row that is to be updated has no primary key.
    #[error("'{place}' is required")]
    NoKey {
        /// Where it should stand.
        place: String,
    },
    /// One of the limits. The text names it.
    #[error("{0}")]
    Limit(String),
    /// The request is larger than what can go to other nodes as one message.
    #[error("The transaction is too large: its rows may have at most {0}")]
    TooLarge(String),
    /// The row is no longer in the version that was expected.
    #[error("The record was changed meanwhile")]
    Conflict,
    /// Too many requests wait already.
    #[error("Too many requests at the same time, try again")]
    Busy,
    /// The database did not answer in time; the change may have been made, or be made yet.
    #[error("The database did not answer in time: the change may have been made")]
    Late,
    /// A search took longer than it may; what came of it is not all.
    #[error("The search took too long: ask for less with 'limit' and 'offset'")]
    SlowSearch,
    /// The disk is full.
    #[error("The disk is full: nothing can be written until there is room")]
    Full,
    /// The database cannot be read or written; the log has the cause.
    #[error("The node's database failed: its log has the cause")]
    Failed,
    /// The node stops, or whoever worked on the request is gone.
    #[error("The database did not answer")]
    Lost,
}

impl Error {
    /// What kind of failure this is to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoDatabase(_)
            | Self::NoTable(_)
            | Self::NoAttribute(..)
            | Self::DatabaseExists(_)
            | Self::TableExists(_)
            | Self::OtherKey { .. }
            | Self::Name(..)
            | Self::Attribute { .. }
            | Self::Key { .. }
            | Self::NoKey { .. }
            | Self::Limit(_) => ErrorKind::Invalid,
            Self::Conflict => ErrorKind::Conflict,
            Self::TooLarge(_) => ErrorKind::TooLarge,
            Self::Busy | Self::SlowSearch => ErrorKind::Busy,
            Self::Late | Self::Full | Self::Failed | Self::Lost => ErrorKind::Failed,
        }
    }

    /// Whether the store has failed, and not the request.
    pub(super) fn is_of_store(&self) -> bool {
        matches!(self, Self::Full | Self::Failed | Self::Lost)
    }
}

/// A name as a text may show it.
pub(super) fn shown(name: &str) -> String {
    let short: String = name.chars().take(64).collect();
    let dots = if short.len() < name.len() { "…" } else { "" };
    format!("{}{dots}", short.escape_debug())
}

/// The caller is told whose doing it is, and the log the cause.
impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Full => Self::Full,
            store::Error::Lost => Self::Lost,
            store::Error::Database(_) | store::Error::Value(_) | store::Error::TooMany(_) => {
                tracing::error!("the node's data cannot be read or written: {error}");
                Self::Failed
            }
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Error {
    fn from(error: E) -> Self {
        store::Error::from(error).into()
    }
}
