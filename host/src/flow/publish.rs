//! The change log to the streams of its tables, in the order of the commits.
//!
//! A change goes out with its rows as they are now, whole, each with the version that made it so:
//! rows and versions never part. What this node has changed again meanwhile is left to the later
//! change. The log keeps what is not acknowledged; a piece of it that may have gone out goes out
//! again, with the same ids where it is the same.
//!
//! A stream that takes nothing for the moment holds its own table up, and no other: up to where each
//! such table is published is known until the node stops, and the log keeps what comes after the
//! first of them. What no stream will ever take, as a message that is too large, is passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::bus::{Bus, BusError, Missing, Outbound};
use crate::capabilities::TableName;
use crate::data::{self, ChangeKind, Data, Going, RowNow, Version};
use crate::figures::Figures;
use crate::json;
use crate::replication::BEING_MADE;
use crate::transaction::{Change, Part, Passed, Transaction};

/// Changes that are on their way at the same time.
const CHANGES: usize = 1000;
/// Bytes of their rows: one change more may have more.
const BYTES: usize = 8 << 20;
/// Bytes of the largest message; a larger change goes out in several. NATS takes 64 MiB, but the
/// file store of nats-server 2.9 loses what it has acknowledged, if that takes more than 32 MiB with
/// its headers.
const LARGEST: usize = 30 << 20;
/// Bytes of memory that a message's rows take where they are applied: a larger change goes out in
/// several.
const LARGEST_THERE: usize = 64 << 20;
/// Changes that were published and are still in the log.
const TRIM: u64 = 1000;

/// Publishes what the change log says.
pub(crate) struct Publisher<B> {
    data: Data,
    bus: Arc<B>,
    node: String,
    figures: Arc<Figures>,
    largest: usize,
    /// The last sequence that is published or passed over; none before the log was looked at.
    published: Option<u64>,
    /// Tables whose changes up to there are not all published: their streams refuse them for the
    /// moment. Those of other tables go on.
    behind: BTreeMap<TableName, Behind>,
    /// So much of it the log does not hold any more.
    trimmed: u64,
}

/// A table whose stream refuses its changes for the moment.
#[derive(Debug, Clone, Copy)]
struct Behind {
    /// Up to this sequence its changes are published.
    through: u64,
    /// It is tried again then, and after twice as long when that fails.
    again: Instant,
    wait: Duration,
    since: Instant,
    /// Whether it has taken nothing since: one change asks whether there is room again.
    is_refused: bool,
}

/// Changes on their way.
#[derive(Default)]
struct Sent {
    /// The first of a table that its stream has not taken.
    failed: BTreeMap<TableName, (u64, BusError)>,
    /// The first that cannot be sent, nor what comes after it, of whatever table.
    away: Option<(u64, TableName, BusError)>,
    /// What no stream will ever take.
    refused: Vec<(u64, TableName)>,
}

/// The first wait until a stream is tried again that has refused a change.
const SOON: Duration = Duration::from_millis(100);
/// The longest.
const LATER: Duration = Duration::from_secs(2);

/// What a step has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Published {
    /// Something; there may be more.
    Some,
    /// There was nothing to publish.
    Nothing,
}

/// Why nothing is published at the moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PublishError {
    /// It is not known yet which tables are shared.
    #[error("the records of nodes were not read yet")]
    TooEarly,
    /// The stream did not take a message.
    #[error("changes of '{0}' are not published: {1}")]
    Bus(TableName, BusError),
    /// The change log cannot be read or trimmed.
    #[error("the change log cannot be used: {0}")]
    Data(#[from] data::Error),
}

impl<B: Bus> Publisher<B> {
    pub(crate) fn new(data: Data, bus: Arc<B>, node: String, figures: Arc<Figures>) -> Self {
        let (published, trimmed, behind) = (None, 0, BTreeMap::new());
        Self { data, bus, node, figures, largest: LARGEST, published, behind, trimmed }
    }

    /// For tests that have no 60 MiB to send.
    #[cfg(test)]
    pub(crate) fn with_largest(mut self, bytes: usize) -> Self {
        self.largest = bytes;
        self
    }

