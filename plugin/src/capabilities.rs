//! What the logic needs of its host, as traits: the component's imports implement them, and so do
//! the fakes of the unit tests. Each mirrors the WIT interface of its name, which documents it.

#![expect(async_fn_in_trait, reason = "a component is one thread, so no future has to be Send")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything an operation may use.
pub trait Capabilities:
    Config + Clock + Log + Node + Nats + JetStream + Tables + Replication
{
}

impl<T: Config + Clock + Log + Node + Nats + JetStream + Tables + Replication> Capabilities for T {}

/// The configuration file, by key path (`wit/config.wit`).
pub trait Config {
    /// Reads the values at `paths`, all from one state of the file.
    async fn get<const N: usize>(&self, paths: [&str; N]) -> Result<Snapshot<N>, ConfigError>;

    /// Writes all changes at once, if the file is still at `expected`.
    async fn set(&self, expected: &str, changes: &[Change<'_>]) -> Result<(), ConfigError>;
}

/// Values read at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot<const N: usize> {
    /// The state of the file that they were read from.
    pub revision: String,
    /// One value for each path, in the order asked for. A missing key reads as null.
    pub values: [Value; N],
}

/// A value to be put at a key path.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// The key path, its keys joined with dots.
    pub path: &'a str,
    /// The new value.
    pub value: Value,
}

/// Why the configuration could not be read or written. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// The file is no longer in the state that was expected.
    Conflict,
    /// Anything that reading again does not mend, as a sentence for the caller.
    Failed(String),
}

/// Time (`wit/clock.wit`).
pub trait Clock {
    /// Nanoseconds since some moment before this call. Never goes back.
    fn monotonic(&self) -> u64;

    /// Waits.
    async fn sleep(&self, duration: Duration);
}

/// The host's log (`wit/log.wit`).
pub trait Log {
    /// Something is wrong, and the operation goes on.
    fn warn(&self, message: &str);
}

/// What this node is (`wit/node.wit`).
pub trait Node {
    /// What it is now.
    fn info(&self) -> NodeInfo;
}

/// All that there is to say of this node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeInfo {
    /// The name under which other nodes know it. None when it was given none.
    pub name: Option<String>,
    /// Whether it runs clustering.
    pub clustering: bool,
    /// Where the hubs of other nodes connect.
    pub clustering_port: Option<u16>,
    /// Where the operations API is.
    pub operations_api_port: Option<u16>,
    /// How long it has been running.
    pub uptime: Duration,
    /// Names this run of the host; another at each start.
    pub boot: u64,
    /// What it runs.
    pub system_info: SystemInfo,
    /// How long one node is waited for when the state of all is asked.
    pub status_timeout: Duration,
}

/// The software of a node, as nodes tell each other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SystemInfo {
    /// The host's version.
    pub hdb_version: String,
    /// The version of Node.js.
    pub node_version: String,
    /// The operating system.
    pub platform: String,
}

/// Other nodes (`wit/nats.wit`).
pub trait Nats {
    /// Sends a request and waits for the first answer, of at most `largest` bytes.
    async fn request(
        &self,
        subject: &str,
        payload: &[u8],
        timeout: Duration,
        largest: u32,
    ) -> Result<Vec<u8>, NatsError>;

    /// Asks every server of the network, and returns those that answer.
    async fn servers(&self, timeout: Duration) -> Result<Vec<ServerInfo>, NatsError>;
}

/// A server of the network, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// Its name.
    pub name: String,
    /// From the question until its answer.
    pub response_time: Duration,
    /// The names of the servers that it has routes to.
    pub routes: Vec<String>,
    /// Where its configuration tells it to connect to.
    pub cluster_urls: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NatsError {
    /// This node has no clustering.
    NotEnabled,
    /// Nobody listens.
    NoResponders,
    /// Somebody listens, and did not answer in time.
    Timeout,
    /// What came or was to go is too large, as a sentence.
    TooLarge(String),
    /// Anything that is no other node's doing, as a sentence for the caller.
    Failed(String),
}

/// The streams that hold tables' transactions (`wit/jetstream.wit`).
pub trait JetStream {
    /// Looks at a stream.
    async fn inspect(
        &self,
        domain: &str,
        stream: &str,
        timeout: Duration,
    ) -> Result<StreamState, JetStreamError>;

