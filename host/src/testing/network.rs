//! Other nodes, and the streams of all.

use std::time::Duration;

use serde_json::json;

use super::Server;
use super::node::{FakeNode, lock};
use crate::capabilities::node::milliseconds;
use crate::capabilities::{
    BoxFuture, Extent, Held, JetStream, JetStreamError, Nats, NatsError, Replication,
    ReplicationError, ServerInfo, StreamInfo, TableName,
};
use crate::transcript::bytes;

impl Nats for FakeNode {
    fn request(
        &self,
        subject: String,
        payload: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, NatsError>> {
        let request = bytes::to_json(&payload);
        self.note(
            "nats.request",
            json!({ "subject": subject, "payload": &request, "timeout": milliseconds(timeout) }),
        );
        Box::pin(async move {
            self.own_server()?;
            let name = subject.strip_suffix(".__request__").unwrap_or(&subject);
            let Some(peer) = self.cluster.peers.get(name) else {
                return Err(NatsError::NoResponders);
            };
            let before = {
                let mut asked = lock(&self.asked);
                let asked = asked.entry(name.to_owned()).or_default();
                *asked += 1;
                *asked - 1
            };
            if peer.dies_after.is_some_and(|most| before > most) {
                return Err(NatsError::NoResponders);
            }
            let dies = peer.dies_after.is_some_and(|most| before == most);
            let after = Duration::from_millis(peer.after);
            if peer.silent || dies || after > timeout {
                self.time.sleep(timeout).await;
                return Err(NatsError::Timeout);
            }
            // Never before others have asked who ask at the same moment.
            self.time.sleep(after.max(Duration::from_nanos(1))).await;
            let operation = request["operation"].as_str().unwrap_or_default();
            let reply = peer.replies.get(operation).or(peer.reply.as_ref());
            Ok(match (&peer.bytes, &peer.text, reply) {
                (Some(bytes), ..) => bytes.clone(),
                (None, Some(text), _) => text.clone().into_bytes(),
                (None, None, Some(reply)) => harper_wire::encode(&reply.into()),
                (None, None, None) => Vec::new(),
            })
        })
    }

    fn servers(&self, timeout: Duration) -> BoxFuture<'_, Result<Vec<ServerInfo>, NatsError>> {
        self.note("nats.servers", json!({ "timeout": milliseconds(timeout) }));
        Box::pin(async move {
            self.own_server()?;
            let (silent, answering): (Vec<_>, Vec<_>) =
                self.cluster.servers.iter().cloned().partition(|server| server.silent);
            if !silent.is_empty() {
                self.time.sleep(timeout).await;
            }
            let server = |server: Server| ServerInfo {
                name: server.name,
                response_time: Duration::from_millis(server.response_time),
                routes: server.routes,
                cluster_urls: server.cluster_urls,
            };
            Ok(answering.into_iter().map(server).collect())
        })
    }
}

impl JetStream for FakeNode {
    fn inspect(
        &self,
        domain: String,
        stream: String,
        _: Duration,
    ) -> BoxFuture<'_, Result<StreamInfo, JetStreamError>> {
        self.note("jetstream.inspect", json!({ "domain": domain, "stream": stream }));
        Box::pin(async move {
            let messages = self.cluster.streams.get(&format!("{domain}/{stream}"));
            let messages = *messages.ok_or(JetStreamError::NotFound)?;
            Ok(StreamInfo {
                messages,
                bytes: messages * 100,
                first_sequence: 1,
                last_sequence: messages,
                created: "2026-01-01T00:00:00.000000001Z".into(),
            })
        })
    }

    fn purge(
        &self,
        domain: String,
        stream: String,
        extent: Extent,
        _: Duration,
    ) -> BoxFuture<'_, Result<u64, JetStreamError>> {
        let shown = format!("{extent:?}");
        let arguments = json!({ "domain": domain, "stream": stream, "extent": shown });
        self.note("jetstream.purge", arguments);
        Box::pin(async move {
            let messages = self.cluster.streams.get(&format!("{domain}/{stream}"));
            let messages = *messages.ok_or(JetStreamError::NotFound)?;
            Ok(match extent {
                Extent::All => messages,
                Extent::Keep(kept) => messages.saturating_sub(kept),
                Extent::Before(sequence) => messages.min(sequence.saturating_sub(1)),
            })
        })
    }
}

impl Replication for FakeNode {
    fn ensure_streams(
        &self,
        tables: Vec<TableName>,
        _: Duration,
    ) -> BoxFuture<'_, Result<Held, ReplicationError>> {
        let tables: Vec<_> = tables.iter().map(ToString::to_string).collect();
        self.note("replication.ensure-streams", json!({ "tables": tables }));
        Box::pin(async { self.replicates().map(|()| Box::new(()) as Held) })
    }

    fn settle(&self, node: String, _: Duration) -> BoxFuture<'_, Result<(), ReplicationError>> {
        self.note("replication.settle", json!({ "node": node }));
        Box::pin(async { self.replicates() })
    }
}

impl FakeNode {
    fn replicates(&self) -> Result<(), ReplicationError> {
        match &self.cluster.unavailable {
            _ if self.cluster.off => Err(ReplicationError::NotEnabled),
            Some(why) => Err(ReplicationError::Unavailable(why.clone())),
            None => Ok(()),
        }
    }
}