    /// Publishes the next changes, and returns once they are acknowledged.
    pub(crate) async fn step(&mut self) -> Result<Published, PublishError> {
        let caught_up = self.catch_up().await?;
        let bus = self.bus.clone();
        let behind: BTreeSet<_> = self.behind.keys().cloned().collect();
        // What is decided here holds for this step: what was passed over was not read.
        let is_wanted =
            move |table: &TableName| bus.is_shared(table) != Some(false) && !behind.contains(table);
        let outgoing = self.data.outgoing(self.published, CHANGES, BYTES, is_wanted).await?;
        let waiting = outgoing.left + outgoing.changes.len() as u64;
        let oldest = outgoing.changes.first().map(|going| going.change.version.milliseconds());
        self.figures.outbox().set_waiting(waiting + self.held_back(), oldest);
        self.tell_of_lost(outgoing.lost);
        let Some(last) = outgoing.through else { return Ok(caught_up) };
        let sent = self.send(outgoing.changes).await?;
        let until = sent.away.as_ref().map_or(last, |(sequence, ..)| sequence - 1);
        // Of those before it all are published, or not for others, or held back.
        self.published = self.published.max(Some(until));
        self.pass_over(&sent, until);
        for (table, (sequence, error)) in sent.failed {
            if sequence <= until && self.is_held_back(&table, &error) {
                let (through, since) = (sequence - 1, Instant::now());
                let again = since + SOON;
                let behind = Behind { through, again, wait: SOON, since, is_refused: true };
                self.behind.insert(table, behind);
            }
        }
        if let Some((_, table, error)) = sent.away {
            return Err(PublishError::Bus(table, error));
        }
        self.figures.outbox().set_waiting(outgoing.left + self.held_back(), None);
        Ok(Published::Some)
    }

    /// Tries the tables again whose streams have refused their changes.
    async fn catch_up(&mut self) -> Result<Published, PublishError> {
        let Some(published) = self.published else { return Ok(Published::Nothing) };
        let due = self.behind.iter().filter(|(_, behind)| behind.again <= Instant::now());
        let due: Vec<_> = due.map(|(table, behind)| (table.clone(), *behind)).collect();
        let mut has = Published::Nothing;
        for (table, Behind { through, wait, since, is_refused, .. }) in due {
            let only = table.clone();
            let is_it = move |table: &TableName| *table == only;
            let after = Some(through);
            let mut outgoing = self.data.outgoing(after, CHANGES, BYTES, is_it).await?;
            self.tell_of_lost(outgoing.lost);
            // What comes after it is for the others' turn.
            outgoing.changes.retain(|going| going.change.sequence <= published);
            let mut last = outgoing.through.unwrap_or(published).min(published);
            let first = outgoing.changes.iter().position(Going::is_something);
            if let Some(first) = first.filter(|_| is_refused) {
                outgoing.changes.truncate(first + 1);
                last = outgoing.changes[first].change.sequence;
            }
            let mut sent = self.send(outgoing.changes).await?;
            let failed = sent.failed.remove(&table);
            let first = failed.as_ref().map(|(sequence, _)| *sequence);
            let away = sent.away.as_ref().map(|(sequence, ..)| *sequence);
            let until = first.into_iter().chain(away).min().map_or(last, |first| first - 1);
            self.pass_over(&sent, until);
            if let Some((_, table, error)) = sent.away {
                let (through, again) = (until, Instant::now());
                let behind = Behind { through, again, wait, since, is_refused };
                self.behind.insert(table.clone(), behind);
                return Err(PublishError::Bus(table, error));
            }
            let again = match &failed {
                Some((_, error)) if self.is_held_back(&table, error) => {
                    let wait = (wait * 2).min(LATER);
                    Some((wait, wait))
                }
                None if until < published => Some((Duration::ZERO, SOON)),
                _ => None,
            };
            if failed.is_none() {
                has = Published::Some;
            }
            let Some((until_then, wait)) = again else {
                tracing::info!(table = %table, "its changes wait no longer");
                self.behind.remove(&table);
                continue;
            };
            let (through, again) = (until, Instant::now() + until_then);
            let is_refused = failed.is_some();
            self.behind.insert(table, Behind { through, again, wait, since, is_refused });
        }
        Ok(has)
    }

