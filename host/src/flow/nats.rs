//! The bus on real servers.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use harper_wire::names;
use tokio::time::timeout;

use super::bus::{Bus, BusError, Delivery, Durable, End, Look, Missing, Outbound, Reader};
use crate::capabilities::{JetStream, JetStreamError, TableName};
use crate::data::Message;
use crate::nats::{Deliver, MAX_PAYLOAD, Nats};
use crate::replication::{Replicator, Wanted};
use crate::store::Store;
use crate::transaction::Passed;

/// For an answer of another node.
const PATIENCE: Duration = Duration::from_secs(5);
/// For a message to be stored by the node's own server.
const STORED: Duration = Duration::from_secs(10);
/// How often the other node says that it has nothing: after two silences it is looked at anew.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// How long the other node keeps a request for messages.
const EXPIRES: Duration = Duration::from_secs(30);
const ID: &str = "Nats-Msg-Id";

/// The bus on a node's servers.
pub(crate) struct NatsBus {
    store: Store,
    nats: Nats,
    context: async_nats::jetstream::Context,
    replicator: Replicator,
}

impl NatsBus {
    pub(crate) fn new(store: Store, nats: Nats, replicator: Replicator) -> Self {
        let context = nats.jetstream(&names::domain(nats.node_name()));
        Self { store, nats, context, replicator }
    }

    /// Fails unless the node's record still asks for the table: a durable consumer that went with
    /// the record is not to come back.
    async fn check_wanted(&self, source: &str, table: &TableName) -> Result<(), BusError> {
        let wanted = Wanted::of_node(&self.store, source).await;
        let wanted = wanted.map_err(|error| BusError::Refused(error.to_string()))?;
        match wanted.subscribe.contains_key(table) {
            true => Ok(()),
            false => Err(BusError::Refused("this node has not subscribed to it any more".into())),
        }
    }

    fn durable(&self, source: &str) -> String {
        names::durable(self.nats.node_name(), source)
    }
}

fn stream_of(table: &TableName) -> String {
    names::stream(&table.database, &table.table)
}

impl Bus for NatsBus {
    type Receipt = Receipt;
    type Reader = NatsReader;

    fn is_shared(&self, table: &TableName) -> Option<bool> {
        self.replicator.has_stream(table)
    }

    async fn publish(&self, table: &TableName, message: Outbound) -> Result<Receipt, BusError> {
        // What is sent while there is no connection goes out once there is one, and nobody knows.
        if !self.nats.is_connected() {
            return Err(BusError::Away("this node's leaf server cannot be reached".into()));
        }
        let Outbound { id, passed, payload } = message;
        let mut headers = HeaderMap::new();
        headers.insert(ID, id.as_str());
        passed.put_into(&mut headers);
        let subject = names::subject(&table.database, &table.table, self.nats.node_name());
        let message = PublishMessage::build().payload(payload.into()).headers(headers);
        let sent = timeout(PATIENCE, self.context.send_publish(subject, message)).await;
        let sent = sent.map_err(|_| silent())?.map_err(published)?;
        Ok(Receipt::new(sent))
    }

    async fn look(&self, source: &str, table: &TableName) -> Result<Look, BusError> {
        let (domain, stream) = (names::domain(source), stream_of(table));
        let info = self.nats.inspect(domain.clone(), stream.clone(), PATIENCE).await;
        let info = info.map_err(of_stream)?;
        let durable = self.durable(source);
        let durable = self.nats.durable(&domain, &stream, &durable, PATIENCE).await;
        let durable = durable.map_err(of_durable)?;
        let durable = durable.map(|info| Durable {
            is_new: info.given == 0,
            delivered: info.delivered,
            acknowledged: info.acknowledged,
            acks_all: info.acks_all,
        });
        let (first, last) = (info.first_sequence, info.last_sequence);
        Ok(Look { created: info.created, first, last, durable })
    }

    async fn end(&self, source: &str, table: &TableName) -> Result<End, BusError> {
        let info = self.nats.inspect(names::domain(source), stream_of(table), PATIENCE).await;
        let info = info.map_err(of_stream)?;
        Ok(End { created: info.created, last: info.last_sequence })
    }

    async fn next_message(
        &self,
        source: &str,
        table: &TableName,
        sequence: u64,
    ) -> Result<Option<u64>, BusError> {
        let (domain, stream) = (names::domain(source), stream_of(table));
        let subject = names::subject(&table.database, &table.table, source);
        let found = self.nats.next_message(&domain, &stream, (sequence, &subject), PATIENCE).await;
        found.map_err(of_stream)
    }

    async fn remove(&self, source: &str, table: &TableName) -> Result<(), BusError> {
        let (domain, stream, durable) =
            (names::domain(source), stream_of(table), self.durable(source));
        let deleted = self.nats.delete_durable(&domain, &stream, &durable, PATIENCE).await;
        deleted.map(drop).map_err(of_durable)
    }

    async fn begin_at(
        &self,
        source: &str,
        table: &TableName,
        sequence: u64,
    ) -> Result<(), BusError> {
        self.check_wanted(source, table).await?;
        self.remove(source, table).await?;
        let (domain, stream, durable) =
            (names::domain(source), stream_of(table), self.durable(source));
        let deliver = Deliver::FromSequence(sequence);
        let made = self.nats.create_durable(&domain, &stream, &durable, deliver, PATIENCE).await;
        made.map_err(of_stream)
    }

