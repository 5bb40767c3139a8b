//! `nats`: requests to other nodes, and who is in the network.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf};

use crate::capabilities::grants::is_subject;
use crate::capabilities::node::milliseconds;
use crate::capabilities::{BoxFuture, Call, Capability, MARGIN, NotEnabled};
use crate::wit::harper::plugin::nats as wit;

/// The network that nodes ask each other over.
///
/// Ours are the node's own servers; an embedder that has a connection of its own implements this
/// trait and gives it to the [builder](crate::HostBuilder::nats). Without either a host has none,
/// and says that clustering is not enabled.
pub trait Nats: Send + Sync + 'static {
    /// Sends a request and waits for the first answer, for `timeout` at most. `subject` has been
    /// checked: it is one subject, without wildcards or blanks.
    fn request(
        &self,
        subject: String,
        payload: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<'_, std::result::Result<Vec<u8>, NatsError>>;

    /// Asks every server of the network, and returns those that answer: as soon as all that are
    /// known to be there have, and after `timeout` in any case.
    fn servers(
        &self,
        timeout: Duration,
    ) -> BoxFuture<'_, std::result::Result<Vec<ServerInfo>, NatsError>>;
}

/// A server of the network, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// Its name: `<node>-hub` or `<node>-leaf`.
    pub name: String,
    /// From the question until its answer.
    #[serde(with = "crate::capabilities::node::in_milliseconds")]
    pub response_time: Duration,
    /// The names of the servers that it has routes to.
    pub routes: Vec<String>,
    /// Where its configuration tells it to connect to, each `host:port`.
    pub cluster_urls: Vec<String>,
}

/// Why there is no answer. The texts are for the caller: clear, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NatsError {
    /// There is no network.
    #[error("Clustering is not enabled")]
    NotEnabled,
    /// Nobody listens on the subject.
    #[error("Nobody listens")]
    NoResponders,
    /// Somebody listens, and did not answer in time.
    #[error("There was no answer in time")]
    Timeout,
    /// The payload has more bytes than the network takes.
    #[error("{0}")]
    TooLarge(String),
    /// The node's own server cannot be reached.
    #[error("{0}")]
    Unavailable(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Nats for NotEnabled {
    fn request(
        &self,
        _: String,
        _: Vec<u8>,
        _: Duration,
    ) -> BoxFuture<'_, std::result::Result<Vec<u8>, NatsError>> {
        Box::pin(async { Err(NatsError::NotEnabled) })
    }

    fn servers(
        &self,
        _: Duration,
    ) -> BoxFuture<'_, std::result::Result<Vec<ServerInfo>, NatsError>> {
        Box::pin(async { Err(NatsError::NotEnabled) })
    }
}

impl From<NatsError> for wit::Error {
    fn from(error: NatsError) -> Self {
        match error {
            NatsError::NotEnabled => Self::NotEnabled,
            NatsError::NoResponders => Self::NoResponders,
            NatsError::Timeout => Self::Timeout,
            NatsError::TooLarge(text) => Self::TooLarge(text),
            NatsError::Unavailable(text) => Self::Unavailable(text),
            NatsError::Other(text) => Self::Other(text),
        }
    }
}

type Answer<T> = Result<std::result::Result<T, wit::Error>>;

impl wit::Host for Call {}

impl<T: Send> wit::HostWithStore<T> for HasSelf<Call> {
    async fn request(
        accessor: &Accessor<T, Self>,
        subject: String,
        payload: Vec<u8>,
        timeout: u64,
        largest: u32,
    ) -> Answer<Vec<u8>> {
        let (nats, timeout, granted) = accessor.with(|mut access| {
            let call = access.get();
            call.meter.host_call(Capability::Nats, subject.len() + payload.len())?;
            let granted = if !is_subject(&subject) {
                let text = format!("'{}' is no subject for a request", subject.escape_debug());
                Err(wit::Error::InvalidRequest(text))
            } else if let Some(refused) = call.missing(|g| g.nats.may_request(&subject)) {
                Err(wit::Error::Denied(format!("{refused} send requests to '{subject}'")))
            } else {
                Ok(())
            };
            let nats = call.capabilities.nats.clone();
            wasmtime::error::Ok((nats, call.time_for(timeout), granted))
        })?;
        if let Err(refused) = granted {
            return Ok(Err(refused));
        }
        // Whoever implements the trait, nobody waits longer.
        let answer =
            tokio::time::timeout(timeout + MARGIN, nats.request(subject, payload, timeout)).await;
        let answer = match answer.unwrap_or(Err(NatsError::Timeout)) {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error.into())),
        };
        if answer.len() > largest as usize {
            let text =
                format!("The answer has {} bytes, and at most {largest} are taken", answer.len());
            return Ok(Err(wit::Error::TooLarge(text)));
        }
        accessor.with(|mut access| access.get().meter.bytes(answer.len()))?;
        Ok(Ok(answer))
    }

    async fn servers(accessor: &Accessor<T, Self>, timeout: u64) -> Answer<Vec<wit::Server>> {
        let (nats, timeout, refused) = accessor.with(|mut access| {
            let call = access.get();
            call.meter.host_call(Capability::Nats, 0)?;
            let nats = call.capabilities.nats.clone();
            let refused = call.missing(|grants| grants.nats.servers);
            wasmtime::error::Ok((nats, call.time_for(timeout), refused))
        })?;
        if let Some(refused) = refused {
            let text = format!("{refused} know who is in the network");
            return Ok(Err(wit::Error::Denied(text)));
        }
        let servers = match nats.servers(timeout).await {
            Ok(servers) => servers,
            Err(error) => return Ok(Err(error.into())),
        };
        let texts = |server: &ServerInfo| {
            let all = server.routes.iter().chain(&server.cluster_urls).map(String::len);
            server.name.len() + all.sum::<usize>()
        };
        accessor.with(|mut access| access.get().meter.bytes(servers.iter().map(texts).sum()))?;
        let server = |server: ServerInfo| wit::Server {
            name: server.name,
            response_time: milliseconds(server.response_time),
            routes: server.routes,
            cluster_urls: server.cluster_urls,
        };
        Ok(Ok(servers.into_iter().map(server).collect()))
    }
}
