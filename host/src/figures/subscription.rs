//! What is counted of one subscription.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::{now, seconds};
use crate::capabilities::TableName;

/// What is counted of one subscription. Messages are those of the table's stream on the other node.
#[derive(Debug, Default)]
pub struct Subscription {
    is_reached: AtomicBool,
    /// Since when it is not, in milliseconds since 1970.
    away_since: AtomicU64,
    is_held: AtomicBool,
    /// Messages of the stream that are not seen to yet, when it was last looked at.
    pending: AtomicU64,
    /// When that was, in milliseconds since 1970.
    looked: AtomicU64,
    /// How long before that the last message that was seen to had been published, in milliseconds.
    behind: AtomicU64,
    applied: AtomicU64,
    dropped: AtomicU64,
    dead_lettered: AtomicU64,
    gap: AtomicU64,
}

impl Subscription {
    /// One that was not reached yet.
    pub(super) fn new() -> Self {
        Self { away_since: now().into(), ..Self::default() }
    }

    /// The stream can be read, or no longer.
    pub fn set_reached(&self, is_reached: bool) {
        if self.is_reached.swap(is_reached, Relaxed) && !is_reached {
            self.away_since.store(now(), Relaxed);
        }
    }

    /// The next message waits: it is ahead of the clock, or for a table that is not here yet.
    pub fn set_held(&self, is_held: bool) {
        self.is_held.store(is_held, Relaxed);
    }

    /// What was seen to is committed. `published` is when the server got the last message of it, in
    /// milliseconds since 1970; `pending` is how many come after it.
    pub fn advance(&self, published: u64, pending: u64) {
        let now = now();
        self.pending.store(pending, Relaxed);
        self.behind.store(now.saturating_sub(published), Relaxed);
        self.looked.store(now, Relaxed);
    }

    /// The stream was looked at: so many messages of it are not seen to.
    pub fn set_pending(&self, pending: u64) {
        if self.pending.swap(pending, Relaxed) == 0 && pending > 0 {
            self.behind.store(0, Relaxed);
            self.looked.store(now(), Relaxed);
        }
    }

    /// So many rows were written or deleted.
    pub fn count_applied(&self, rows: u64) {
        self.applied.fetch_add(rows, Relaxed);
    }

    /// So many messages were not for this node, its own and those that have come another way, or so
    /// many rows were older than what is here.
    pub fn count_dropped(&self, number: u64) {
        self.dropped.fetch_add(number, Relaxed);
    }

    /// So many could not be applied, and were put aside.
    pub fn count_dead_lettered(&self, messages: u64) {
        self.dead_lettered.fetch_add(messages, Relaxed);
    }

    /// So many so far were no longer there when they were to be read: they are lost.
    pub fn set_gap(&self, messages: u64) {
        self.gap.store(messages, Relaxed);
    }

    pub(super) fn figures(
        &self,
        node: &str,
        table: &TableName,
        (now, dead_letters): (u64, u64),
    ) -> SubscriptionFigures {
        let pending = self.pending.load(Relaxed);
        let since = now.saturating_sub(self.looked.load(Relaxed));
        let lag = if pending == 0 { 0 } else { self.behind.load(Relaxed).saturating_add(since) };
        let state = if !self.is_reached.load(Relaxed) {
            State::Away
        } else if self.is_held.load(Relaxed) {
            State::Held
        } else if pending > 0 {
            State::CatchingUp
        } else {
            State::Current
        };
        let is_known = state != State::Away;
        SubscriptionFigures {
            node: node.to_owned(),
            table: table.clone(),
            state,
            away_since: (!is_known).then(|| self.away_since.load(Relaxed)),
            lag_messages: is_known.then_some(pending),
            lag_seconds: is_known.then(|| seconds(lag)),
            applied: self.applied.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            dead_lettered: self.dead_lettered.load(Relaxed),
            dead_letters,
            gap: self.gap.load(Relaxed),
        }
    }
}

/// What a subscription does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The other node cannot be reached: how much more there is nobody knows.
    Away,
    /// All there was is seen to.
    Current,
    /// There is more.
    CatchingUp,
    /// The next message waits for the clock, or for a table.
    Held,
}

impl State {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Current => "current",
            Self::CatchingUp => "catching-up",
            Self::Held => "held",
        }
    }
}

/// A subscription at one moment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SubscriptionFigures {
    /// The other node.
    pub node: String,
    /// The table.
    pub table: TableName,
    /// What it does.
    pub state: State,
    /// Since when it is away, in milliseconds since 1970; none while it is not.
    pub away_since: Option<u64>,
    /// Messages that are not seen to yet; none while it is away.
    pub lag_messages: Option<u64>,
    /// How old they are at the most: the time since the last message before them was published. 0
    /// when there are none; none while it is away.
    pub lag_seconds: Option<f64>,
    /// Rows that were written or deleted since the node started.
    pub applied: u64,
    /// Messages that this node had already, and rows that were older than what is here.
    pub dropped: u64,
    /// Messages that were put aside since the node started.
    pub dead_lettered: u64,
    /// Messages that are put aside now.
    pub dead_letters: u64,
    /// Messages that were removed from the stream before they were read, since the subscription
    /// began.
    pub gap: u64,
}
