//! What this node has subscribed to, as the records of nodes say, each time that changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::replication::{NodeRecord, Wanted};
use crate::store::{self, Store};

/// The records of nodes, as far as they were read.
pub(super) struct Subscriptions {
    store: Store,
    changes: watch::Receiver<u64>,
    node: String,
    /// Revisions, and what they ask for.
    records: BTreeMap<String, (u64, Arc<Wanted>)>,
}

impl Subscriptions {
    pub(super) fn new(store: Store, node: String) -> Self {
        let mut changes = store.node_changes();
        // The first look is not to wait for a change.
        changes.mark_changed();
        Self { store, changes, node, records: BTreeMap::new() }
    }

    /// Waits for a change, and reads what has changed. False when there will be none any more.
    pub(super) async fn changed(&mut self) -> Result<bool, store::Error> {
        if self.changes.changed().await.is_err() {
            return Ok(false);
        }
        let read = self.read().await;
        if read.is_err() {
            self.changes.mark_changed();
        }
        read.map(|()| true)
    }

    async fn read(&mut self) -> Result<(), store::Error> {
        let known = self.records.iter().map(|(name, (revision, _))| (name.clone(), *revision));
        let changes = self.store.nodes_changed::<NodeRecord>(known.collect()).await?;
        for name in changes.removed {
            self.records.remove(&name);
        }
        for (name, revision, record) in changes.written {
            if name == self.node {
                continue;
            }
            // One that cannot be read asks for nothing new and takes nothing back.
            if let Ok(record) = record {
                self.records.insert(name, (revision, Arc::new(Wanted::of(record))));
            }
        }
        Ok(())
    }

    /// By node.
    pub(super) fn now(&self) -> impl Iterator<Item = (&String, &Arc<Wanted>)> {
        self.records.iter().map(|(name, (_, wanted))| (name, wanted))
    }
}
