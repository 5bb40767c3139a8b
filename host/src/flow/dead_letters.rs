//! What could not be applied and was laid aside, once more: judged and merged as if it came now,
//! when the operator has made the table, or the subscription, that was missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::bus::Delivery;
use super::judge::{self, Judge, Judged, Verdict};
use crate::capabilities::TableName;
use crate::data::{self, Again, Data, DeadLetter, Incoming, Listed, Message, Which};
use crate::replication::Wanted;
use crate::store::Store;
use crate::transaction::{Limits, Passed};

/// Messages that are applied together, and bytes of them: one more may have more.
const TOGETHER: (usize, usize) = (100, 8 << 20);
/// Of those that stay no more are told.
const TOLD: usize = 100;

/// What was laid aside on a node, and what can be done with it.
#[derive(Clone)]
pub struct DeadLetters {
    store: Store,
    data: Data,
    node: String,
    republish: bool,
    /// Only one applies at a time: each takes memory.
    turn: Arc<Mutex<()>>,
}

/// What became of messages that were applied once more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// Messages that are not laid aside any more.
    pub messages: u64,
    /// Rows of these and of others that were written or deleted.
    pub rows: u64,
    /// Messages that stay.
    pub left: u64,
    /// The first hundred of them.
    pub stay: Vec<Stays>,
}

/// A message that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stays {
    /// Its number.
    pub number: u64,
    /// Why.
    pub reason: String,
}

impl DeadLetters {
    /// Of the node `node`. `republish` says whether what is applied goes onward to others.
    pub fn new(store: Store, data: Data, node: impl Into<String>, republish: bool) -> Self {
        Self { store, data, node: node.into(), republish, turn: Arc::default() }
    }

    /// The newest so many of them.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn list(&self, which: Which, most: usize) -> Result<Listed, data::Error> {
        self.data.list_dead_letters(which, most).await
    }

    /// Removes them, and returns how many these were.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn remove(&self, which: Which) -> Result<u64, data::Error> {
        self.data.drop_dead_letters(which).await
    }

    /// Applies them, in the order in which they came. What succeeds is not laid aside any more; what
    /// does not stays, with its new reason.
    ///
    /// # Errors
    /// [`data::Error::Busy`]: somebody else applies some. Or the database cannot be read or written;
    /// what was applied before is applied.
    pub async fn apply(&self, which: Which) -> Result<Applied, data::Error> {
        let _turn = self.turn.try_lock().map_err(|_| data::Error::Busy)?;
        let mut outcome = Applied::default();
        // What is laid aside meanwhile is not waited for.
        let newest = self.data.list_dead_letters(which.clone(), 1).await?;
        let Some(last) = newest.letters.first().map(|(number, ..)| *number) else {
            return Ok(outcome);
        };
        let mut after = 0;
        while after < last {
            let letters = self.data.oldest_dead_letters(which.clone(), after, TOGETHER).await?;
            if letters.is_empty() {
                break;
            }
            let judged = self.judge(letters).await?;
            after = judged.last().map_or(last, |again| again.number);
            for tried in self.data.apply_again(judged, self.republish).await? {
                outcome.rows += tried.applied;
                match tried.reason {
                    None => outcome.messages += 1,
                    Some(reason) => {
                        outcome.left += 1;
                        if outcome.stay.len() < TOLD {
                            outcome.stay.push(Stays { number: tried.number, reason });
                        }
                    }
                }
            }
        }
        Ok(outcome)
    }

    /// As many of them as there is memory for, and one in any case.
    async fn judge(&self, letters: Vec<(u64, DeadLetter)>) -> Result<Vec<Again>, data::Error> {
        let mut tables: BTreeMap<String, Arc<BTreeSet<TableName>>> = BTreeMap::new();
        for (_, letter) in &letters {
            if !tables.contains_key(&letter.source) {
                // Nothing once the node has been removed.
                let wanted = Wanted::of_node(&self.store, &letter.source).await?;
                let subscribed = wanted.subscribe.into_keys().collect();
                tables.insert(letter.source.clone(), Arc::new(subscribed));
            }
        }
        let (node, now) = (self.node.clone(), self.data.now());
        let life = self.data.tombstone_life();
        let judge_all = move || {
            let (mut all, mut memory) = (Vec::with_capacity(letters.len()), 0);
            for (number, letter) in letters {
                let tables = tables.get(&letter.source).cloned().unwrap_or_default();
                let judge = Judge { node: node.clone(), tables, limits: Limits::default(), now };
                let (again, bytes) = judged(&judge, number, letter, life);
                all.push(again);
                memory += bytes;
                if memory > judge::TOGETHER {
                    break;
                }
            }
            all
        };
        tokio::task::spawn_blocking(judge_all).await.map_err(|_| data::Error::Lost)
    }
}

/// What is to be done about one, and how many bytes that takes.
fn judged(judge: &Judge, number: u64, letter: DeadLetter, life: Duration) -> (Again, usize) {
    let delivery = Delivery {
        message: Message {
            sequence: letter.sequence,
            headers: letter.headers.clone(),
            payload: letter.payload.clone().into(),
        },
        passed: Passed::from_pairs(&letter.headers),
        reply: String::new(),
        published: letter.time,
        pending: 0,
    };
    // None would be one for which there is no memory; it may have all.
    let (verdict, bytes) = judge.judge(&delivery, true).unwrap_or((Verdict::Early(0), 0));
    let (changes, reason) = match verdict {
        // It is here already.
        Verdict::Known => (Vec::new(), None),
        Verdict::Early(_) => {
            let text = "it is from the future: this node's clock, or the other's, is wrong";
            (Vec::new(), Some(text.to_owned()))
        }
        Verdict::Apply(Judged { changes, dead }) => (changes, dead.map(|(_, reason)| reason)),
    };
    // A row may have been deleted after this, and nobody remembers it any more.
    let life = u64::try_from(life.as_micros()).unwrap_or(u64::MAX);
    let is_forgotten = changes.iter().any(|change| {
        matches!(change.what, Incoming::Rows { .. })
            && change.version.timestamp.saturating_add(life) <= judge.now
    });
    if is_forgotten {
        let text = "it is older than deletions are remembered: rows that were deleted since would \
                    come back";
        let changes = Vec::new();
        return (Again { number, letter, changes, reason: Some(text.to_owned()) }, 0);
    }
    (Again { number, letter, changes, reason }, bytes)
}
