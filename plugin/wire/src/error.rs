//! Why bytes are no message, or one that is refused.

/// Why bytes are no message, or one that is refused. `at` is the offset, from 0, of the byte that
/// the trouble begins with. No text holds anything of the message itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message ends before the value does, or claims to hold more than there are bytes left.
    #[error("the message ends within the value at byte {at}")]
    Truncated {
        /// Offset.
        at: usize,
    },
    /// The value is complete, and bytes follow.
    #[error("the message goes on at byte {at}, after its value")]
    Trailing {
        /// Offset.
        at: usize,
    },
    /// No value begins with this byte (`c1`, which MessagePack does not use).
    #[error("byte {at} begins no value")]
    Token {
        /// Offset.
        at: usize,
    },
    /// An extension that msgpackr writes only where it is told to, or one of somebody else.
    #[error("the value at byte {at} is of the unknown extension type {kind}")]
    Extension {
        /// The extension's type.
        kind: u8,
        /// Offset.
        at: usize,
    },
    /// A date of a length that dates do not have.
    #[error("the date at byte {at} has a wrong length")]
    Date {
        /// Offset.
        at: usize,
    },
    /// A definition of a record without an array of keys.
    #[error("the record at byte {at} has no array of keys")]
    Record {
        /// Offset.
        at: usize,
    },
    /// A record of a shape that no definition came before.
    #[error("the record at byte {at} is of an undefined shape")]
    Undefined {
        /// Offset.
        at: usize,
    },
    /// A key that is neither a string nor what JavaScript makes one of in one way: an integer, a
    /// plain fraction, a boolean, null.
    #[error("the key at byte {at} cannot be one")]
    Key {
        /// Offset.
        at: usize,
    },
    /// A map or a record that has a key twice. JavaScript writes none, and readers would disagree
    /// on what it says.
    #[error("the map at byte {at} has a key twice")]
    DuplicateKey {
        /// Offset.
        at: usize,
    },
    /// [`Limits::name`](crate::Limits::name). `at` is where the map, or the record, begins.
    #[error("the map at byte {at} has a key of more than {limit} bytes")]
    LongKey {
        /// Offset.
        at: usize,
        /// The limit.
        limit: usize,
    },
    /// [`Limits::length`](crate::Limits::length).
    #[error("the message is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// [`Limits::depth`](crate::Limits::depth).
    #[error("the message nests deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// [`Limits::items`](crate::Limits::items).
    #[error("the message holds more than {limit} values")]
    TooManyItems {
        /// The limit.
        limit: usize,
    },
    /// [`Limits::slots`](crate::Limits::slots).
    #[error("the message defines more than {limit} shapes of records")]
    TooManySlots {
        /// The limit.
        limit: usize,
    },
    /// [`Limits::memory`](crate::Limits::memory).
    #[error("the message would take more than {limit} bytes of memory")]
    TooMuchMemory {
        /// The limit.
        limit: usize,
    },
}

impl DecodeError {
    /// Whether the bytes may well be a message, and one that costs too much.
    pub fn is_limit(&self) -> bool {
        matches!(
            self,
            Self::TooLong { .. }
                | Self::TooDeep { .. }
                | Self::TooManyItems { .. }
                | Self::TooManySlots { .. }
                | Self::LongKey { .. }
                | Self::TooMuchMemory { .. }
        )
    }
}