    /// Removes messages from a stream, and returns how many.
    async fn purge(
        &self,
        domain: &str,
        stream: &str,
        extent: Extent,
        timeout: Duration,
    ) -> Result<u64, JetStreamError>;
}

/// A stream as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamState {
    /// The sequence of the last message that it was given; 0 before the first.
    pub last_sequence: u64,
    /// When it was made. One that was deleted and made anew has another.
    pub created: String,
}

/// What a purge leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Nothing.
    All,
    /// So many of the newest messages.
    Keep(u64),
    /// The messages from this sequence on.
    Before(u64),
}

/// Why a stream was not read or purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JetStreamError {
    /// This node has no clustering.
    NotEnabled,
    /// The domain has no such stream.
    NotFound,
    /// The domain cannot be reached.
    Unavailable(String),
    /// The domain did not answer in time; a purge may be done or not.
    Timeout,
    /// Anything else, as a sentence for the caller.
    Failed(String),
}

/// The node's tables (`wit/tables.wit`).
pub trait Tables {
    /// One record; none when there is none of this key.
    async fn get(&self, database: &str, table: &str, key: &str)
    -> Result<Option<Row>, TablesError>;

    /// The state of one record, without the record.
    async fn revision(
        &self,
        database: &str,
        table: &str,
        key: &str,
    ) -> Result<Option<String>, TablesError> {
        Ok(self.get(database, table, key).await?.map(|row| row.revision))
    }

    /// Records of a table, whose keys come after `after`.
    async fn list(
        &self,
        database: &str,
        table: &str,
        after: Option<&str>,
    ) -> Result<Page, TablesError>;

    /// Writes a record, a JSON object, if it is still at `expected`, or if there is none and none is expected.
    /// Returns its new revision.
    async fn put(
        &self,
        database: &str,
        table: &str,
        key: &str,
        record: &str,
        expected: Option<&str>,
    ) -> Result<String, TablesError>;

    /// Removes a record if it is still at `expected`.
    async fn delete(
        &self,
        database: &str,
        table: &str,
        key: &str,
        expected: &str,
    ) -> Result<(), TablesError>;

    /// Makes a table that is not there, and its database. One that is there gets the attributes that
    /// it lacks.
    async fn create(&self, table: &TableInfo) -> Result<(), TablesError>;

    /// The same of several, all or none.
    async fn create_all(&self, tables: &[TableInfo]) -> Result<(), TablesError>;

    /// All tables.
    async fn describe(&self) -> Result<Vec<TableInfo>, TablesError>;
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its key.
    pub key: String,
    /// The state that it was read in.
    pub revision: String,
    /// The record: a JSON object.
    pub record: String,
}

/// Some records, in the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The records.
    pub rows: Vec<Row>,
    /// The key after which the next page begins; none when this is the last.
    pub next: Option<String>,
}

/// A table, without its records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableInfo {
    /// The database that it is in.
    pub database: String,
    /// Its name.
    pub name: String,
    /// The attribute that is the key.
    pub hash_attribute: String,
    /// All attributes, the key among them.
    pub attributes: Vec<String>,
}

/// Why tables were not read or written. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TablesError {
    /// The record is no longer in the state that was expected.
    Conflict,
    /// The table is there with another key, as a sentence for the caller.
    ExistsOtherwise(String),
    /// Anything that reading again does not mend, as a sentence for the caller.
    Failed(String),
}

/// This node's streams, and its durables on those of others (`wit/replication.wit`).
pub trait Replication {
    /// This node's streams for these tables, each a database and a table, are there when it returns.
    async fn ensure_streams(&self, tables: &[(&str, &str)]) -> Result<(), ReplicationError>;

    /// Waits until streams and durables are as the record of `node` says.
    async fn settle(&self, node: &str, timeout: Duration) -> Result<(), ReplicationError>;
}

/// Why streams and durables are not as they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicationError {
    /// This node has no clustering.
    NotEnabled,
    /// They were not so in time, as a sentence; the host goes on with it.
    Unsettled(String),
    /// Anything else, as a sentence for the caller.
    Failed(String),
}
