//! The streams' API of the servers, as far as the flow between nodes needs it.

use std::time::Duration;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Nats;
use super::client::info_of;
use crate::capabilities::JetStreamError as Error;

/// What a stream is made with; a server says more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamConfig {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) subjects: Vec<String>,
    pub(crate) retention: String,
    pub(crate) storage: String,
    pub(crate) discard: String,
    /// Nanoseconds; 0 is unlimited.
    pub(crate) max_age: i64,
    /// -1 is unlimited.
    pub(crate) max_bytes: i64,
    /// -1 is unlimited.
    pub(crate) max_msgs: i64,
    /// Bytes of a message with its headers; -1 is unlimited.
    #[serde(default)]
    pub(crate) max_msg_size: i32,
    /// Nanoseconds.
    #[serde(default)]
    pub(crate) duplicate_window: i64,
}

/// Entries of a list that are read, whatever it claims to have: a node has fewer tables by far, and
/// subscribers too.
const MOST_LISTED: usize = 100_000;

/// Where a durable consumer begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deliver {
    All,
    New,
    FromSequence(u64),
    FromTime(String),
}

/// One acknowledgement is for all messages up to it.
const ACK_ALL: &str = "all";
/// Each message wants one of its own.
const ACK_EACH: &str = "explicit";

/// The farthest that an acknowledgement for all before it may be from the one before. nats-server 2.9
/// goes through all sequences between, 7 ns for each, whether there was a message or not; meanwhile it
/// answers no other node. It counts from 0 wherever a new consumer begins.
pub(crate) const FAR: u64 = 20_000_000;

/// Whether a durable consumer that begins with this sequence is made so that one acknowledgement is for
/// all that came before, too.
pub(crate) fn acks_all_from(begin: u64) -> bool {
    begin <= FAR
}

#[derive(Deserialize)]
struct ConsumerInfo {
    #[serde(default)]
    name: String,
    config: ConsumerConfig,
    delivered: Place,
    ack_floor: Place,
    #[serde(default)]
    num_pending: u64,
    #[serde(default)]
    num_ack_pending: u64,
}

impl ConsumerInfo {
    fn info(&self) -> DurableInfo {
        DurableInfo {
            given: self.delivered.consumer_seq,
            delivered: self.delivered.stream_seq,
            acknowledged: self.ack_floor.stream_seq,
            acks_all: self.config.ack_policy == ACK_ALL,
        }
    }
}

#[derive(Deserialize)]
struct ConsumerConfig {
    ack_policy: String,
}

#[derive(Deserialize)]
struct Place {
    consumer_seq: u64,
    stream_seq: u64,
}

#[derive(Deserialize)]
struct Got {
    message: GotMessage,
}

#[derive(Deserialize)]
struct GotMessage {
    seq: u64,
}

/// How far a durable consumer is, in sequences of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DurableInfo {
    /// How many messages it has given, those that it gave again among them.
    pub(crate) given: u64,
    /// The last that it has given; before the first, the one before that.
    pub(crate) delivered: u64,
    /// Up to there all are acknowledged; 0 before the first.
    pub(crate) acknowledged: u64,
    /// Whether one acknowledgement is for all that came before, too.
    pub(crate) acks_all: bool,
}

/// A part of a list, such as the server replies with.
trait Page: DeserializeOwned {
    type Item;
    /// How many there are in all, and those of this part.
    fn split(self) -> (usize, Vec<Self::Item>);
}

#[derive(Deserialize)]
struct StreamsPage {
    #[serde(default)]
    total: usize,
    #[serde(default)]
    streams: Option<Vec<StreamState>>,
}

#[derive(Deserialize)]
struct ConsumersPage {
    #[serde(default)]
    total: usize,
    #[serde(default)]
    consumers: Option<Vec<ConsumerInfo>>,
}

impl Page for StreamsPage {
    type Item = StreamState;
    fn split(self) -> (usize, Vec<StreamState>) {
        (self.total, self.streams.unwrap_or_default())
    }
}

