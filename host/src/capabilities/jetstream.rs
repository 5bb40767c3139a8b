//! `jetstream`: the streams that hold tables' transactions.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf};

use crate::capabilities::grants::is_stream_name;
use crate::capabilities::{BoxFuture, Call, Capability, MARGIN, NotEnabled};
use crate::wit::harper::plugin::jetstream as wit;

/// The streams of all nodes.
///
/// Ours are those of the node's own servers; an embedder that has a connection of its own
/// implements this trait and gives it to the [builder](crate::HostBuilder::jetstream).
pub trait JetStream: Send + Sync + 'static {
    /// Looks at a stream, for `timeout` at most. Both names have been checked: each is one token of
    /// a subject.
    fn inspect(
        &self,
        domain: String,
        stream: String,
        timeout: Duration,
    ) -> BoxFuture<'_, std::result::Result<StreamInfo, JetStreamError>>;

    /// Removes messages from a stream, and returns how many. It is waited for no longer than
    /// `timeout`; dropping the future leaves it done or not done.
    fn purge(
        &self,
        domain: String,
        stream: String,
        extent: Extent,
        timeout: Duration,
    ) -> BoxFuture<'_, std::result::Result<u64, JetStreamError>>;
}

/// A stream at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamInfo {
    /// Messages that it holds.
    pub messages: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// The sequence of the first of them.
    pub first_sequence: u64,
    /// The sequence of the last that it was given.
    pub last_sequence: u64,
    /// When it was made, as the server writes it (RFC 3339).
    pub created: String,
}

/// What a purge leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// Nothing.
    All,
    /// So many of the newest messages.
    Keep(u64),
    /// The messages from this sequence on.
    Before(u64),
}

/// Why nothing was read or done. The texts are for the caller: clear, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JetStreamError {
    /// There are no streams.
    #[error("Clustering is not enabled")]
    NotEnabled,
    /// The domain has no stream of this name.
    #[error("There is no such stream")]
    NotFound,
    /// The domain cannot be reached.
    #[error("{0}")]
    Unavailable(String),
    /// The domain did not answer in time. A purge may be done or not.
    #[error("There was no answer in time")]
    Timeout,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl JetStream for NotEnabled {
    fn inspect(
        &self,
        _: String,
        _: String,
        _: Duration,
    ) -> BoxFuture<'_, std::result::Result<StreamInfo, JetStreamError>> {
        Box::pin(async { Err(JetStreamError::NotEnabled) })
    }

    fn purge(
        &self,
        _: String,
        _: String,
        _: Extent,
        _: Duration,
    ) -> BoxFuture<'_, std::result::Result<u64, JetStreamError>> {
        Box::pin(async { Err(JetStreamError::NotEnabled) })
    }
}

impl From<JetStreamError> for wit::Error {
    fn from(error: JetStreamError) -> Self {
        match error {
            JetStreamError::NotEnabled => Self::NotEnabled,
            JetStreamError::NotFound => Self::NotFound,
            JetStreamError::Unavailable(text) => Self::Unavailable(text),
            JetStreamError::Timeout => Self::Timeout,
            JetStreamError::Other(text) => Self::Other(text),
        }
    }
}

type Refused<T> = std::result::Result<T, wit::Error>;
type Answer<T> = Result<Refused<T>>;

impl wit::Host for Call {}

/// What is done with a stream.
enum Deed {
    Inspect,
    Purge,
}

/// Charges a call, and checks the names and whether it is allowed.
fn begin(call: &mut Call, domain: &str, stream: &str, deed: &Deed) -> Answer<()> {
    call.meter.host_call(Capability::JetStream, domain.len() + stream.len())?;
    for name in [domain, stream] {
        if !is_stream_name(name) {
            let text = format!("'{}' is no name of a domain or stream", name.escape_debug());
            return Ok(Err(wit::Error::InvalidRequest(text)));
        }
    }
    let (verb, refused) = match deed {
        Deed::Inspect => ("inspect", call.missing(|g| g.jetstream.may_inspect(domain, stream))),
        Deed::Purge => ("purge", call.missing_to_change(|g| g.jetstream.may_purge(domain, stream))),
    };
    if let Some(refused) = refused {
        let text = format!("{refused} {verb} '{domain}/{stream}'");
        return Ok(Err(wit::Error::Denied(text)));
    }
    Ok(Ok(()))
}

/// Whoever implements the trait, nobody waits longer.
async fn in_time<T>(
    timeout: Duration,
    answer: BoxFuture<'_, std::result::Result<T, JetStreamError>>,
) -> Refused<T> {
    let answer = tokio::time::timeout(timeout + MARGIN, answer).await;
    Ok(answer.unwrap_or(Err(JetStreamError::Timeout))?)
}

impl<T: Send> wit::HostWithStore<T> for HasSelf<Call> {
    async fn inspect(
        accessor: &Accessor<T, Self>,
        domain: String,
        stream: String,
        timeout: u64,
    ) -> Answer<wit::Info> {
        let (jetstream, timeout, granted) = accessor.with(|mut access| {
            let call = access.get();
            let granted = begin(call, &domain, &stream, &Deed::Inspect)?;
            let jetstream = call.capabilities.jetstream.clone();
            wasmtime::error::Ok((jetstream, call.time_for(timeout), granted))
        })?;
        if let Err(refused) = granted {
            return Ok(Err(refused));
        }
        let info = match in_time(timeout, jetstream.inspect(domain, stream, timeout)).await {
            Ok(info) => info,
            Err(error) => return Ok(Err(error)),
        };
        Ok(Ok(wit::Info {
            messages: info.messages,
            bytes: info.bytes,
            first_sequence: info.first_sequence,
            last_sequence: info.last_sequence,
            created: info.created,
        }))
    }

    async fn purge(
        accessor: &Accessor<T, Self>,
        domain: String,
        stream: String,
        extent: wit::Extent,
        timeout: u64,
    ) -> Answer<u64> {
        let (jetstream, timeout, granted) = accessor.with(|mut access| {
            let call = access.get();
            let granted = begin(call, &domain, &stream, &Deed::Purge)?;
            let jetstream = call.capabilities.jetstream.clone();
            wasmtime::error::Ok((jetstream, call.time_for(timeout), granted))
        })?;
        if let Err(refused) = granted {
            return Ok(Err(refused));
        }
        let extent = match extent {
            wit::Extent::All => Extent::All,
            wit::Extent::Keep(messages) => Extent::Keep(messages),
            wit::Extent::Before(sequence) => Extent::Before(sequence),
        };
        Ok(in_time(timeout, jetstream.purge(domain, stream, extent, timeout)).await)
    }
}
