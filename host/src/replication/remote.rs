//! This node's durable consumers on the streams of one other node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use harper_wire::names;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::wanted::stream_of;
use crate::capabilities::{JetStream, JetStreamError, TableName};
use crate::nats::{Deliver, Nats};
use crate::store::{Durable, Durables, Start, Store};

/// For an answer of another node.
const PATIENCE: Duration = Duration::from_secs(2);
/// For all of one node: one that answers, and slowly, does not keep its place for longer.
const IN_ALL: Duration = Duration::from_secs(60);
/// Durables of one node that are seen to at the same time.
const TOGETHER: usize = 8;

/// What has to be there.
pub(super) struct Remote {
    pub(super) nats: Nats,
    pub(super) store: Store,
    /// The other node.
    pub(super) node: String,
    pub(super) wanted: BTreeMap<TableName, Start>,
    /// What has been made there, or was about to be.
    pub(super) remembered: Durables,
    /// Of the work that nodes which answer share.
    pub(super) places: Arc<Semaphore>,
}

/// How it went.
#[derive(Debug, Default)]
pub(super) struct Result {
    /// What does not match, as a sentence.
    pub(super) problem: Option<String>,
    /// It is nothing but streams that the node does not have: it may be about to make them.
    pub(super) is_early: bool,
    /// What is remembered now.
    pub(super) remembered: Durables,
    /// Durables that are wanted and there.
    pub(super) present: usize,
}

/// Why a step was not done.
enum Failed {
    /// The node does not answer: neither will it answer the other steps.
    Unreachable(String),
    /// This one only.
    Step(String),
    /// The node has no stream of this table.
    Missing(String),
}

/// What does not match in the end.
struct Problem {
    text: String,
    is_early: bool,
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self { text, is_early: false }
    }
}

/// A durable that is to be there.
struct Due {
    table: TableName,
    stream: String,
    durable: Durable,
    /// Whether it was not remembered as it is to be: whatever stands there is of another time.
    is_new: bool,
}

impl Remote {
    pub(super) async fn bring(mut self) -> Result {
        let mut result = Result::default();
        if let Err(Problem { text, is_early }) = self.try_bring(&mut result.present).await {
            (result.problem, result.is_early) = (Some(text), is_early);
        }
        result.remembered = self.remembered;
        result
    }

    async fn try_bring(&mut self, present: &mut usize) -> std::result::Result<(), Problem> {
        if self.wanted.is_empty() && self.remembered.is_empty() {
            return Ok(());
        }
        // One that is down or frozen takes nobody's place.
        let probed = self.nats.probe_domain(&self.domain(), PATIENCE).await;
        probed.map_err(|error| self.unreachable(&error))?;
        let Ok(_place) = self.places.clone().acquire_owned().await else { return Ok(()) };
        let end = Instant::now() + IN_ALL;

        let name = names::durable(self.nats.node_name(), &self.node);
        let due: Vec<_> = std::mem::take(&mut self.wanted)
            .into_iter()
            .map(|(table, start)| {
                let durable = Durable { name: name.clone(), start };
                let stream = stream_of(&table);
                let is_new = self.remembered.get(&stream) != Some(&durable);
                Due { table, stream, durable, is_new }
            })
            .collect();
        let mut problem = self.clear(&due, end).await?.map(Problem::from);
        let new: Durables = due
            .iter()
            .filter(|due| due.is_new)
            .map(|d| (d.stream.clone(), d.durable.clone()))
            .collect();
        let written = self.store.remember_durables(&self.node, new.clone()).await;
        written.map_err(|error| self.store_failed(&error))?;
        self.remembered.extend(new);

        let this = &*self;
        let made = futures_util::stream::iter(due).map(async |due| this.make(&due).await);
        let mut made = std::pin::pin!(made.buffer_unordered(TOGETHER));
        loop {
            match timeout_at(end, made.next()).await {
                Ok(None) => return problem.map_or(Ok(()), Err),
                Ok(Some(Ok(()))) => *present += 1,
                Ok(Some(Err(Failed::Unreachable(text)))) => return Err(text.into()),
                Ok(Some(Err(Failed::Missing(text)))) => {
                    problem.get_or_insert(Problem { text, is_early: true });
                }
                // What is wrong for good is what is told.
                Ok(Some(Err(Failed::Step(text)))) => {
                    if problem.as_ref().is_none_or(|problem| problem.is_early) {
                        problem = Some(text.into());
                    }
                }
                Err(_) => return Err(self.too_slow().into()),
            }
        }
    }

