//! What carries transactions from node to node, as the engine sees it: streams of tables, each on
//! the node that it is of, and this node's durable consumers on those of others.

use crate::capabilities::TableName;
use crate::data::Message;
use crate::nats::{FAR, acks_all_from};

/// Carries transactions. Ours is [`NatsBus`](super::nats::NatsBus); the tests have one in memory.
///
/// Nothing here waits without end: what cannot be reached is [`BusError::Away`].
pub(crate) trait Bus: Send + Sync + 'static {
    /// Resolves once a message is stored.
    type Receipt: Future<Output = Result<(), BusError>> + Send;
    /// Reads one stream.
    type Reader: Reader;

    /// Whether this node is to have a stream of the table; none as long as that is not known.
    fn is_shared(&self, table: &TableName) -> Option<bool>;

    /// Sends a message to this node's stream of the table. After an error it may be stored all the
    /// same, and then one with the same id is not stored again.
    fn publish(
        &self,
        table: &TableName,
        message: Outbound,
    ) -> impl Future<Output = Result<Self::Receipt, BusError>> + Send;

    /// How a stream of another node is, and this node's durable consumer on it.
    fn look(
        &self,
        source: &str,
        table: &TableName,
    ) -> impl Future<Output = Result<Look, BusError>> + Send;

    /// The same, without the durable consumer: one question.
    fn end(
        &self,
        source: &str,
        table: &TableName,
    ) -> impl Future<Output = Result<End, BusError>> + Send;

    /// The first sequence from this one on of which the stream has a message.
    fn next_message(
        &self,
        source: &str,
        table: &TableName,
        sequence: u64,
    ) -> impl Future<Output = Result<Option<u64>, BusError>> + Send;

    /// Removes the durable consumer.
    fn remove(
        &self,
        source: &str,
        table: &TableName,
    ) -> impl Future<Output = Result<(), BusError>> + Send;

    /// Makes the durable consumer anew, so that it begins with this sequence. One acknowledgement is
    /// for all that came before, unless it begins beyond [`FAR`].
    fn begin_at(
        &self,
        source: &str,
        table: &TableName,
        sequence: u64,
    ) -> impl Future<Output = Result<(), BusError>> + Send;

    /// Reads what the durable consumer gives, at most so many messages ahead.
    fn read(
        &self,
        source: &str,
        table: &TableName,
        ahead: usize,
    ) -> impl Future<Output = Result<Self::Reader, BusError>> + Send;

    /// Something is not there that a record names: whoever makes it should look.
    fn is_missing(&self, what: Missing<'_>);
}

/// Reads one stream. It may give a message again, and after a break others than the next ones.
pub(crate) trait Reader: Send + 'static {
    /// What has come, at most so many: waits until something has, and fails when the other side
    /// falls silent. Dropping the future loses nothing.
    fn next(&mut self, most: usize)
    -> impl Future<Output = Result<Vec<Delivery>, BusError>> + Send;

    /// Says that a message need not come again, and where the durable consumer takes it so, what
    /// came before it neither.
    fn acknowledge(&mut self, reply: String) -> impl Future<Output = Result<(), BusError>> + Send;
}

/// A message that goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outbound {
    /// Of two with the same id a stream keeps the first.
    pub(crate) id: String,
    /// The node that did it, and those that have it already.
    pub(crate) passed: crate::transaction::Passed,
    /// The transaction.
    pub(crate) payload: Vec<u8>,
}

/// A message that has come.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// The message.
    pub(crate) message: Message,
    /// What its headers say.
    pub(crate) passed: crate::transaction::Passed,
    /// Where it is acknowledged.
    pub(crate) reply: String,
    /// When the other node's server got it, in milliseconds since 1970.
    pub(crate) published: u64,
    /// Messages that come after it, as far as the other node knew.
    pub(crate) pending: u64,
}

/// A stream of another node at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    /// When it was made, as its server writes it.
    pub(crate) created: String,
    /// The first sequence that it holds; beyond the last one when it holds none.
    pub(crate) first: u64,
    /// The last sequence that it was given.
    pub(crate) last: u64,
    /// This node's durable consumer.
    pub(crate) durable: Option<Durable>,
}

/// Where a stream of another node ends at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    /// When the stream was made, as its server writes it.
    pub(crate) created: String,
    /// The last sequence that it was given.
    pub(crate) last: u64,
}

/// A durable consumer at one moment, in sequences of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Durable {
    /// Whether it has given nothing yet.
    pub(crate) is_new: bool,
    /// The last that it has given; of a new one, the one before its first.
    pub(crate) delivered: u64,
    /// Up to there all are acknowledged.
    pub(crate) acknowledged: u64,
    /// Whether one acknowledgement is for all that came before, too.
    pub(crate) acks_all: bool,
}

impl Durable {
    /// Whether it is read on after the sequence `applied` as it is. Earlier versions of this host made
    /// all of them so that each message wants its acknowledgement: those are too slow.
    pub(crate) fn suits(&self, applied: u64) -> bool {
        self.delivered == applied
            && self.acknowledged <= applied
            && match self.acks_all {
                true => applied - self.acknowledged <= FAR,
                false => !acks_all_from(applied + 1),
            }
    }
}

/// What is not there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Missing<'a> {
    /// This node's stream of a table.
    Stream,
    /// This node's durable consumer on a stream of this node.
    Durable(&'a str),
}

/// Why the bus did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BusError {
    /// The node, or this node's own server, does not answer or cannot be reached.
    #[error("{0}")]
    Away(String),
    /// There is no such stream.
    #[error("there is no stream of this table")]
    NoStream,
    /// There is no such durable consumer.
    #[error("the durable consumer is not there")]
    NoDurable,
    /// The message, or what its headers say, is larger than the bus carries, or than the stream
    /// may take: it will not be taken later either.
    #[error("the message is too large")]
    TooLarge,
    /// It answered that it does not do it.
    #[error("{0}")]
    Refused(String),
}
