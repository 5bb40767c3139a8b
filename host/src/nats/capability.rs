//! The node's servers as the capabilities `nats` and `jetstream`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{Nats, RequestError, Server, ServersError};
use crate::capabilities::{
    self, BoxFuture, Extent, JetStream, JetStreamError, NatsError, ServerInfo, StreamInfo,
};

/// nats-server's codes for a stream, a consumer or a message that is not there.
const NOT_FOUND: [u32; 3] = [10059, 10014, 10037];

impl capabilities::Nats for Nats {
    fn request(
        &self,
        subject: String,
        payload: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, NatsError>> {
        Box::pin(async move {
            let reply = Nats::request(self, &subject, payload.into(), timeout).await?;
            Ok(reply.into())
        })
    }

    fn servers(&self, timeout: Duration) -> BoxFuture<'_, Result<Vec<ServerInfo>, NatsError>> {
        Box::pin(async move {
            let found = Nats::servers(self, timeout).await?;
            if !found.silent.is_empty() {
                tracing::warn!("servers that are in the network do not answer: {:?}", found.silent);
            }
            Ok(found.hubs.into_iter().map(ServerInfo::from).collect())
        })
    }
}

impl From<Server> for ServerInfo {
    fn from(server: Server) -> Self {
        let Server { name, response_time, routes, cluster_urls } = server;
        Self { name, response_time, routes, cluster_urls }
    }
}

impl From<RequestError> for NatsError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::NoResponders => Self::NoResponders,
            RequestError::Timeout(_) => Self::Timeout,
            RequestError::TooLarge => Self::TooLarge(error.to_string()),
            RequestError::Unavailable(_) | RequestError::Silent(_) | RequestError::Other(_) => {
                Self::Unavailable(error.to_string())
            }
            RequestError::Subject => Self::Other(error.to_string()),
        }
    }
}

impl From<ServersError> for NatsError {
    fn from(error: ServersError) -> Self {
        // Whichever it is, it is this node's own server.
        Self::Unavailable(error.to_string())
    }
}

/// A reply of the streams' API.
#[derive(Deserialize)]
#[serde(untagged)]
enum Reply<T> {
    Refused { error: Refusal },
    Done(T),
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct Info {
    created: String,
    state: StreamState,
}

#[derive(Deserialize)]
struct StreamState {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
}

#[derive(Deserialize)]
struct Purged {
    purged: u64,
}

impl JetStream for Nats {
    fn inspect(
        &self,
        domain: String,
        stream: String,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<StreamInfo, JetStreamError>> {
        Box::pin(async move {
            let subject = format!("$JS.{domain}.API.STREAM.INFO.{stream}");
            let Info { created, state } = self.ask_api(&subject, Vec::new(), timeout).await?;
            let StreamState { messages, bytes, first_seq, last_seq } = state;
            let (first_sequence, last_sequence) = (first_seq, last_seq);
            Ok(StreamInfo { messages, bytes, first_sequence, last_sequence, created })
        })
    }

    fn purge(
        &self,
        domain: String,
        stream: String,
        extent: Extent,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<u64, JetStreamError>> {
        Box::pin(async move {
            let end = Instant::now() + timeout;
            let request = match extent {
                // To the server, to keep 0 is the same.
                Extent::All => json!({}),
                Extent::Keep(messages) => json!({ "keep": messages }),
                Extent::Before(sequence) => {
                    let held = self.inspect(domain.clone(), stream.clone(), timeout).await?;
                    // A stream that is purged beyond its end goes on from there: whoever reads it takes
                    // all messages between for lost.
                    json!({ "seq": sequence.min(held.last_sequence.saturating_add(1)) })
                }
            };
            let subject = format!("$JS.{domain}.API.STREAM.PURGE.{stream}");
            let timeout = end.saturating_duration_since(Instant::now());
            let Purged { purged } =
                self.ask_api(&subject, request.to_string().into(), timeout).await?;
            Ok(purged)
        })
    }
}

impl Nats {
    pub(super) async fn ask_api<T: for<'de> Deserialize<'de>>(
        &self,
        subject: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<T, JetStreamError> {
        let reply =
            self.request(subject, request.into(), timeout).await.map_err(|error| match error {
                RequestError::NoResponders => {
                    JetStreamError::Unavailable("The domain's node cannot be reached".into())
                }
                RequestError::Timeout(_) => JetStreamError::Timeout,
                RequestError::Unavailable(_) | RequestError::Silent(_) | RequestError::Other(_) => {
                    JetStreamError::Unavailable(error.to_string())
                }
                RequestError::TooLarge | RequestError::Subject => {
                    JetStreamError::Other(error.to_string())
                }
            })?;
        match serde_json::from_slice(&reply) {
            Ok(Reply::Done(done)) => Ok(done),
            Ok(Reply::Refused { error }) => Err(match error.err_code {
                code if NOT_FOUND.contains(&code) => JetStreamError::NotFound,
                _ => JetStreamError::Other(error.description),
            }),
            Err(error) => Err(JetStreamError::Other(format!("The reply is none: {error}"))),
        }
    }
}