    async fn read(
        &self,
        source: &str,
        table: &TableName,
        ahead: usize,
    ) -> Result<NatsReader, BusError> {
        let context = self.nats.jetstream(&names::domain(source));
        let (durable, stream) = (self.durable(source), stream_of(table));
        let messages = async {
            let consumer: PullConsumer = context
                .get_consumer_from_stream(durable, stream)
                .await
                .map_err(|e| e.to_string())?;
            let reads = consumer
                .stream()
                .max_messages_per_batch(ahead)
                // One of the largest fits in any case.
                .max_bytes_per_batch(MAX_PAYLOAD + (1 << 20))
                .expires(EXPIRES)
                .heartbeat(HEARTBEAT);
            reads.messages().await.map_err(|error| error.to_string())
        };
        let messages = timeout(PATIENCE, messages).await.map_err(|_| silent())?;
        let messages = messages.map_err(BusError::Refused)?;
        Ok(NatsReader { messages, nats: self.nats.clone() })
    }

    fn is_missing(&self, what: Missing<'_>) {
        match what {
            Missing::Stream => self.replicator.stream_is_missing(),
            Missing::Durable(node) => self.replicator.durable_is_missing(node),
        }
    }
}

/// The acknowledgement of a message that was sent.
pub(crate) struct Receipt(BoxFuture<'static, Result<(), BusError>>);

impl Receipt {
    fn new(sent: PublishAckFuture) -> Self {
        let stored = async move {
            let stored = timeout(STORED, sent.into_future()).await;
            stored.map_err(|_| silent())?.map(drop).map_err(published)
        };
        Self(stored.boxed())
    }
}

impl Future for Receipt {
    type Output = Result<(), BusError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(context)
    }
}

/// Reads a stream.
pub(crate) struct NatsReader {
    messages: pull::Stream,
    nats: Nats,
}

impl Reader for NatsReader {
    async fn next(&mut self, most: usize) -> Result<Vec<Delivery>, BusError> {
        let mut deliveries = Vec::new();
        let mut next = self.messages.next().await;
        loop {
            match next {
                Some(Ok(message)) => deliveries.push(delivery(message)?),
                // It is met again after what has come before it.
                Some(Err(_)) | None if !deliveries.is_empty() => break,
                Some(Err(error)) => return Err(read_failed(&error)),
                None => return Err(BusError::NoDurable),
            }
            if deliveries.len() >= most {
                break;
            }
            match self.messages.next().now_or_never() {
                Some(ready) => next = ready,
                None => break,
            }
        }
        Ok(deliveries)
    }

    async fn acknowledge(&mut self, reply: String) -> Result<(), BusError> {
        let client = self.nats.client();
        let sent = client.publish(reply, Bytes::from_static(b"+ACK"));
        let sent = timeout(PATIENCE, sent).await.map_err(|_| silent())?;
        sent.map_err(|error| BusError::Away(error.to_string()))
    }
}

fn delivery(message: async_nats::jetstream::Message) -> Result<Delivery, BusError> {
    let info = message.info().map_err(|error| BusError::Refused(error.to_string()))?;
    let (sequence, pending) = (info.stream_sequence, info.pending);
    let published = info.published.unix_timestamp_nanos() / 1_000_000;
    let published = u64::try_from(published).unwrap_or_default();
    let reply = message.reply.as_ref().map(ToString::to_string).unwrap_or_default();
    let message = message.message;
    let headers = message.headers.unwrap_or_default();
    let passed = Passed::from_headers(&headers);
    let pairs = headers.iter().flat_map(|(name, values)| {
        values.iter().map(move |value| (name.to_string(), value.as_str().to_owned()))
    });
    let headers = pairs.collect();
    let message = Message { sequence, headers, payload: message.payload };
    Ok(Delivery { message, passed, reply, published, pending })
}

fn silent() -> BusError {
    BusError::Away("there was no answer in time".into())
}

fn published(error: PublishError) -> BusError {
    let source = std::error::Error::source(&error);
    let code = source.and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
    if let Some(
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM,
    ) = code.map(async_nats::jetstream::Error::error_code)
    {
        return BusError::TooLarge;
    }
    match error.kind() {
        PublishErrorKind::StreamNotFound => BusError::NoStream,
        PublishErrorKind::MaxPayloadExceeded => BusError::TooLarge,
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => silent(),
        _ => BusError::Refused(error.to_string()),
    }
}

fn read_failed(error: &async_nats::jetstream::consumer::pull::MessagesError) -> BusError {
    use async_nats::jetstream::consumer::pull::MessagesErrorKind as Kind;
    match error.kind() {
        Kind::ConsumerDeleted => BusError::NoDurable,
        Kind::MissingHeartbeat | Kind::NoResponders => BusError::Away("the node is silent".into()),
        _ => BusError::Refused(error.to_string()),
    }
}

fn of_stream(error: JetStreamError) -> BusError {
    match error {
        JetStreamError::NotFound => BusError::NoStream,
        error => of_durable(error),
    }
}

fn of_durable(error: JetStreamError) -> BusError {
    match error {
        JetStreamError::NotFound => BusError::NoDurable,
        JetStreamError::Timeout => silent(),
        JetStreamError::Unavailable(text) => BusError::Away(text),
        error => BusError::Refused(error.to_string()),
    }
}
