//! How far each subscription is, and what waits to go out: for Prometheus, and for the operation
//! `replication_status`.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `subscription.rs` | what is counted of one subscription |
//! | `outbox.rs` | what is counted of this node's own changes |
//! | `collector.rs` | both as metrics |
//!
//! Whoever applies or publishes writes into it; that costs an atomic operation and waits for
//! nobody. Counters begin at 0 when the node starts; what is lost or put aside for good the node's
//! database knows.

mod collector;
mod outbox;
mod subscription;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use harper_wire::names;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::capabilities::TableName;
use crate::data::Letters;

pub use outbox::{Outbox, OutboxFigures};
pub use subscription::{State, Subscription, SubscriptionFigures};

/// The figures of a node.
#[derive(Debug)]
pub struct Figures {
    shared: Arc<Shared>,
    registry: Registry,
}

/// What a registry shares with whoever counts.
#[derive(Debug, Default)]
struct Shared {
    outbox: Outbox,
    subscriptions: Mutex<Subscriptions>,
    /// What is put aside, by node and stream.
    letters: OnceLock<watch::Receiver<Letters>>,
}

/// By the other node's name, and the table.
type Subscriptions = BTreeMap<(String, TableName), Arc<Subscription>>;

/// All of it at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// This node's own changes.
    pub outbox: OutboxFigures,
    /// In the order of nodes, databases and tables.
    pub subscriptions: Vec<SubscriptionFigures>,
    /// Messages that are put aside, those of former subscriptions among them.
    pub dead_letters: u64,
}

impl Figures {
    /// None so far.
    pub fn new() -> Self {
        let shared = Arc::new(Shared::default());
        let mut registry = Registry::with_prefix("harper_replication");
        registry.register_collector(Box::new(shared.clone()));
        Self { shared, registry }
    }

    /// Where to count what comes from a node's table. Who counts keeps it until the subscription
    /// ends, and then calls [`forget`](Self::forget).
    pub fn subscription(&self, node: &str, table: &TableName) -> Arc<Subscription> {
        let mut all = self.shared.subscriptions();
        let one = all.entry((node.to_owned(), table.clone()));
        one.or_insert_with(|| Arc::new(Subscription::new())).clone()
    }

    /// Shows a subscription no longer.
    pub fn forget(&self, node: &str, table: &TableName) {
        self.shared.subscriptions().remove(&(node.to_owned(), table.clone()));
    }

    /// Shows how many messages are put aside, as the database has it.
    pub(crate) fn show_letters(&self, letters: watch::Receiver<Letters>) {
        // Where rows flow again after a stop it is the same database.
        let _ = self.shared.letters.set(letters);
    }

    /// Where to count what goes out.
    pub fn outbox(&self) -> &Outbox {
        &self.shared.outbox
    }

    /// All of it, now.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot(now())
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl Default for Figures {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    /// What the lock guards is whole at any time.
    fn subscriptions(&self) -> MutexGuard<'_, Subscriptions> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self, now: u64) -> Snapshot {
        let letters = self.letters.get().map(|letters| letters.borrow().clone());
        let letters = letters.unwrap_or_default();
        let of = |node: &str, table: &TableName| {
            // As a rule there are none, and no name has to be found.
            if letters.is_empty() {
                return 0;
            }
            let stream = names::stream(&table.database, &table.table);
            letters.get(&(node.to_owned(), stream)).copied().unwrap_or_default()
        };
        let all = self.subscriptions();
        let figures = |((node, table), one): (&(String, TableName), &Arc<Subscription>)| {
            one.figures(node, table, (now, of(node, table)))
        };
        Snapshot {
            outbox: self.outbox.figures(now),
            subscriptions: all.iter().map(figures).collect(),
            dead_letters: letters.values().sum(),
        }
    }
}

/// The wall clock, in milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "exact for some hundred thousand years")]
fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}
