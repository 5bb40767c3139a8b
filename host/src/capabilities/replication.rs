//! `replication`: the streams and durable consumers that make tables flow between nodes.

use std::any::Any;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf};

use crate::capabilities::grants::is_stream_name;
use crate::capabilities::{BoxFuture, Call, Capability, NotEnabled, TableName};
use crate::wit::harper::plugin::replication as wit;

/// The longest wait of `ensure-streams`: a node's own server answers in milliseconds.
const ENSURE_MILLISECONDS: u64 = 10_000;

/// What keeps streams and durable consumers as the records of nodes say.
///
/// Ours is the [reconciler](crate::replication); an embedder with one of its own implements this
/// trait and gives it to the [builder](crate::HostBuilder::replication).
pub trait Replication: Send + Sync + 'static {
    /// Makes this node's streams for these tables: they are there when it returns, and stay until what
    /// it returns is dropped even if no record names them. A call of a plugin keeps it until it ends.
    fn ensure_streams(
        &self,
        tables: Vec<TableName>,
        timeout: Duration,
    ) -> BoxFuture<'_, std::result::Result<Held, ReplicationError>>;

    /// Waits until durable consumers and streams match the record of this node as it is now, for
    /// `timeout` at most; without a record, until nothing is left that it needed.
    fn settle(
        &self,
        node: String,
        timeout: Duration,
    ) -> BoxFuture<'_, std::result::Result<(), ReplicationError>>;
}

/// Keeps something as it is until it is dropped.
pub type Held = Box<dyn Any + Send + Sync>;

/// Why it is not done. The texts are for the caller: clear, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplicationError {
    /// There is no clustering.
    #[error("Clustering is not enabled")]
    NotEnabled,
    /// A name is none of a table or a node.
    #[error("{0}")]
    InvalidRequest(String),
    /// The node's own server or its store did not do it.
    #[error("{0}")]
    Unavailable(String),
    /// It was not so in time: what does not match.
    #[error("{0}")]
    Unsettled(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Replication for NotEnabled {
    fn ensure_streams(
        &self,
        _: Vec<TableName>,
        _: Duration,
    ) -> BoxFuture<'_, std::result::Result<Held, ReplicationError>> {
        Box::pin(async { Err(ReplicationError::NotEnabled) })
    }

    fn settle(
        &self,
        _: String,
        _: Duration,
    ) -> BoxFuture<'_, std::result::Result<(), ReplicationError>> {
        Box::pin(async { Err(ReplicationError::NotEnabled) })
    }
}

impl From<ReplicationError> for wit::Error {
    fn from(error: ReplicationError) -> Self {
        match error {
            ReplicationError::NotEnabled => Self::NotEnabled,
            ReplicationError::InvalidRequest(text) => Self::InvalidRequest(text),
            ReplicationError::Unavailable(text) => Self::Unavailable(text),
            ReplicationError::Unsettled(text) => Self::Unsettled(text),
            ReplicationError::Other(text) => Self::Other(text),
        }
    }
}

type Answer<T> = Result<std::result::Result<T, wit::Error>>;

impl wit::Host for Call {}

/// Charges a call, and checks whether it is allowed, and the names.
fn begin<'n>(
    call: &mut Call,
    bytes: usize,
    changes: bool,
    mut names: impl Iterator<Item = &'n str>,
) -> Answer<()> {
    call.meter.host_call(Capability::Replication, bytes)?;
    let refused = match changes {
        true => call.missing_to_change(|grants| grants.replication),
        false => call.missing(|grants| grants.replication),
    };
    if let Some(refused) = refused {
        let text = format!("{refused} use 'replication'");
        return Ok(Err(wit::Error::Denied(text)));
    }
    if let Some(name) = names.find(|name| !is_stream_name(name)) {
        let text = format!("'{}' is no name of a table or node", name.escape_debug());
        return Ok(Err(wit::Error::InvalidRequest(text)));
    }
    Ok(Ok(()))
}

impl<T: Send> wit::HostWithStore<T> for HasSelf<Call> {
    async fn ensure_streams(
        accessor: &Accessor<T, Self>,
        tables: Vec<wit::TableName>,
    ) -> Answer<()> {
        let (replication, timeout, begun) = accessor.with(|mut access| {
            let call = access.get();
            let bytes = tables.iter().map(|table| table.database.len() + table.name.len()).sum();
            let names = tables.iter().flat_map(|table| [&*table.database, &*table.name]);
            let begun = begin(call, bytes, true, names)?;
            let timeout = call.time_for(ENSURE_MILLISECONDS);
            wasmtime::error::Ok((call.capabilities.replication.clone(), timeout, begun))
        })?;
        if let Err(refused) = begun {
            return Ok(Err(refused));
        }
        let name =
            |table: wit::TableName| TableName { database: table.database, table: table.name };
        let tables = tables.into_iter().map(name).collect();
        let done = tokio::time::timeout(timeout, replication.ensure_streams(tables, timeout)).await;
        let late = || ReplicationError::Unavailable("The streams were not made in time".into());
        match done.unwrap_or_else(|_| Err(late())) {
            Ok(held) => {
                accessor.with(|mut access| access.get().held.push(held));
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn settle(accessor: &Accessor<T, Self>, node: String, timeout: u64) -> Answer<()> {
        let (replication, timeout, begun) = accessor.with(|mut access| {
            let call = access.get();
            let begun = begin(call, node.len(), false, std::iter::once(&*node))?;
            let timeout = call.time_for(timeout);
            wasmtime::error::Ok((call.capabilities.replication.clone(), timeout, begun))
        })?;
        if let Err(refused) = begun {
            return Ok(Err(refused));
        }
        // Whoever implements the trait, nobody waits much longer; it has the time to say what is left.
        let most = timeout + Duration::from_millis(100);
        let settled = tokio::time::timeout(most, replication.settle(node, timeout)).await;
        let late = || ReplicationError::Unsettled("It is not known whether it is so".into());
        Ok(settled.unwrap_or_else(|_| Err(late())).map_err(wit::Error::from))
    }
}
