//! What is to be done about messages that have come: one after another, as long as there is memory,
//! up to one that has to wait.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::timeout;

use super::{Bus, Ingest, IngestError, Open};
use crate::capabilities::TableName;
use crate::data::{self, Incoming};
use crate::flow::bus::Delivery;
use crate::flow::judge::{Batch, Judge, Judged, Verdict, estimate};
use crate::flow::memory::{Memory, Share};
use crate::transaction::Limits;

/// Beyond, messages are decoded where they are in nobody's way.
const FEW_BYTES: usize = 64 << 10;
/// For so long a message of a table that is not here is held, in microseconds: the table may be
/// about to be made.
const UNKNOWN_TABLE: u64 = 10_000_000;
/// For others to leave the memory that a message needs.
const CROWD: Duration = Duration::from_secs(60);

/// The first message that waits is held.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub(super) sequence: u64,
    /// Until this node's clock shows this; none if it may be let go before.
    until: Option<u64>,
    /// When it was seen that it is still there.
    pub(super) looked: u64,
}

/// A message among those that are applied together.
pub(super) enum Next {
    Apply(Judged),
    Pass,
    /// It, and what comes after it, waits.
    Hold(u64),
}

/// What is to be done about messages that have come.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) judged: Vec<(Delivery, Next)>,
    /// What comes after these.
    pub(super) rest: VecDeque<Delivery>,
    /// Until when the first of the rest is held, and whether the clock alone lets it go. None if
    /// nothing but memory is missing.
    pub(super) held: Option<(u64, bool)>,
    /// For as long as what is judged is kept.
    pub(super) share: Option<Share>,
}

impl<B: Bus> Ingest<B> {
    /// For how long yet the message is held that comes next, if the clock alone lets it go: it need
    /// not be decoded again.
    pub(super) fn is_early(&self, open: &Open<B::Reader>) -> Option<Duration> {
        let Held { sequence, until, .. } = open.held?;
        let left = until?.checked_sub(self.data.now()).filter(|left| *left > 0)?;
        let is_next = open.waiting.front().is_some_and(|next| next.message.sequence == sequence);
        is_next.then_some(Duration::from_micros(left))
    }

    /// Notes that the first message that waits is held, or that none is.
    pub(super) fn hold(&self, open: &mut Open<B::Reader>, held: Option<(u64, bool)>) {
        let before = open.held.take();
        let (Some((until, is_early)), Some(next)) = (held, open.waiting.front()) else { return };
        let sequence = next.message.sequence;
        let before = before.filter(|before| before.sequence == sequence);
        let looked = before.map_or_else(|| self.data.now(), |before| before.looked);
        open.held = Some(Held { sequence, until: is_early.then_some(until), looked });
    }

    /// What is to be done about each of these, up to one that is held, or for which there is no
    /// memory.
    pub(super) async fn judge(
        &mut self,
        deliveries: VecDeque<Delivery>,
        bytes: usize,
    ) -> Result<Plan, IngestError> {
        let Some(first) = deliveries.front() else { return Ok(Plan::default()) };
        let enough = estimate(first);
        let judge = Judge {
            node: self.how.node.clone(),
            tables: self.of.tables.clone(),
            limits: Limits::default(),
            now: self.data.now(),
        };
        let now = judge.now;
        let memory = &self.how.memory;
        let mut batch = decode(&judge, memory, deliveries, bytes, enough).await?;
        if batch.judged.is_empty() {
            // What it has of the memory is left before all of it is waited for.
            drop(batch.share);
            batch = decode(&judge, memory, batch.rest, bytes, usize::MAX).await?;
        }
        let Batch { judged: all, mut rest, share } = batch;
        let mut judged = Vec::with_capacity(all.len());
        let mut all = all.into_iter();
        // Tables that come before in the same batch.
        let mut made = BTreeSet::new();
        let mut held = None;
        while let Some((delivery, verdict)) = all.next() {
            let is_early = matches!(verdict, Verdict::Early(_));
            let next = self.next(verdict, now, &mut made);
            if let Next::Hold(until) = next {
                held = Some((until, is_early));
                let mut waiting: VecDeque<_> = [delivery].into();
                waiting.extend(all.map(|(delivery, _)| delivery));
                waiting.append(&mut rest);
                rest = waiting;
                break;
            }
            judged.push((delivery, next));
        }
        Ok(Plan { judged, rest, held, share: Some(share) })
    }

    fn next(&mut self, verdict: Verdict, now: u64, made: &mut BTreeSet<TableName>) -> Next {
        let judged = match verdict {
            Verdict::Known => return Next::Pass,
            Verdict::Early(until) => {
                self.tell_early(until - now);
                return Next::Hold(until);
            }
            Verdict::Apply(judged) => judged,
        };
        for change in &judged.changes {
            if let Incoming::Schema { .. } = change.what {
                made.insert(change.table.clone());
            }
        }
        let is_unknown = |table: &TableName| !made.contains(table) && !self.data.has_table(table);
        if judged.changes.iter().any(|change| is_unknown(&change.table)) {
            let since = *self.unknown_since.get_or_insert(now);
            let until = since.saturating_add(UNKNOWN_TABLE);
            // A clock that was set back starts the wait anew.
            if now < until && now >= since {
                return Next::Hold(until);
            }
            // It is refused as one of a table that there is not.
            return Next::Apply(judged);
        }
        self.unknown_since = None;
        Next::Apply(judged)
    }

    fn tell_early(&mut self, by: u64) {
        if !std::mem::replace(&mut self.has_told, true) {
            tracing::error!(
                node = self.of.source,
                table = %self.of.table,
                seconds = by / 1_000_000,
                "a change is from the future: it, and what comes after it, waits until this node's \
                 clock is less than 60 s behind it; the clock of one of the two is wrong"
            );
        }
    }
}

/// Decodes as many of these, which have so many bytes, as there is memory for: `enough` is for
/// the first.
async fn decode(
    judge: &Judge,
    memory: &Memory,
    deliveries: VecDeque<Delivery>,
    bytes: usize,
    enough: usize,
) -> Result<Batch, IngestError> {
    let share = timeout(CROWD, memory.take(enough)).await;
    let share = share.map_err(|_| IngestError::Crowded)?;
    if bytes <= FEW_BYTES && enough != usize::MAX {
        return Ok(judge.judge_all(deliveries, memory, share));
    }
    let (judge, memory) = (judge.clone(), memory.clone());
    let all = move || judge.judge_all(deliveries, &memory, share);
    let batch = tokio::task::spawn_blocking(all).await;
    Ok(batch.map_err(|_| data::Error::Lost)?)
}
