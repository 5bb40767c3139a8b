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
    /// stands in the value. As JSON it takes up to four times as much.
    pub memory: usize,
}

/// For requests of other nodes and their replies.
impl Default for Limits {
    fn default() -> Self {
        Self { length: 4 << 20, depth: 64, items: 500_000, slots: 64, memory: 24 << 20 }
    }
}

impl Limits {
    /// For transactions on a stream, whose rows are a client's and whose size is NATS's
    /// `max_payload`.
    pub fn transaction() -> Self {
        Self { length: 64 << 20, depth: 128, items: 8_000_000, slots: 8192, memory: 512 << 20 }
    }
}
