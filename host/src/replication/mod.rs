//! Keeps streams and durable consumers as the records of nodes say.
//!
//! A record of `system.hdb_nodes` names tables that flow between this node and another. For a table
//! that is published this node has a stream; for one that is subscribed to it has a durable consumer
//! on the other node's stream. This alone makes and removes both, and remembers in `system.durables`
//! what it made on others, so that nothing is left there that no record names: not after a
//! crash, and not on a node that was away.
//!
//! Each other node is seen to by itself: one that is down or frozen keeps nobody waiting.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `wanted.rs` | what the records ask for |
//! | `own.rs` | this node's streams |
//! | `remote.rs` | the durable consumers on one other node |
//! | `task.rs` | when which of both is seen to |
//! | `progress.rs` | how far that is, and who waits for it |
//! | `readers.rs` | how far other nodes are with this node's streams |
//! | `counted.rs` | its metrics |

mod counted;
mod own;
mod progress;
mod readers;
mod remote;
mod task;
mod wanted;

pub use own::StreamLimits;
pub use readers::{OwnStream, Reader};

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::capabilities::{BoxFuture, Held, Replication, ReplicationError, TableName};
use crate::nats::Nats;
use crate::store::{self, Store};
use counted::Counted;
use progress::{Lease, Shared};
use task::Task;
use wanted::{is_table, not_shared};

pub(crate) use task::BEING_MADE;
pub(crate) use wanted::{NodeRecord, Wanted};

/// Sees to streams and durable consumers until it is dropped. What is there then stays.
#[derive(Debug)]
pub struct Reconciler(JoinHandle<()>);

/// Asks a [`Reconciler`] how far it is. Cheap to clone.
#[derive(Clone)]
pub struct Replicator(Arc<Inner>);

struct Inner {
    store: Store,
    nats: Nats,
    shared: Arc<Shared>,
    counted: Arc<Counted>,
}

impl Reconciler {
    /// Starts with what the records say now, and follows them.
    ///
    /// # Errors
    ///
    /// The database cannot be read.
    pub async fn start(
        store: Store,
        nats: Nats,
        limits: StreamLimits,
    ) -> Result<(Self, Replicator), store::Error> {
        let durables = store.durables().await?;
        let (shared, counted) = (Arc::new(Shared::default()), Arc::new(Counted::new()));
        let (task_nats, task_shared) = (nats.clone(), shared.clone());
        let task =
            Task::new(store.clone(), task_nats, limits, task_shared, counted.clone(), durables);
        let inner = Inner { store, nats, shared, counted };
        Ok((Self(tokio::spawn(task.run())), Replicator(Arc::new(inner))))
    }
}

impl Drop for Reconciler {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Replicator {
    pub(crate) fn registry(&self) -> &Registry {
        self.0.counted.registry()
    }

    /// Whether this node is to have a stream of the table; none before the records were read.
    pub(crate) fn has_stream(&self, table: &TableName) -> Option<bool> {
        self.0.shared.has_stream(table)
    }

    /// How far other nodes are with this node's streams, in the order of the tables. Takes no longer
    /// than `timeout`; of streams that were not heard of by then the readers are not known.
    ///
    /// # Errors
    /// The node's leaf server does not answer, or the database cannot be read: a sentence for the
    /// caller.
    pub async fn readers(&self, timeout: Duration) -> Result<Vec<OwnStream>, String> {
        let Inner { store, nats, .. } = &*self.0;
        readers::of(store, nats, Instant::now() + timeout).await
    }

    /// Looks at them for the metrics, if that was not done lately.
    pub(crate) async fn look_at_readers(&self) {
        self.0.counted.seen.look(|timeout| self.readers(timeout)).await;
    }

    /// A stream of this node is not there: it should be looked after.
    pub(crate) fn stream_is_missing(&self) {
        self.0.shared.ask(true, None);
    }

    /// A durable consumer on a node is not there.
    pub(crate) fn durable_is_missing(&self, node: &str) {
        self.0.shared.ask(false, Some(node));
    }
}

impl Replication for Replicator {
    fn ensure_streams(
        &self,
        tables: Vec<TableName>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Held, ReplicationError>> {
        Box::pin(async move {
            if let Some(table) = tables.iter().find(|table| !is_table(table)) {
                return Err(ReplicationError::InvalidRequest(not_shared(table)));
            }
            let lease = Lease::take(self.0.shared.clone(), tables);
            lease.streams_are_there(Instant::now() + timeout).await?;
            Ok(Box::new(lease) as Held)
        })
    }

    fn settle(
        &self,
        node: String,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<(), ReplicationError>> {
        Box::pin(async move {
            let changes = *self.0.store.node_changes().borrow();
            self.0.shared.settle(&node, changes, Instant::now() + timeout).await
        })
    }
}
