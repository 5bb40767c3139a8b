//! What the flow counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::capabilities::TableName;

/// What a node's flow counts.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    outbox: AtomicU64,
    outbox_lost: AtomicU64,
    published: AtomicU64,
    subscriptions: Mutex<BTreeMap<(String, TableName), Arc<OfSubscription>>>,
}

/// What one subscription counts.
#[derive(Debug, Default)]
pub(crate) struct OfSubscription {
    applied: AtomicU64,
    dropped: AtomicU64,
    dead: AtomicU64,
    gap: AtomicU64,
    lag: AtomicU64,
    held: AtomicBool,
    told: AtomicBool,
}

impl Figures {
    /// So many changes are in the log and not published.
    pub(crate) fn outbox(&self, changes: u64) {
        self.outbox.store(changes, Relaxed);
    }

    /// So many changes were dropped from the log before they were published.
    pub(crate) fn outbox_lost(&self, changes: u64) {
        self.outbox_lost.fetch_add(changes, Relaxed);
    }

    /// A message of a table is in its stream.
    pub(crate) fn published(&self, _: &TableName) {
        self.published.fetch_add(1, Relaxed);
    }

    pub(crate) fn of(&self, source: &str, table: &TableName) -> Arc<OfSubscription> {
        let mut all = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry((source.to_owned(), table.clone())).or_default().clone()
    }
}

impl Figures {
    /// There is no such subscription any more.
    pub(crate) fn forget(&self, source: &str, table: &TableName) {
        let mut all = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&(source.to_owned(), table.clone()));
    }
}

impl OfSubscription {
    /// Rows that were written or deleted.
    pub(crate) fn applied(&self, rows: u64) {
        self.applied.fetch_add(rows, Relaxed);
    }

    /// Messages and rows that are here already, or something newer is.
    pub(crate) fn dropped(&self, number: u64) {
        self.dropped.fetch_add(number, Relaxed);
    }

    /// Messages that were laid aside.
    pub(crate) fn dead(&self, messages: u64) {
        self.dead.fetch_add(messages, Relaxed);
    }

    /// Messages that were gone before they were read.
    pub(crate) fn gap(&self, messages: u64) {
        self.gap.fetch_add(messages, Relaxed);
    }

    /// Messages that are still to come.
    pub(crate) fn lag(&self, messages: u64) {
        self.lag.store(messages, Relaxed);
    }

    /// Whether a message waits for this node's clock, or for its table.
    pub(crate) fn held(&self, is_held: bool) {
        self.held.store(is_held, Relaxed);
        if !is_held {
            self.told.store(false, Relaxed);
        }
    }

    /// Whether it is to be said now that a message waits: once.
    pub(crate) fn tell_held(&self) -> bool {
        !self.told.swap(true, Relaxed)
    }
}

#[cfg(test)]
impl OfSubscription {
    pub(crate) fn gap_so_far(&self) -> u64 {
        self.gap.load(Relaxed)
    }

    pub(crate) fn applied_so_far(&self) -> u64 {
        self.applied.load(Relaxed)
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Relaxed)
    }
}
