//! This node's own streams: one for each table that a record publishes, and for each that an
//! operation under way is about to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use harper_wire::names;

use super::wanted::stream_of;
use crate::capabilities::{JetStreamError, TableName};
use crate::config;
use crate::nats::{Nats, StreamConfig};

/// For an answer of the node's own server.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a message: the file store of nats-server 2.9 acknowledges one of more than 32 MiB, loses
/// it, and counts from 1 again.
const LARGEST: i32 = 31 << 20;
/// Streams that are made or deleted at the same time.
const TOGETHER: usize = 8;
/// For so long a message that comes a second time is known: a transaction is published again when
/// its acknowledgement was lost.
const DUPLICATES: Duration = Duration::from_secs(120);

/// What streams of tables keep; none is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamLimits {
    /// `clustering.leafServer.streams.maxAge`.
    pub max_age: Option<Duration>,
    /// `clustering.leafServer.streams.maxBytes`.
    pub max_bytes: Option<u64>,
    /// `clustering.leafServer.streams.maxMsgs`.
    pub max_messages: Option<u64>,
}

impl From<&config::Streams> for StreamLimits {
    fn from(streams: &config::Streams) -> Self {
        Self {
            max_age: streams.max_age,
            max_bytes: streams.max_bytes,
            max_messages: streams.max_messages,
        }
    }
}

/// What has to be there.
pub(super) struct Own {
    pub(super) nats: Nats,
    pub(super) limits: StreamLimits,
    pub(super) wanted: BTreeSet<TableName>,
    /// Whether a stream that is not wanted may go: not while a record cannot be read.
    pub(super) may_delete: bool,
}

/// How it went.
#[derive(Debug, Default)]
pub(super) struct Result {
    /// Why the server could not be asked, or stopped answering.
    pub(super) unreachable: Option<String>,
    /// What could not be done, by table.
    pub(super) failed: BTreeMap<TableName, String>,
    /// Streams that are wanted and there.
    pub(super) present: usize,
}

enum Step {
    Create,
    Update,
    Delete,
}

impl Own {
    /// Makes it so. `is_needed` says of a stream that is about to go whether it is needed after all.
    pub(super) async fn bring(self, is_needed: impl Fn(&TableName) -> bool) -> Result {
        let mut result = Result::default();
        let domain = names::domain(self.nats.node_name());
        let present = match self.nats.streams_of(&domain, PATIENCE).await {
            Ok(present) => present.into_iter().map(|stream| stream.config).collect(),
            Err(error) => {
                result.unreachable = Some(unreachable(&error));
                return result;
            }
        };
        let steps = self.steps(present, &mut result);
        let done = futures_util::stream::iter(steps).map(async |(step, table)| {
            let done = match step {
                Step::Delete if is_needed(&table) => Ok(()),
                Step::Delete => {
                    let stream = stream_of(&table);
                    self.nats.delete_stream(&domain, &stream, PATIENCE).await.map(drop)
                }
                Step::Create => {
                    self.nats.create_stream(&domain, &self.config(&table), PATIENCE).await
                }
                Step::Update => {
                    self.nats.update_stream(&domain, &self.config(&table), PATIENCE).await
                }
            };
            (step, table, done)
        });
        let mut done = std::pin::pin!(done.buffer_unordered(TOGETHER));
        while let Some((step, table, done)) = done.next().await {
            match done {
                Ok(()) => result.present += usize::from(matches!(step, Step::Create)),
                Err(error @ (JetStreamError::Unavailable(_) | JetStreamError::Timeout)) => {
                    result.unreachable = Some(unreachable(&error));
                    break;
                }
                Err(error) => {
                    let what = match step {
                        Step::Create => "made",
                        Step::Update => "changed",
                        Step::Delete => "deleted",
                    };
                    let text = format!("The stream of '{table}' could not be {what}: {error}");
                    result.failed.insert(table, text);
                }
            }
        }
        result
    }

    fn steps(&self, present: Vec<StreamConfig>, result: &mut Result) -> Vec<(Step, TableName)> {
        let node = self.nats.node_name();
        let mut missing = self.wanted.clone();
        let mut steps = Vec::new();
        for config in present {
            // A stream of another name or subject is none of ours, and is left alone.
            let Some(table) = table_of(&config, node) else { continue };
            if missing.remove(&table) {
                result.present += 1;
                if config != self.config(&table) {
                    steps.push((Step::Update, table));
                }
            } else if self.may_delete {
                steps.push((Step::Delete, table));
            }
        }
        steps.extend(missing.into_iter().map(|table| (Step::Create, table)));
        steps
    }

    fn config(&self, TableName { database, table }: &TableName) -> StreamConfig {
        let StreamLimits { max_age, max_bytes, max_messages } = self.limits;
        let limit = |limit: Option<u64>| {
            limit.filter(|limit| *limit > 0).map_or(-1, |limit| limit.try_into().unwrap_or(-1))
        };
        let nanoseconds = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let max_age = max_age.filter(|age| !age.is_zero());
        StreamConfig {
            name: names::stream(database, table),
            subjects: vec![names::subject(database, table, self.nats.node_name())],
            retention: "limits".into(),
            storage: "file".into(),
            discard: "old".into(),
            max_age: max_age.map_or(0, nanoseconds),
            max_bytes: limit(max_bytes),
            max_msgs: limit(max_messages),
            max_msg_size: LARGEST,
            // The server takes none that is longer than what the stream keeps.
            duplicate_window: nanoseconds(max_age.map_or(DUPLICATES, |age| age.min(DUPLICATES))),
        }
    }
}

/// The table whose stream this is, if this node has made it.
pub(super) fn table_of(config: &StreamConfig, node: &str) -> Option<TableName> {
    let [subject] = &config.subjects[..] else { return None };
    let tokens: Vec<_> = subject.split('.').collect();
    let ["txn", database, table, leaf] = tokens[..] else { return None };
    let table = TableName { database: database.into(), table: table.into() };
    let is_ours = leaf == names::domain(node) && config.name == stream_of(&table);
    is_ours.then_some(table)
}

pub(super) fn unreachable(error: &JetStreamError) -> String {
    match error {
        JetStreamError::Timeout => "This node's leaf server does not answer".into(),
        error => format!("This node's leaf server cannot be asked: {error}"),
    }
}
