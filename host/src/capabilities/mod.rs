//! What plugins may use, one file a capability, each under the name of its WIT interface.
//!
//! A capability is two things: a trait that does the work, which an embedder may replace, and the
//! WIT interface's implementation on top, which checks the plugin's grant and charges the call's
//! budget before it asks the trait.

mod call;
pub(crate) mod clock;
pub(crate) mod config;
mod grants;
pub(crate) mod jetstream;
pub(crate) mod log;
mod meter;
pub(crate) mod nats;
pub(crate) mod node;
pub(crate) mod replication;
pub(crate) mod tables;

pub use clock::{Clock, SystemClock};
pub use config::{Change, Config, ConfigError, Durable, Snapshot, Texts};
pub use grants::{
    ConfigGrants, Grant, GrantError, Grants, JetStreamGrants, KeyPath, KeyPattern, ManifestError,
    NatsGrants, RESERVED_KEYS, RESERVED_SUBJECTS, ReservedError, SYSTEM_DATABASE, StreamPattern,
    SubjectPattern, TableGrants, TablePattern,
};
pub use jetstream::{Extent, JetStream, JetStreamError, StreamInfo};
pub use log::{Entry, Level, Log, TracingLog};
pub use nats::{Nats, NatsError, ServerInfo};
pub use node::{Node, NodeInfo, Ports, SystemInfo, ThisNode};
pub use replication::{Held, Replication, ReplicationError};
pub use tables::{Page, ROWS_OF_A_PAGE, Row, TableInfo, TableName, Tables, TablesError};

pub(crate) use call::{Call, Purpose};
pub(crate) use config::Counted;
pub(crate) use grants::{Keys, is_stream_name};
pub(crate) use meter::{Capability, Exceeded, HostCalls, Meter};
pub(crate) use tables::NoTables;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker};

use crate::wit;

/// What a capability that waits returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whoever implements a capability that waits keeps the time it is given. It is left alone for this
/// much longer, since what it says then is more than that time is up.
pub(crate) const MARGIN: Duration = Duration::from_millis(50);

/// One implementation of each capability.
#[derive(Clone)]
pub struct Capabilities {
    /// The configuration file.
    pub config: Arc<dyn Config>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What this node is.
    pub node: Arc<dyn Node>,
    /// Other nodes.
    pub nats: Arc<dyn Nats>,
    /// Streams.
    pub jetstream: Arc<dyn JetStream>,
    /// The node's records.
    pub tables: Arc<dyn Tables>,
    /// Streams and durable consumers, kept as the records say.
    pub replication: Arc<dyn Replication>,
}

/// A host that runs no clustering.
pub(crate) struct NotEnabled;

/// Gives every capability to the components that are linked with `linker`.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    call: fn(&mut T) -> &mut Call,
) -> Result<()> {
    wit::harper::plugin::types::add_to_linker::<T, HasSelf<Call>>(linker, call)?;
    wit::harper::plugin::config::add_to_linker::<T, HasSelf<Call>>(linker, call)?;
    wit::harper::plugin::log::add_to_linker::<T, HasSelf<Call>>(linker, call)?;
    wit::harper::plugin::clock::add_to_linker::<T, HasSelf<Call>>(linker, call)?;
    wit::harper::plugin::node::add_to_linker::<T, HasSelf<Call>>(linker, call)?;
    wit::harper::plugin::nats::add_to_linker::<T, HasSelf<Call>>(linker, call)?;
    wit::harper::plugin::jetstream::add_to_linker::<T, HasSelf<Call>>(linker, call)?;
    wit::harper::plugin::tables::add_to_linker::<T, HasSelf<Call>>(linker, call)?;
    wit::harper::plugin::replication::add_to_linker::<T, HasSelf<Call>>(linker, call)
}
