//! What a message may cost before it is refused.

/// How deep a message may nest, whatever [`Limits::depth`] says: what walks a value calls itself
/// for each level, and the stack of a component is small.
pub(crate) const DEEPEST: usize = 256;

/// What a message may cost before [`decode`](crate::decode) refuses it. Nothing is allocated that
/// is not within them, however much a message claims to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the message.
    pub length: usize,
    /// Arrays and maps within each other. Above 256 it counts as 256.
    pub depth: usize,
    /// Values, all arrays and maps and what is in them. Keys do not count.
    pub items: usize,
    /// Shapes of records that are defined at the same time.
    pub slots: usize,
    /// Bytes of memory that the value takes, roughly, with each key counted as often as it
    /// stands in the value. As JSON it takes up to four times as much: see
    /// [`Value::json_size`](crate::Value::json_size).
    pub memory: usize,
    /// Bytes of a key of the maps of a chain, and of those right below them, which may be in an
    /// array: a transaction's rows. A record repeats its keys for a byte, so that they are held
    /// against this once, before they are repeated. What is further within is data, whose keys
    /// may be of any length. [`decode`](crate::decode), which knows no chain, asks nothing of it.
    pub name: usize,
}

/// For requests of other nodes and their replies.
impl Default for Limits {
    fn default() -> Self {
        let (length, memory) = (4 << 20, 24 << 20);
        Self { length, depth: 64, items: 500_000, slots: 64, memory, name: 4096 }
    }
}

impl Limits {
    /// For transactions on a stream, whose rows are a client's and whose size is NATS's
    /// `max_payload`.
    ///
    /// Of ours, which have 30 MiB and 250,000 values at the most, the largest take some 60 MiB. A
    /// million short values with their keys, of a node that sends all rows of a request at once,
    /// take some 120 MiB.
    pub fn transaction() -> Self {
        let (length, memory) = (64 << 20, 192 << 20);
        Self { length, depth: 128, items: 8_000_000, slots: 8192, memory, name: 250 }
    }
}