    /// Removes what was made and is not wanted, or not as it was made. What cannot be removed does not
    /// keep others from being made: it is said, if the node answers.
    async fn clear(
        &mut self,
        due: &[Due],
        end: Instant,
    ) -> std::result::Result<Option<String>, String> {
        let wanted: BTreeMap<_, _> = due.iter().map(|due| (&due.stream, &due.durable)).collect();
        let left: Vec<_> = self
            .remembered
            .iter()
            .filter(|(stream, durable)| wanted.get(stream) != Some(durable))
            .map(|(stream, durable)| (stream.clone(), durable.name.clone()))
            .collect();
        let mut gone = Vec::new();
        let (mut problem, mut silent) = (None, None);
        {
            let this = &*self;
            let cleared = futures_util::stream::iter(left).map(async |(stream, durable)| {
                let deleted =
                    this.nats.delete_durable(&this.domain(), &stream, &durable, PATIENCE).await;
                (stream, deleted)
            });
            let mut cleared = std::pin::pin!(cleared.buffer_unordered(TOGETHER));
            loop {
                let (stream, deleted) = match timeout_at(end, cleared.next()).await {
                    Ok(Some(cleared)) => cleared,
                    Ok(None) => break,
                    Err(_) => {
                        silent = Some(this.too_slow());
                        break;
                    }
                };
                match deleted.map_err(|error| this.failed("be deleted", None, error)) {
                    Ok(_) => gone.push(stream),
                    Err(Failed::Unreachable(text)) => {
                        silent = Some(text);
                        break;
                    }
                    Err(Failed::Step(text) | Failed::Missing(text)) => {
                        problem.get_or_insert(text);
                    }
                }
            }
        }
        for stream in &gone {
            self.remembered.remove(stream);
        }
        let forgotten = self.store.forget_durables(&self.node, gone).await;
        forgotten.map_err(|error| self.store_failed(&error))?;
        silent.map_or(Ok(problem), Err)
    }

    /// Has a durable be there.
    async fn make(&self, due: &Due) -> std::result::Result<(), Failed> {
        let Due { table, stream, durable: Durable { name, start }, is_new } = due;
        let domain = self.domain();
        let failed = |error| self.failed("be made", Some(table), error);
        if *is_new {
            self.nats.delete_durable(&domain, stream, name, PATIENCE).await.map_err(failed)?;
        } else if self.nats.has_durable(&domain, stream, name, PATIENCE).await.map_err(failed)? {
            return Ok(());
        }
        let made = self.nats.inspect(domain.clone(), stream.clone(), PATIENCE).await;
        let made = made.map_err(failed)?.created;
        let deliver = match start {
            Start::Now => Deliver::New,
            Start::Time(time) => Deliver::FromTime(time.clone()),
            Start::After { created: Some(created), sequence } if *created == made => {
                Deliver::FromSequence(sequence.saturating_add(1))
            }
            // Made since, so that everything in it is newer.
            Start::After { .. } => Deliver::All,
        };
        self.nats.create_durable(&domain, stream, name, deliver, PATIENCE).await.map_err(failed)
    }

    fn domain(&self) -> String {
        names::domain(&self.node)
    }

    fn failed(&self, what: &str, table: Option<&TableName>, error: JetStreamError) -> Failed {
        if let JetStreamError::Unavailable(_) | JetStreamError::Timeout = error {
            return Failed::Unreachable(self.unreachable(&error));
        }
        let of = table.map(|table| format!(" of '{table}'")).unwrap_or_default();
        let node = &self.node;
        let text = |error: &str| {
            format!("The durable consumer{of} on node '{node}' could not {what}: {error}")
        };
        match error {
            JetStreamError::NotFound => {
                Failed::Missing(text("the node has no stream of this table"))
            }
            error => Failed::Step(text(&error.to_string())),
        }
    }

    fn unreachable(&self, error: &JetStreamError) -> String {
        if !self.nats.is_connected() {
            return "This node's leaf server cannot be reached at the moment".into();
        }
        match error {
            JetStreamError::Timeout => format!("Node '{}' does not answer", self.node),
            _ => format!("Node '{}' cannot be reached", self.node),
        }
    }

    fn too_slow(&self) -> String {
        format!("Node '{}' answers slowly", self.node)
    }

    fn store_failed(&self, error: &crate::store::Error) -> String {
        tracing::error!(node = self.node, "durable consumers were not written down: {error}");
        "This node's database cannot be written".into()
    }
}
