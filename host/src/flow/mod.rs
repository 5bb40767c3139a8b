//! Rows from node to node: what is written here goes onto the streams of its tables, and what comes
//! on the streams that this node has subscribed to is written here.
//!
//! - **Out**: the change log, which is part of each commit, is published in its order. While the
//!   node's servers are down it grows, and goes out later.
//! - **In**: messages are applied in their stream's order, many in one transaction, which says up to
//!   where too. They are acknowledged after that.
//! - **Newest wins**: each write has a version, a time and a node's name, which no other write has.
//!   Of two the larger one is kept, on all nodes alike: in whatever order and however often they
//!   come, all end up the same.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `bus.rs` | what carries transactions, as the engine sees it |
//! | `nats.rs` | the same on the node's servers |
//! | `publish.rs` | out |
//! | `ingest.rs` | in: one stream |
//! | `judge.rs` | in: what is to be done about a message |
//! | `memory.rs` | in: what all streams together take of it |
//! | `subscriptions.rs` | which streams there are to be read |
//! | `tasks.rs` | what keeps all of it going |
//! | `dead_letters.rs` | what could not be applied, once more |
//! | `simulation/` | nodes on a bus in memory, with faults, for the tests |

mod bus;
mod dead_letters;
mod ingest;
mod judge;
mod memory;
mod nats;
mod publish;
#[cfg(test)]
mod simulation;
mod subscriptions;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config;
use crate::data::Data;
use crate::figures::Figures;
use crate::nats::Nats;
use crate::replication::Replicator;
use crate::store::Store;
pub use dead_letters::{Applied, DeadLetters, Stays};
use ingest::How;
use memory::Memory;
use nats::NatsBus;
use publish::Publisher;
use subscriptions::Subscriptions;

/// How rows flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowConfig {
    /// Messages that are applied together at most: `clustering.leafServer.streams.maxConsumeMsgs`.
    pub most_messages: usize,
    /// Whether what comes from other nodes is published onward: `clustering.republishMessages`.
    pub republish: bool,
    /// How long streams keep messages; none is without end: `clustering.leafServer.streams.maxAge`.
    pub max_age: Option<Duration>,
}

/// Why rows do not flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// A message that is older than a tombstone may be would bring a deleted row back.
    #[error(
        "deletions are remembered for {} s, and streams keep messages for {} s \
         ('clustering.leafServer.streams.maxAge'): a deleted row could come back",
        life.as_secs(), max_age.as_secs()
    )]
    TombstoneLife {
        /// How long tombstones are kept.
        life: Duration,
        /// How long streams keep messages.
        max_age: Duration,
    },
}

/// Messages that are applied together where no number is set.
const MOST: usize = 1000;

impl Default for FlowConfig {
    fn default() -> Self {
        Self { most_messages: 100, republish: false, max_age: None }
    }
}

impl From<&config::Clustering> for FlowConfig {
    fn from(clustering: &config::Clustering) -> Self {
        let most = clustering.streams.max_consume_messages;
        let most = most.and_then(|most| usize::try_from(most).ok()).filter(|most| *most > 0);
        Self {
            most_messages: most.unwrap_or(MOST),
            republish: clustering.republish_messages,
            max_age: clustering.streams.max_age,
        }
    }
}

impl FlowConfig {
    /// Fails where messages outlive the tombstones that keep deleted rows deleted.
    fn check(&self, life: Duration) -> Result<(), FlowError> {
        match self.max_age {
            Some(max_age) if max_age >= life => Err(FlowError::TombstoneLife { life, max_age }),
            _ => Ok(()),
        }
    }
}

/// Rows flow until this is stopped, or dropped.
#[derive(Debug)]
pub struct Flow {
    ingest: JoinHandle<()>,
    publish: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Flow {
    /// For a node whose streams and durable consumers are kept by the reconciler that `replicator`
    /// asks. What is counted goes into `figures`.
    ///
    /// # Errors
    /// Streams would keep messages for longer than tombstones are kept.
    pub fn start(
        store: Store,
        data: Data,
        nats: Nats,
        replicator: Replicator,
        figures: Arc<Figures>,
        config: FlowConfig,
    ) -> Result<Self, FlowError> {
        config.check(data.tombstone_life())?;
        figures.show_letters(data.letters());
        let node = nats.node_name().to_owned();
        let bus = Arc::new(NatsBus::new(store.clone(), nats, replicator));
        let (stop, stopped) = watch::channel(false);
        let publisher = Publisher::new(data.clone(), bus.clone(), node.clone(), figures.clone());
        let publish =
            tokio::spawn(tasks::publish(data.clone(), publisher, figures.clone(), stopped));
        let (most, republish) = (config.most_messages, config.republish);
        let how = How { node: node.clone(), most, republish, memory: Memory::default() };
        let subscriptions = Subscriptions::new(store, node);
        let ingest = tokio::spawn(tasks::ingest(data, bus, how, subscriptions, figures));
        Ok(Self { ingest, publish, stop })
    }

    /// Applies nothing more, and publishes for some seconds at most what is left. What is not
    /// published then is when the node runs again.
    pub async fn stop(mut self) {
        self.ingest.abort();
        let _ = (&mut self.ingest).await;
        self.stop.send_replace(true);
        let _ = (&mut self.publish).await;
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.ingest.abort();
        self.publish.abort();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Settings;

    // covers: flow.tombstones
    #[test]
    fn messages_must_not_outlive_tombstones() {
        let day = Duration::from_secs(24 * 60 * 60);
        let of = |max_age| FlowConfig { max_age, ..FlowConfig::default() };
        for (max_age, is_fine) in [(None, true), (Some(day), true), (Some(2 * day), false)] {
            assert_eq!(of(max_age).check(2 * day).is_ok(), is_fine, "{max_age:?}");
        }
    }

    // covers: flow.configured
    #[test]
    fn it_is_as_the_file_says() {
        let of = |clustering: serde_json::Value| {
            let document = json!({ "clustering": clustering });
            FlowConfig::from(&Settings::read(&document).unwrap().clustering)
        };
        assert_eq!(of(json!({})), FlowConfig::default());
        let streams = json!({ "maxConsumeMsgs": 7, "maxAge": 60 });
        let clustering = json!({ "republishMessages": true, "leafServer": { "streams": streams } });
        let max_age = Some(Duration::from_secs(60));
        assert_eq!(of(clustering), FlowConfig { most_messages: 7, republish: true, max_age });
        let streams = json!({ "maxConsumeMsgs": null });
        let unlimited = of(json!({ "leafServer": { "streams": streams } }));
        assert_eq!(unlimited.most_messages, MOST);
    }
}