impl Page for ConsumersPage {
    type Item = ConsumerInfo;
    fn split(self) -> (usize, Vec<ConsumerInfo>) {
        (self.total, self.consumers.unwrap_or_default())
    }
}

/// Whether a list is complete with a part of `got` after `had`, of as many as `total`.
fn is_last(had: usize, got: usize, total: usize) -> Result<bool, Error> {
    let has = had + got;
    if has > MOST_LISTED {
        return Err(Error::Other(format!("a list has more than {MOST_LISTED} entries")));
    }
    Ok(got == 0 || has >= total)
}

/// A stream, and what it holds.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StreamState {
    pub(crate) config: StreamConfig,
    pub(crate) state: Held,
}

/// What a stream holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Held {
    pub(crate) messages: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    #[serde(default)]
    pub(crate) consumer_count: usize,
}

/// A consumer of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Consumer {
    pub(crate) name: String,
    pub(crate) info: DurableInfo,
    /// Messages that it has not given, or that are not acknowledged.
    pub(crate) pending: u64,
}

impl Nats {
    /// Whether the streams of a domain can be asked for.
    pub(crate) async fn probe_domain(&self, domain: &str, patience: Duration) -> Result<(), Error> {
        let _: IgnoredAny = self.ask_api(&info_of(domain), Vec::new(), patience).await?;
        Ok(())
    }

    /// All streams of a domain, and what they hold. `patience` is for each part of the list.
    pub(crate) async fn streams_of(
        &self,
        domain: &str,
        patience: Duration,
    ) -> Result<Vec<StreamState>, Error> {
        let subject = format!("$JS.{domain}.API.STREAM.LIST");
        self.list::<StreamsPage>(&subject, patience).await
    }

    /// All consumers of a stream. `patience` is for each part of the list.
    pub(crate) async fn consumers_of(
        &self,
        domain: &str,
        stream: &str,
        patience: Duration,
    ) -> Result<Vec<Consumer>, Error> {
        let subject = format!("$JS.{domain}.API.CONSUMER.LIST.{stream}");
        let all = self.list::<ConsumersPage>(&subject, patience).await?;
        let consumer = |one: ConsumerInfo| Consumer {
            info: one.info(),
            pending: one.num_pending.saturating_add(one.num_ack_pending),
            name: one.name,
        };
        Ok(all.into_iter().map(consumer).collect())
    }

