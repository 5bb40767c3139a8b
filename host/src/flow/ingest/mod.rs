//! One table of one other node: what comes on its stream is applied here, in the stream's order.
//!
//! The store says up to where it was applied, in the same transaction as the rows; the durable
//! consumer on the other node is a cursor that is put where the store says. A message is acknowledged
//! once it is durable here. So whatever is lost or comes twice, of messages, acknowledgements, this
//! process or the store's last minutes, each is applied once and in order.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `decide.rs` | what is to be done about what has come |
//! | `look.rs` | whether the stream is still the same |

mod decide;
mod look;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use harper_wire::names;
use tokio::time::timeout;

use super::bus::{Bus, BusError, Delivery, Missing, Reader};
use super::memory::Memory;
use crate::capabilities::{TableName, log::one_line};
use crate::data::{self, Applied, Arrivals, Data};
use crate::figures;
use crate::nats::acks_all_from;
use crate::store::Start;
use decide::{Held, Next, Plan};
use look::{LOOK_SOON, is_due};

/// Bytes of messages that are applied together: one message more may have more.
const BYTES: usize = 16 << 20;

/// The largest sequence that a stream may have: a server never gets there, and whoever says so lies.
const LARGEST_SEQUENCE: u64 = 1 << 62;

/// What one subscription is to do.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    /// The other node.
    pub(crate) source: String,
    /// The table.
    pub(crate) table: TableName,
    /// Where it begins.
    pub(crate) start: Start,
    /// All tables that this node has subscribed to there.
    pub(crate) tables: Arc<BTreeSet<TableName>>,
}

/// How all subscriptions of a node are applied.
#[derive(Debug, Clone)]
pub(crate) struct How {
    /// This node.
    pub(crate) node: String,
    /// Messages that are applied together at most.
    pub(crate) most: usize,
    /// Whether what is applied is published onward.
    pub(crate) republish: bool,
    /// What all of them take together.
    pub(crate) memory: Memory,
}

/// Applies one stream.
pub(crate) struct Ingest<B: Bus> {
    data: Data,
    bus: Arc<B>,
    how: How,
    of: Subscription,
    stream: String,
    figures: Arc<figures::Subscription>,
    open: Option<Open<B::Reader>>,
    /// That a message waits for the clock was said.
    has_told: bool,
    /// Since when a message is held whose table is not here.
    unknown_since: Option<u64>,
    /// When the stream was looked at last, in microseconds since 1970; 0 when it is to be at once.
    looked: u64,
}

/// A stream that is being read.
struct Open<R> {
    reader: R,
    /// As it is stored.
    stored: Option<Applied>,
    applied: Applied,
    /// Has come, and is not applied yet.
    waiting: VecDeque<Delivery>,
    /// The first of these may not be applied yet.
    held: Option<Held>,
    /// Whether one acknowledgement is for all that came before, too.
    acks_all: bool,
}

/// What a step has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something; there may be more.
    Some,
    /// Nothing has come.
    Nothing,
    /// What comes next is held for so long at least.
    Held(Duration),
}

