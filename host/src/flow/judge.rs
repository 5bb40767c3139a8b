//! What is to be done about a message: what it says is held against this node's subscriptions, its
//! clock and its tables. Nothing here reads or writes anything.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::bus::Delivery;
use super::memory::{Memory, Share};
use crate::capabilities::TableName;
use crate::data::{Arrival, Incoming, Message};
use crate::transaction::{Change, Decoded, Limits, Part, Passed, Transaction, TransactionError};

/// How far ahead of this node's clock a message may be, in microseconds.
pub(crate) const AHEAD: u64 = 60_000_000;

/// Bytes of memory of what is applied together: one message more may have more.
pub(super) const TOGETHER: usize = 64 << 20;

/// What messages of one node are held against.
#[derive(Clone)]
pub(crate) struct Judge {
    /// This node.
    pub(crate) node: String,
    /// Tables that it has subscribed to there.
    pub(crate) tables: Arc<BTreeSet<TableName>>,
    pub(crate) limits: Limits,
    /// This node's clock, in microseconds since 1970.
    pub(crate) now: u64,
}

/// What is to be done about a message.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is to be applied, as far as it may be.
    Apply(Judged),
    /// This node has it already.
    Known,
    /// It is from the future, and waits until this node's clock shows this.
    Early(u64),
}

/// What a message says.
#[derive(Debug)]
pub(crate) struct Judged {
    /// What is to be applied.
    pub(crate) changes: Vec<Arrival>,
    /// Why it is laid aside, wholly or in part.
    pub(crate) dead: Option<(Arc<Message>, String)>,
}

/// What is to be done about some messages, one after another.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) judged: Vec<(Delivery, Verdict)>,
    /// Those after them: there is no memory for them yet.
    pub(crate) rest: VecDeque<Delivery>,
    /// What the others take.
    pub(crate) share: Share,
}

/// What is taken before a message is decoded. It is enough for what nodes write as a rule; what
/// needs more takes all there is, and is decoded again.
pub(crate) fn estimate(delivery: &Delivery) -> usize {
    delivery.message.payload.len().saturating_mul(16).saturating_add(256 << 10)
}

impl Judge {
    /// Decodes one after another as long as there is memory; `share` is for the first. None of
    /// them is judged if that one needs all there is.
    pub(crate) fn judge_all(
        &self,
        mut deliveries: VecDeque<Delivery>,
        memory: &Memory,
        mut share: Share,
    ) -> Batch {
        let mut judged = Vec::with_capacity(deliveries.len());
        let mut together = 0;
        while let Some(delivery) = deliveries.front() {
            let mut more = None;
            if !judged.is_empty() {
                if together > TOGETHER {
                    break;
                }
                let Some(taken) = memory.try_take(estimate(delivery)) else { break };
                more = Some(taken);
            }
            let is_all = more.as_ref().unwrap_or(&share).is_all();
            let Some((verdict, bytes)) = self.judge(delivery, is_all) else { break };
            let Some(delivery) = deliveries.pop_front() else { break };
            match more {
                None => share.keep(bytes),
                Some(mut more) => {
                    more.keep(bytes);
                    share.add(more);
                }
            }
            together += bytes;
            let is_last = matches!(verdict, Verdict::Early(_));
            judged.push((delivery, verdict));
            if is_last {
                break;
            }
        }
        Batch { judged, rest: deliveries, share }
    }

    /// The verdict on one, and how many bytes of memory that takes. None if it takes more than was
    /// estimated, unless it `has_all` there is.
    pub(crate) fn judge(&self, delivery: &Delivery, has_all: bool) -> Option<(Verdict, usize)> {
        if delivery.passed.includes(&self.node) {
            return Some((Verdict::Known, 0));
        }
        let most = if has_all { usize::MAX } else { estimate(delivery) };
        let limits = self.limits.clone().with_memory(most);
        let message = Arc::new(delivery.message.clone());
        let decoded = match Transaction::decode_measured(&message.payload, &limits) {
            Err(error) if error.is_memory() && !has_all => return None,
            decoded => decoded,
        };
        Some(self.weigh(decoded, message, &delivery.passed))
    }

    fn weigh(
        &self,
        decoded: Result<Decoded, TransactionError>,
        message: Arc<Message>,
        passed: &Passed,
    ) -> (Verdict, usize) {
        let payload = message.payload.len();
        let Decoded { transaction: Transaction { parts, version, user }, memory } = match decoded {
            Ok(decoded) => decoded,
            Err(error) => {
                let dead = Some((message, error.to_string()));
                return (Verdict::Apply(Judged { changes: Vec::new(), dead }), 0);
            }
        };
        if version.node == self.node {
            return (Verdict::Known, 0);
        }
        let mut judged = Judged { changes: Vec::with_capacity(parts.len()), dead: None };
        for Part { table, change } in parts {
            if !self.tables.contains(&table) {
                // The name is the other node's: it may have anything in it.
                let name = table.to_string().escape_debug().to_string();
                let reason = format!("this node has not subscribed to '{name}'");
                judged.dead.get_or_insert((message.clone(), reason));
                continue;
            }
            let what = match change {
                // It changes nothing.
                Change::Rows { rows, .. } if rows.is_empty() => continue,
                Change::Deleted(keys) if keys.is_empty() => continue,
                Change::Rows { rows, ids, partial } => {
                    Incoming::Rows { rows, keys: ids, is_partial: partial }
                }
                Change::Deleted(keys) => Incoming::Deleted(keys),
                Change::DefineSchema { primary_key, attributes } => {
                    Incoming::Schema { primary_key, attributes }
                }
            };
            let (version, user) = (version.clone(), user.clone());
            let (passed, message) = (passed.transacted.clone(), message.clone());
            judged.changes.push(Arrival { table, what, version, user, passed, message });
        }
        // What there is nothing to do about holds nobody up.
        if !judged.changes.is_empty() && version.timestamp > self.now.saturating_add(AHEAD) {
            return (Verdict::Early(version.timestamp - AHEAD), 0);
        }
        (Verdict::Apply(judged), memory.saturating_add(payload))
    }
}