    /// Sends them, and waits until they are acknowledged.
    async fn send(&self, changes: Vec<Going>) -> Result<Sent, PublishError> {
        if changes.iter().any(|going| self.bus.is_shared(&going.change.table).is_none()) {
            return Err(PublishError::TooEarly);
        }
        let (node, largest) = (self.node.clone(), self.largest);
        let messages = move || {
            let messages = changes.into_iter().map(|going| {
                let (sequence, table) = (going.change.sequence, going.change.table.clone());
                (sequence, table, messages(going, &node, largest))
            });
            messages.collect::<Vec<_>>()
        };
        // To encode what takes megabytes is not for the runtime.
        let messages = tokio::task::spawn_blocking(messages).await;
        let messages = messages.map_err(|_| data::Error::Lost)?;
        let mut receipts = Vec::with_capacity(messages.len());
        let mut sent = Sent::default();
        'all: for (sequence, table, messages) in messages {
            for message in messages {
                if sent.failed.contains_key(&table) {
                    break;
                }
                match self.bus.publish(&table, message).await {
                    Ok(receipt) => receipts.push((sequence, table.clone(), receipt)),
                    Err(error) => sent.note(sequence, table.clone(), error),
                }
                if sent.away.is_some() {
                    break 'all;
                }
            }
        }
        for (sequence, table, receipt) in receipts {
            match receipt.await {
                Ok(()) => self.figures.outbox().count_published(1),
                Err(error) => {
                    let is_away = matches!(error, BusError::Away(_));
                    sent.note(sequence, table, error);
                    // Those before it are stored; of those after it nobody knows.
                    if is_away {
                        break;
                    }
                }
            }
        }
        Ok(sent)
    }

    /// Whether a table's changes wait for its stream, which has refused one.
    fn is_held_back(&self, table: &TableName, error: &BusError) -> bool {
        let behind = self.behind.get(table);
        if *error == BusError::NoStream {
            // Nobody wants them any more.
            if self.bus.is_shared(table) == Some(false) {
                return false;
            }
            self.bus.is_missing(Missing::Stream);
            if behind.is_none_or(|behind| behind.since.elapsed() < BEING_MADE) {
                return true;
            }
        }
        self.figures.outbox().count_failure();
        // Once, or where it takes longer than to make a stream.
        if behind.is_none_or(|behind| behind.wait < LATER) {
            tracing::warn!("changes of '{table}' wait in the log, and no others: {error}");
        }
        true
    }

    /// Until a table is tried again whose stream has refused its changes.
    pub(super) fn until_again(&self) -> Option<Duration> {
        let first = self.behind.values().map(|behind| behind.again).min();
        first.map(|again| again.saturating_duration_since(Instant::now()))
    }

    /// Up to there all is published, or not for others.
    fn done(&self) -> Option<u64> {
        let first = self.behind.values().map(|behind| behind.through).min();
        self.published.map(|published| first.unwrap_or(published).min(published))
    }

    /// Changes of the log that wait for a stream which refuses them, at the most.
    fn held_back(&self) -> u64 {
        self.published.zip(self.done()).map_or(0, |(published, done)| published - done)
    }

    fn tell_of_lost(&self, lost: u64) {
        if lost > 0 {
            self.figures.outbox().count_gap(lost);
            tracing::error!(
                lost,
                "the change log was too short: changes were dropped from it before they were \
                 published, and other nodes do not get them"
            );
        }
    }

    /// Says what other nodes do not get, since it is too large for any message: of what is settled.
    fn pass_over(&self, sent: &Sent, until: u64) {
        let is_settled = |(sequence, table): &&(u64, TableName)| {
            let failed = sent.failed.get(table);
            *sequence <= until && failed.is_none_or(|(failed, _)| sequence < failed)
        };
        for (sequence, table) in sent.refused.iter().filter(is_settled) {
            self.figures.outbox().count_unpublished(1);
            tracing::error!(
                sequence,
                table = %table,
                "a change is larger than what its stream takes, with all nodes that it has passed: \
                 it is passed over, and other nodes do not get it"
            );
        }
    }

    /// Whether the log holds what was published.
    pub(crate) fn is_untrimmed(&self) -> bool {
        self.done().is_some_and(|published| published > self.trimmed)
    }

    /// The same, and so much of it that it should not wait.
    pub(crate) fn should_trim(&self) -> bool {
        self.done().is_some_and(|published| published >= self.trimmed + TRIM)
    }

    /// Removes from the log what was published. Until then a restart publishes it again.
    pub(crate) async fn trim(&mut self) -> Result<(), PublishError> {
        if let Some(published) = self.done().filter(|_| self.is_untrimmed()) {
            self.data.trim(published).await?;
            self.trimmed = published;
        }
        Ok(())
    }
}

