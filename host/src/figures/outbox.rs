//! What is counted of this node's own changes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::seconds;

/// What is counted of this node's own changes, on their way from the change log to the streams.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: AtomicU64,
    /// When the oldest of them was made, in milliseconds since 1970; 0 when there is none.
    oldest: AtomicU64,
    published: AtomicU64,
    failures: AtomicU64,
    gap: AtomicU64,
    unpublished: AtomicU64,
}

impl Outbox {
    /// So many changes wait, of which the oldest was made at this time, in milliseconds since 1970.
    pub fn set_waiting(&self, changes: u64, oldest: Option<u64>) {
        self.waiting.store(changes, Relaxed);
        self.oldest.store(oldest.unwrap_or(0), Relaxed);
    }

    /// So many messages are in their streams.
    pub fn count_published(&self, messages: u64) {
        self.published.fetch_add(messages, Relaxed);
    }

    /// Publishing did not work, and begins again where it was.
    pub fn count_failure(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// So many changes had left the log before they were published: other nodes never hear of them.
    pub fn count_gap(&self, changes: u64) {
        self.gap.fetch_add(changes, Relaxed);
    }

    /// So many messages no stream will ever take: other nodes never hear of them.
    pub fn count_unpublished(&self, messages: u64) {
        self.unpublished.fetch_add(messages, Relaxed);
    }

    pub(super) fn figures(&self, now: u64) -> OutboxFigures {
        let oldest = match self.oldest.load(Relaxed) {
            0 => 0,
            oldest => now.saturating_sub(oldest),
        };
        OutboxFigures {
            waiting: self.waiting.load(Relaxed),
            waiting_seconds: seconds(oldest),
            published: self.published.load(Relaxed),
            failures: self.failures.load(Relaxed),
            gap: self.gap.load(Relaxed),
            unpublished: self.unpublished.load(Relaxed),
        }
    }
}

/// The outbox at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct OutboxFigures {
    /// Changes that are not in their streams yet.
    pub waiting: u64,
    /// How long the oldest of them has waited; 0 when there is none.
    pub waiting_seconds: f64,
    /// Messages that were published since the node started.
    pub published: u64,
    /// How often publishing did not work.
    pub failures: u64,
    /// Changes that had left the log unpublished.
    pub gap: u64,
    /// Messages that were passed over, because no stream takes them.
    pub unpublished: u64,
}