    /// Fails when there are more than [`MOST_LISTED`]: whoever answers says how many there are.
    async fn list<P: Page>(
        &self,
        subject: &str,
        patience: Duration,
    ) -> Result<Vec<P::Item>, Error> {
        let mut all = Vec::new();
        loop {
            let request = json!({ "offset": all.len() }).to_string();
            let page: P = self.ask_api(subject, request.into(), patience).await?;
            let (total, items) = page.split();
            let is_last = is_last(all.len(), items.len(), total)?;
            all.extend(items);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Makes a stream; one that is there already with this configuration stays as it is.
    pub(crate) async fn create_stream(
        &self,
        domain: &str,
        config: &StreamConfig,
        patience: Duration,
    ) -> Result<(), Error> {
        self.write_stream("CREATE", domain, config, patience).await
    }

    /// Gives a stream another configuration.
    pub(crate) async fn update_stream(
        &self,
        domain: &str,
        config: &StreamConfig,
        patience: Duration,
    ) -> Result<(), Error> {
        self.write_stream("UPDATE", domain, config, patience).await
    }

    async fn write_stream(
        &self,
        what: &str,
        domain: &str,
        config: &StreamConfig,
        patience: Duration,
    ) -> Result<(), Error> {
        let subject = format!("$JS.{domain}.API.STREAM.{what}.{}", config.name);
        let request = serde_json::to_vec(config).map_err(|e| Error::Other(e.to_string()))?;
        let _: IgnoredAny = self.ask_api(&subject, request, patience).await?;
        Ok(())
    }

    /// Deletes a stream with all that it holds; whether there was one.
    pub(crate) async fn delete_stream(
        &self,
        domain: &str,
        stream: &str,
        patience: Duration,
    ) -> Result<bool, Error> {
        self.is_found(&format!("$JS.{domain}.API.STREAM.DELETE.{stream}"), patience).await
    }

    /// Whether a stream has a durable consumer of this name.
    pub(crate) async fn has_durable(
        &self,
        domain: &str,
        stream: &str,
        durable: &str,
        patience: Duration,
    ) -> Result<bool, Error> {
        let subject = format!("$JS.{domain}.API.CONSUMER.INFO.{stream}.{durable}");
        self.is_found(&subject, patience).await
    }

    /// How far a durable consumer is; none if there is no such consumer, or no such stream.
    pub(crate) async fn durable(
        &self,
        domain: &str,
        stream: &str,
        durable: &str,
        patience: Duration,
    ) -> Result<Option<DurableInfo>, Error> {
        let subject = format!("$JS.{domain}.API.CONSUMER.INFO.{stream}.{durable}");
        match self.ask_api::<ConsumerInfo>(&subject, Vec::new(), patience).await {
            Ok(info) => Ok(Some(info.info())),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The sequence of the first message of a subject that a stream holds from this sequence on.
    pub(crate) async fn next_message(
        &self,
        domain: &str,
        stream: &str,
        (sequence, subject): (u64, &str),
        patience: Duration,
    ) -> Result<Option<u64>, Error> {
        let request = json!({ "seq": sequence, "next_by_subj": subject }).to_string();
        let api = format!("$JS.{domain}.API.STREAM.MSG.GET.{stream}");
        match self.ask_api::<Got>(&api, request.into(), patience).await {
            Ok(got) => Ok(Some(got.message.seq)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a durable consumer that is pulled from. Whoever acknowledges a message does so for all
    /// that came before it: one for each costs the servers more than the messages do. Where it begins
    /// beyond [`FAR`] each message wants one all the same.
    pub(crate) async fn create_durable(
        &self,
        domain: &str,
        stream: &str,
        durable: &str,
        deliver: Deliver,
        patience: Duration,
    ) -> Result<(), Error> {
        let acks = match deliver {
            Deliver::FromSequence(from) if !acks_all_from(from) => ACK_EACH,
            _ => ACK_ALL,
        };
        let mut config = json!({ "durable_name": durable, "ack_policy": acks });
        let (policy, option) = match deliver {
            Deliver::All => ("all", None),
            Deliver::New => ("new", None),
            Deliver::FromSequence(from) => {
                ("by_start_sequence", Some(("opt_start_seq", Value::from(from))))
            }
            Deliver::FromTime(from) => {
                ("by_start_time", Some(("opt_start_time", Value::from(from))))
            }
        };
        config["deliver_policy"] = policy.into();
        if let Some((key, value)) = option {
            config[key] = value;
        }
        let request = json!({ "stream_name": stream, "config": config }).to_string();
        let subject = format!("$JS.{domain}.API.CONSUMER.DURABLE.CREATE.{stream}.{durable}");
        let _: IgnoredAny = self.ask_api(&subject, request.into(), patience).await?;
        Ok(())
    }

    /// Deletes a durable consumer; whether there was one.
    pub(crate) async fn delete_durable(
        &self,
        domain: &str,
        stream: &str,
        durable: &str,
        patience: Duration,
    ) -> Result<bool, Error> {
        self.is_found(&format!("$JS.{domain}.API.CONSUMER.DELETE.{stream}.{durable}"), patience)
            .await
    }

    /// Asks what needs no more than its subject; whether what it is about was there.
    async fn is_found(&self, subject: &str, patience: Duration) -> Result<bool, Error> {
        match self.ask_api::<IgnoredAny>(subject, Vec::new(), patience).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: nats.lists.bounded
    #[test]
    fn no_list_is_read_without_end() {
        assert_eq!(is_last(0, 256, 300), Ok(false));
        assert_eq!(is_last(256, 44, 300), Ok(true));
        assert_eq!(is_last(256, 0, usize::MAX), Ok(true));
        assert_eq!(is_last(MOST_LISTED - 256, 256, usize::MAX), Ok(false));
        assert!(is_last(MOST_LISTED - 255, 256, usize::MAX).is_err());
    }
}
