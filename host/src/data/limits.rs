//! What a node takes of databases, tables and rows.

/// The longest key, in bytes.
pub const MAX_KEY: usize = 512;
/// The longest name of a database, a table or an attribute, in bytes.
pub const MAX_NAME: usize = 250;

/// What a node takes; what is beyond is refused before anything is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataLimits {
    /// Databases of a node.
    pub databases: usize,
    /// Tables of a node, of all databases.
    pub tables: usize,
    /// Attributes of a table.
    pub attributes: usize,
    /// Attributes of all tables: memory holds them, and a description of all tables does.
    pub all_attributes: usize,
    /// Bytes of a row, as MessagePack.
    pub row_bytes: usize,
    /// Values of a row, those within others too: one may be a single byte there, and takes some
    /// hundred of memory when it is read.
    pub row_values: usize,
    /// Objects and arrays of a row within each other, the row itself among them.
    pub depth: usize,
    /// Rows, or keys, of one request.
    pub rows: usize,
    /// Bytes of the rows that one request leaves behind, whole: they go to other nodes as one
    /// message, which NATS takes up to 64 MiB of.
    pub transaction_bytes: usize,
    /// Values in these rows, those within others too: what a node decodes of one message.
    pub transaction_values: usize,
    /// Keys in the change log. Beyond, its oldest entries go.
    pub log_keys: u64,
    /// Messages of other nodes that could not be applied and are laid aside. Beyond, the oldest go.
    pub dead_letters: u64,
    /// Bytes of these messages. The newest stays, however large it is.
    pub dead_letter_bytes: u64,
    /// Searches at the same time: each keeps what it reads from being overwritten.
    pub searches: usize,
}

impl Default for DataLimits {
    fn default() -> Self {
        Self {
            databases: 256,
            tables: 1000,
            attributes: 1000,
            all_attributes: 100_000,
            row_bytes: 1 << 20,
            row_values: 100_000,
            depth: 64,
            rows: 100_000,
            transaction_bytes: 60 << 20,
            transaction_values: 7_000_000,
            log_keys: 1_000_000,
            dead_letters: 10_000,
            dead_letter_bytes: 64 << 20,
            searches: 64,
        }
    }
}
