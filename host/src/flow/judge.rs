//! What is to be done about a message: what it says is held against this node's subscriptions, its
//! clock and its tables. Nothing here reads or writes anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bus::Delivery;
use crate::capabilities::TableName;
use crate::data::{Arrival, Incoming, Message};
use crate::transaction::{Change, Limits, Transaction};

/// How far ahead of this node's clock a message may be, in microseconds.
pub(crate) const AHEAD: u64 = 60_000_000;

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

impl Judge {
    pub(crate) fn judge(&self, delivery: &Delivery) -> Verdict {
        if delivery.passed.includes(&self.node) {
            return Verdict::Known;
        }
        let message = Arc::new(delivery.message.clone());
        let transaction = match Transaction::decode(&message.payload, &self.limits) {
            Ok(transaction) => transaction,
            Err(error) => {
                let reason = error.to_string();
                return Verdict::Apply(Judged {
                    changes: Vec::new(),
                    dead: Some((message, reason)),
                });
            }
        };
        let Transaction { parts, version, user } = transaction;
        if version.node == self.node {
            return Verdict::Known;
        }
        if version.timestamp > self.now.saturating_add(AHEAD) {
            return Verdict::Early(version.timestamp - AHEAD);
        }
        let mut judged = Judged { changes: Vec::with_capacity(parts.len()), dead: None };
        for part in parts {
            if !self.tables.contains(&part.table) {
                // The name is the other node's: it may have anything in it.
                let name = part.table.to_string().escape_debug().to_string();
                let reason = format!("this node has not subscribed to '{name}'");
                judged.dead.get_or_insert((message.clone(), reason));
                continue;
            }
            let what = match part.change {
                Change::Rows { rows, ids, partial } => {
                    Incoming::Rows { rows, keys: ids, is_partial: partial }
                }
                Change::Deleted(keys) => Incoming::Deleted(keys),
                Change::DefineSchema { primary_key, attributes } => {
                    Incoming::Schema { primary_key, attributes }
                }
            };
            judged.changes.push(Arrival {
                table: part.table,
                what,
                version: version.clone(),
                user: user.clone(),
                passed: delivery.passed.transacted.clone(),
                message: message.clone(),
            });
        }
        Verdict::Apply(judged)
    }
}