impl Sent {
    /// What has become of a change that was not stored.
    fn note(&mut self, sequence: u64, table: TableName, error: BusError) {
        match error {
            BusError::TooLarge => self.refused.push((sequence, table)),
            BusError::NoStream | BusError::Refused(_) => {
                let first = self.failed.entry(table).or_insert((sequence, error.clone()));
                if sequence < first.0 {
                    *first = (sequence, error);
                }
            }
            error => {
                let is_first = self.away.as_ref().is_none_or(|(first, ..)| sequence < *first);
                if is_first {
                    self.away = Some((sequence, table, error));
                }
            }
        }
    }
}

/// The messages that tell of a change.
fn messages(going: Going, node: &str, largest: usize) -> Vec<Outbound> {
    let Going { change, rows, schema } = going;
    let with = |version: &Version, what: Change| {
        let is_of_change = *version == change.version;
        let mut transacted = if is_of_change { change.passed.clone() } else { Vec::new() };
        if !transacted.iter().any(|other| other == node) {
            transacted.push(node.to_owned());
        }
        let passed = Passed { origin: version.node.clone(), transacted };
        let transaction = Transaction {
            parts: vec![Part { table: change.table.clone(), change: what }],
            version: version.clone(),
            user: if is_of_change { change.user.clone() } else { String::new() },
        };
        let payload = transaction.encode();
        Outbound { id: id(version, &payload), passed, payload }
    };
    if let (ChangeKind::DefineSchema, Some((primary_key, attributes))) = (change.kind, schema) {
        let what = Change::DefineSchema { primary_key: Some(primary_key), attributes };
        return vec![with(&change.version, what)];
    }
    // As a rule all have the version of the change, and all are there or none is.
    let mut groups: BTreeMap<(Version, bool), Vec<RowNow>> = BTreeMap::new();
    for row in rows {
        groups.entry((row.version.clone(), row.row.is_some())).or_default().push(row);
    }
    let mut messages = Vec::with_capacity(groups.len());
    for ((version, _), rows) in groups {
        let mut waiting = vec![rows];
        while let Some(rows) = waiting.pop() {
            let is_one = rows.len() < 2;
            if is_one || rows.iter().map(size_there).sum::<usize>() <= LARGEST_THERE {
                let message = with(&version, what(&rows));
                if is_one || message.payload.len() <= largest {
                    messages.push(message);
                    continue;
                }
            }
            let (some, others) = rows.split_at(rows.len() / 2);
            waiting.extend([others.to_vec(), some.to_vec()]);
        }
    }
    messages
}

/// Bytes of memory that a row takes where it is applied, roughly.
fn size_there(row: &RowNow) -> usize {
    row.row.as_ref().map_or(0, json::size_of_fields)
}

/// What was done to rows that are all there, or all gone.
fn what(rows: &[RowNow]) -> Change {
    let ids = rows.iter().map(|row| row.key.clone()).collect();
    let rows: Vec<_> = rows.iter().filter_map(|row| row.row.clone()).collect();
    if rows.is_empty() { Change::Deleted(ids) } else { Change::Rows { rows, ids, partial: false } }
}

/// The same for the same message, and no other has it: a second attempt may hold fewer rows than the
/// first, because the others were changed meanwhile.
fn id(version: &Version, payload: &[u8]) -> String {
    let hash = Sha256::digest(payload);
    let hash = hash.iter().take(12).fold(String::with_capacity(24), |mut text, byte| {
        use std::fmt::Write;
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    format!("{version}-{hash}")
}
