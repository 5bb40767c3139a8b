//! The change log to the streams of its tables, in the order of the commits.
//!
//! A change goes out with its rows as they are now, whole, each with the version that made it so:
//! rows and versions never part. What this node has changed again meanwhile is left to the later
//! change. The log keeps what is not acknowledged; a piece of it that may have gone out goes out
//! again, with the same ids where it is the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::bus::{Bus, BusError, Missing, Outbound};
use crate::capabilities::TableName;
use crate::data::{self, ChangeKind, Data, Going, RowNow, Version};
use crate::figures::Figures;
use crate::json;
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
    /// So much of it the log does not hold any more.
    trimmed: u64,
}

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
        let (published, trimmed) = (None, 0);
        Self { data, bus, node, figures, largest: LARGEST, published, trimmed }
    }

    /// For tests that have no 60 MiB to send.
    #[cfg(test)]
    pub(crate) fn with_largest(mut self, bytes: usize) -> Self {
        self.largest = bytes;
        self
    }

    /// Publishes the next changes, and returns once they are acknowledged.
    pub(crate) async fn step(&mut self) -> Result<Published, PublishError> {
        let bus = self.bus.clone();
        // What is decided here holds for this step: what was passed over was not read.
        let is_wanted = move |table: &TableName| bus.is_shared(table) != Some(false);
        let outgoing = self.data.outgoing(self.published, CHANGES, BYTES, is_wanted).await?;
        let waiting = outgoing.left + outgoing.changes.len() as u64;
        let oldest = outgoing.changes.first().map(|going| going.change.version.milliseconds());
        self.figures.outbox().set_waiting(waiting, oldest);
        if outgoing.lost > 0 {
            self.figures.outbox().count_gap(outgoing.lost);
            tracing::error!(
                lost = outgoing.lost,
                "the change log was too short: changes were dropped from it before they were \
                 published, and other nodes do not get them"
            );
        }
        let Some(last) = outgoing.through else { return Ok(Published::Nothing) };
        let changes = outgoing.changes;
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
        let mut failed = None;
        // What no stream will ever take keeps nothing else from going out.
        let mut refused = Vec::new();
        'all: for (sequence, table, messages) in messages {
            for message in messages {
                match self.bus.publish(&table, message).await {
                    Ok(receipt) => receipts.push((sequence, table.clone(), receipt)),
                    Err(BusError::TooLarge) => refused.push((sequence, table.clone())),
                    Err(error) => {
                        failed = Some((sequence, table, error));
                        break 'all;
                    }
                }
            }
        }
        for (sequence, table, receipt) in receipts {
            match receipt.await {
                Ok(()) => self.figures.outbox().count_published(1),
                Err(BusError::TooLarge) => refused.push((sequence, table)),
                // Those before it are stored; of those after it nobody knows.
                Err(error) => {
                    failed = Some((sequence, table, error));
                    break;
                }
            }
        }
        let until = failed.as_ref().map_or(last, |(sequence, ..)| sequence - 1);
        self.pass_over(refused.into_iter().filter(|(sequence, _)| *sequence <= until));
        let Some((sequence, table, error)) = failed else {
            self.published = Some(last);
            self.figures.outbox().set_waiting(outgoing.left, None);
            return Ok(Published::Some);
        };
        // Of those before it all are published, or not for others.
        self.published = self.published.max(Some(sequence - 1));
        if error == BusError::NoStream {
            if self.bus.is_shared(&table) == Some(false) {
                return Ok(Published::Some);
            }
            self.bus.is_missing(Missing::Stream);
        }
        Err(PublishError::Bus(table, error))
    }

    /// Says what other nodes do not get, since it is too large for any message.
    fn pass_over(&self, refused: impl Iterator<Item = (u64, TableName)>) {
        for (sequence, table) in refused {
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
        self.published.is_some_and(|published| published > self.trimmed)
    }

    /// The same, and so much of it that it should not wait.
    pub(crate) fn should_trim(&self) -> bool {
        self.published.is_some_and(|published| published >= self.trimmed + TRIM)
    }

    /// Removes from the log what was published. Until then a restart publishes it again.
    pub(crate) async fn trim(&mut self) -> Result<(), PublishError> {
        if let Some(published) = self.published.filter(|_| self.is_untrimmed()) {
            self.data.trim(published).await?;
            self.trimmed = published;
        }
        Ok(())
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