/// Why nothing is applied at the moment. The stream is looked at anew at the next step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IngestError {
    /// The other node, or the bus.
    #[error("{0}")]
    Bus(#[from] BusError),
    /// Messages between are missing: they were given to an earlier reader.
    #[error("messages have come out of order")]
    Hole,
    /// There is no memory for the next message.
    #[error("other tables take the memory that there is for what has come")]
    Crowded,
    /// The store.
    #[error("what has come cannot be applied: {0}")]
    Data(#[from] data::Error),
}

impl<B: Bus> Ingest<B> {
    pub(crate) fn new(
        data: Data,
        bus: Arc<B>,
        how: How,
        of: Subscription,
        figures: Arc<figures::Subscription>,
    ) -> Self {
        let stream = names::stream(&of.table.database, &of.table.table);
        Self {
            data,
            bus,
            how,
            of,
            stream,
            figures,
            open: None,
            unknown_since: None,
            has_told: false,
            looked: 0,
        }
    }

    /// The other node, and the table.
    pub(crate) fn of(&self) -> (&str, &TableName) {
        (&self.of.source, &self.of.table)
    }

    /// Applies what comes next, and acknowledges it.
    pub(crate) async fn step(&mut self) -> Result<Step, IngestError> {
        let step = self.read().await;
        if step.is_err() {
            self.figures.set_reached(false);
        }
        step
    }

    async fn read(&mut self) -> Result<Step, IngestError> {
        let mut open = match self.open.take() {
            Some(mut open) => match self.stands(&mut open).await? {
                true => open,
                false => {
                    drop(open);
                    self.unknown_since = None;
                    self.open().await?
                }
            },
            None => self.open().await?,
        };
        if open.waiting.is_empty() {
            let next = timeout(self.until_look(), open.reader.next(self.how.most)).await;
            // Whoever gives this up loses what is not stored, and that comes again.
            if let Ok(next) = next {
                open.waiting = next?.into();
            }
        }
        let step = self.apply(&mut open).await?;
        self.open = Some(open);
        Ok(step)
    }

    /// Puts the durable consumer where the store is, and reads.
    async fn open(&mut self) -> Result<Open<B::Reader>, IngestError> {
        let Subscription { source, table, start, .. } = &self.of.clone();
        let subscription = serde_json::to_string(start).unwrap_or_default();
        let stored = self.data.applied(source, &self.stream).await?;
        let known = stored.as_ref().filter(|stored| stored.subscription == subscription);
        // It is known of a node that is away too.
        let gap = known.map_or(0, |known| known.gap);
        self.figures.set_gap(gap);
        let look = self.bus.look(source, table).await?;
        self.looked = self.data.now();
        let delivered = look.durable.map_or(0, |durable| durable.delivered);
        check_sequence(look.first.max(look.last).max(delivered))?;
        let sequence = match (known, start) {
            (Some(known), _) if known.created == look.created => known.sequence,
            // The stream is another one by now: all of it is new.
            (Some(_), _) => {
                tracing::warn!(
                    node = source,
                    table = %table,
                    "the stream was made anew: what it held and was not read is lost"
                );
                0
            }
            (None, Start::After { created: Some(created), sequence })
                if *created == look.created =>
            {
                *sequence
            }
            (None, Start::After { .. }) => 0,
            (None, Start::Now | Start::Time(_)) => match look.durable {
                Some(durable) if durable.is_new => durable.delivered,
                // Where it began is not known any more.
                Some(durable) if *start == Start::Now => durable.acknowledged,
                durable => {
                    if durable.is_some() {
                        self.bus.remove(source, table).await?;
                    }
                    self.bus.is_missing(Missing::Durable(source));
                    return Err(BusError::NoDurable.into());
                }
            },
        };
        let sequence = if look.last < sequence {
            // How much of it was new when it was lost nobody knows: all of it comes again.
            tracing::error!(
                node = source,
                table = %table,
                "the stream has lost its end: what was not read of that is lost here"
            );
            0
        } else {
            sequence
        };
        let applied = Applied { created: look.created, subscription, sequence, gap };
        let mut stored = stored;
        if stored.as_ref() != Some(&applied) {
            // Before anything is given, so that where it began is known from then on.
            self.store(stored, &applied, Vec::new(), Vec::new()).await?;
            stored = Some(applied.clone());
        }
        let lost = look.first.saturating_sub(sequence + 1);
        let applied =
            if lost > 0 { self.pass_gap(&mut stored, applied, lost).await? } else { applied };
        let acks_all = match look.durable.filter(|durable| durable.suits(applied.sequence)) {
            Some(durable) => durable.acks_all,
            None => {
                let begin = applied.sequence + 1;
                self.bus.begin_at(source, table, begin).await?;
                acks_all_from(begin)
            }
        };
        let reader = self.bus.read(source, table, self.how.most).await?;
        self.figures.set_pending(look.last.saturating_sub(applied.sequence));
        self.figures.set_reached(true);
        let (waiting, held) = (VecDeque::new(), None);
        Ok(Open { reader, stored, applied, waiting, held, acks_all })
    }

    /// So many messages are gone before they were read: that is said, and written down.
    async fn pass_gap(
        &mut self,
        stored: &mut Option<Applied>,
        mut applied: Applied,
        lost: u64,
    ) -> Result<Applied, IngestError> {
        applied.sequence += lost;
        applied.gap = applied.gap.saturating_add(lost);
        self.store(stored.clone(), &applied, Vec::new(), Vec::new()).await?;
        *stored = Some(applied.clone());
        self.figures.set_gap(applied.gap);
        tracing::error!(
            node = self.of.source,
            table = %self.of.table,
            lost,
            "messages were removed from the stream before they were read: their changes are lost here"
        );
        Ok(applied)
    }

    /// Who sent them may have chosen the words.
    fn tell_of_dead(&self, messages: u64, why: &str) {
        tracing::error!(
            node = self.of.source,
            table = %self.of.table,
            messages,
            "what has come cannot be applied and is laid aside; the first: {}",
            one_line(why)
        );
    }

    async fn store(
        &mut self,
        before: Option<Applied>,
        applied: &Applied,
        changes: Vec<data::Arrival>,
        dead: Vec<(Arc<data::Message>, String)>,
    ) -> Result<data::Outcome, data::Error> {
        let arrivals = Arrivals {
            source: self.of.source.clone(),
            stream: self.stream.clone(),
            table: self.of.table.clone(),
            before,
            applied: applied.clone(),
            changes,
            dead,
            are_told: self.how.republish,
        };
        self.data.apply(arrivals).await
    }

    /// Applies as much of what waits as can be at once.
    async fn apply(&mut self, open: &mut Open<B::Reader>) -> Result<Step, IngestError> {
        if let Some(wait) = self.is_early(open) {
            return Ok(Step::Held(wait));
        }
        // Sequences of what is done with, and where that is acknowledged.
        let mut done: Vec<(u64, String)> = Vec::new();
        let mut applied = open.applied.clone();
        let (mut taken, mut bytes) = (VecDeque::new(), 0);
        while let Some(delivery) = open.waiting.front() {
            let sequence = delivery.message.sequence;
            check_sequence(sequence)?;
            if sequence > applied.sequence + 1 {
                if !taken.is_empty() {
                    break;
                }
                // They may have been given to somebody else: then they are there, and the durable
                // consumer is made anew.
                let (source, table) = (&self.of.source, &self.of.table);
                let next = self.bus.next_message(source, table, applied.sequence + 1).await?;
                if next.is_some_and(|next| next < sequence) {
                    return Err(IngestError::Hole);
                }
                let lost = sequence - applied.sequence - 1;
                applied = self.pass_gap(&mut open.stored, applied, lost).await?;
                open.applied = applied.clone();
            }
            if taken.len() >= self.how.most || (bytes > BYTES && !taken.is_empty()) {
                break;
            }
            let Some(delivery) = open.waiting.pop_front() else { break };
            if sequence <= applied.sequence {
                // Or it is another one, after the stream has lost its end.
                if is_due(self.looked, LOOK_SOON, self.data.now()) {
                    self.looked = 0;
                }
                done.push((sequence, delivery.reply));
                continue;
            }
            applied.sequence = sequence;
            bytes += delivery.message.payload.len();
            taken.push_back(delivery);
        }
        let Plan { judged, rest, held, share } = self.judge(taken, bytes).await?;
        let last = judged.last().map(|(last, _)| (last.published, last.pending));
        let mut changes = Vec::with_capacity(judged.len());
        let (mut dead, mut dropped) = (Vec::new(), 0);
        for (delivery, next) in judged {
            open.applied.sequence = delivery.message.sequence;
            done.push((delivery.message.sequence, delivery.reply));
            match next {
                Next::Apply(judged) => {
                    changes.extend(judged.changes);
                    dead.extend(judged.dead);
                }
                Next::Pass | Next::Hold(_) => dropped += 1,
            }
        }
        // One that came twice, and waits.
        done.retain(|(sequence, _)| *sequence <= open.applied.sequence);
        for delivery in rest.into_iter().rev() {
            open.waiting.push_front(delivery);
        }
        let is_held = held.is_some();
        let wait = held.map_or(0, |(until, _)| until.saturating_sub(self.data.now()));
        self.hold(open, held);
        self.figures.set_held(is_held);
        self.has_told &= is_held;
        if open.stored.as_ref() != Some(&open.applied) && !done.is_empty() {
            let before = open.stored.clone();
            let outcome = self.store(before, &open.applied, changes, dead).await?;
            open.stored = Some(open.applied.clone());
            self.figures.count_applied(outcome.applied);
            self.figures.count_dropped(dropped + outcome.older);
            self.figures.count_dead_lettered(outcome.dead);
            if let Some(why) = outcome.why_dead {
                self.tell_of_dead(outcome.dead, &why);
            }
        }
        drop(share);
        match (last, open.waiting.front()) {
            (Some((published, pending)), _) => self.figures.advance(published, pending),
            (None, Some(held)) => self.figures.set_pending(held.pending.saturating_add(1)),
            (None, None) => {}
        }
        let is_nothing = done.is_empty();
        if open.acks_all {
            done = done.into_iter().max().into_iter().collect();
        }
        for (_, reply) in done {
            open.reader.acknowledge(reply).await?;
        }
        Ok(match (is_nothing, is_held) {
            (true, true) => Step::Held(Duration::from_micros(wait)),
            (true, false) => Step::Nothing,
            _ => Step::Some,
        })
    }
}

/// Fails for one that no stream has: what is counted on from it would not be a number any more.
fn check_sequence(sequence: u64) -> Result<(), BusError> {
    match sequence {
        ..=LARGEST_SEQUENCE => Ok(()),
        _ => Err(BusError::Refused("the node says of its stream what cannot be".into())),
    }
}
