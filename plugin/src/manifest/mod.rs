//! A change of what two nodes share: on this node and on the other one, or on neither.
//!
//! The record of the other node here and the record of this node there mirror each other. Each is
//! changed by one compare-and-set, so neither is ever half; what has to be kept together is the two.
//!
//! 1. An *intent* is stored: what is about to be done, and the record before and after. While it is
//!    there no other operation of this node changes that record.
//! 2. The record here is changed, then the other node is told, then a look at the record says
//!    whether the other node has changed it meanwhile, by an operation of its own.
//! 3. The intent is removed. A failure undoes the change on both sides first; if the other node
//!    cannot be told, or this host ends, the intent stays, and [`recovery`](crate::recovery) goes on.
//!
//! Requests of other nodes take no intent, or two nodes that add each other would wait for each
//! other. They change the record by compare-and-set, and if there is an intent, they first enter
//! their change into it: what is undone is then the operation's own change and nothing else.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `intent.rs` | what is stored while an operation is under way, and waiting for one |
//! | `plan.rs` | which tables are where, and so which subscriptions can be made |
//! | `merge.rs` | records before and after a change, without a host |
//! | `request.rs` | what the other node is told, and what can come of it |
//! | `change.rs` | subscriptions added to a record or changed in it, on both nodes |
//! | `replace.rs` | records replaced or removed on many nodes at the same time |
//! | `remove.rs` | a record removed, on both nodes |
//! | `undo.rs` | both nodes brought to the state before, or after, from an intent |

pub mod change;
pub mod intent;
pub mod merge;
pub mod plan;
pub mod remove;
pub mod replace;
pub mod request;
pub mod undo;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::ask::NOT_ENABLED;
use crate::capabilities::{Capabilities, Clock, NodeInfo};
use crate::operation::Error;

/// All that an operation does is done or given up in this time, or a little over it: the host gives
/// a call 30 s.
const WHOLE: Duration = Duration::from_secs(25);

/// How long another operation on the same node is waited for.
const WAIT: Duration = Duration::from_secs(5);

/// How long a node is waited for before anything is changed.
const REACH: Duration = Duration::from_secs(5);

/// How long a node is waited for that is told to change its record.
const TELL: Duration = Duration::from_secs(7);

/// How long a node is waited for that is told to undo it.
const UNDO: Duration = Duration::from_secs(3);

/// How long streams and durables are waited for in the end. They are made later, if not then.
const SETTLE: Duration = Duration::from_secs(3);

/// After this time a request that a node has got is no longer worked at: the host's budget for an
/// answer.
const ANSWERED: Duration = Duration::from_secs(10);

/// How often two nodes that change the same record at the same time take turns.
const ROUNDS: usize = 8;

/// How often a compare-and-set is tried again.
const ATTEMPTS: usize = 50;

/// What one operation has to do with one other node.
pub struct Errand<'a, H> {
    /// The host.
    pub host: &'a H,
    /// This node.
    pub this: &'a NodeInfo,
    /// Its name.
    pub own: &'a str,
    /// The other node's name.
    pub node: &'a str,
    /// What the caller asked for, for the texts of errors.
    pub operation: &'a str,
    /// Until when.
    pub time: Time,
}

impl<'a, H: Capabilities> Errand<'a, H> {
    /// The same with another node.
    pub fn with<'b>(&self, node: &'b str) -> Errand<'b, H>
    where
        'a: 'b,
    {
        Errand { node, ..*self }
    }

    /// A name for a change: no other of this node has had it.
    fn change(&self) -> String {
        format!(
            "{:x}-{:x}",
            self.this.boot,
            self.this.uptime.as_nanos() ^ u128::from(self.host.monotonic())
        )
    }

    /// Waits a little, for a time that differs between nodes and calls.
    async fn pause(&self) {
        let chance = self.host.monotonic().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56;
        self.host.sleep(Duration::from_millis(5 + chance / 8)).await;
    }
}

/// When an operation has to be over, by the host's clock.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    end: Duration,
}

impl Time {
    /// From now on.
    pub fn begin(host: &impl Clock) -> Self {
        Self { end: now(host) + WHOLE }
    }

    /// At most this long, and no longer than the operation has. What undoes a change is always
    /// given a moment.
    fn at_most(self, host: &impl Clock, most: Duration) -> Duration {
        let left = self.end.saturating_sub(now(host));
        left.min(most).max(Duration::from_millis(100))
    }

    fn is_over(self, host: &impl Clock) -> bool {
        now(host) >= self.end
    }
}

fn now(host: &impl Clock) -> Duration {
    Duration::from_nanos(host.monotonic())
}

/// The name of this node, which has one when it runs clustering.
pub fn own_name(this: &NodeInfo) -> Result<&str, Error> {
    match &this.name {
        Some(name) if this.clustering => Ok(name),
        _ => Err(Error::Invalid(NOT_ENABLED.into())),
    }
}
