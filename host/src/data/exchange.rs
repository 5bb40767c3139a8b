//! What nodes exchange: what came from others is applied, and what was changed here is read for them.

use std::time::Duration;

use tokio::sync::watch;

use super::layout::{APPLIED, LETTERS, LOG};
use super::{
    Applied, Arrival, Arrivals, Change, Changes, Data, DeadLetter, Error, Foreign, Outcome,
    Outgoing, TableName, arrivals, dead, merge, outgoing, row,
};

impl Data {
    /// Applies rows of other nodes that are newer than what is here, all of them or none, and returns
    /// how many were. Nobody is told by the change log.
    ///
    /// # Errors
    /// There is no such table, a row is not valid, or a limit is passed; or the file cannot be
    /// written.
    pub async fn merge(&self, name: &TableName, rows: Vec<Foreign>) -> Result<usize, Error> {
        row::check_number(rows.len(), "records", &self.0.limits)?;
        let name = name.clone();
        let merged = self.0.writer.ask(rows.len(), move |t| merge::merge(t, &name, rows)).await?;
        Ok(merged.len())
    }

    /// Applies what came on a stream of another node, and writes down up to where, both or neither.
    /// What cannot be applied is laid aside.
    ///
    /// # Errors
    /// [`Error::Conflict`]: the stream was applied up to somewhere else than was thought. Or the
    /// file cannot be written.
    pub async fn apply(&self, arrivals: Arrivals) -> Result<Outcome, Error> {
        let weight = arrivals.changes.iter().map(Arrival::weight).sum::<usize>().max(1);
        self.0.writer.ask(weight, move |t| arrivals::apply(t, arrivals)).await
    }

    /// Up to where a stream of another node was applied.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn applied(&self, source: &str, stream: &str) -> Result<Option<Applied>, Error> {
        let (source, stream) = (source.to_owned(), stream.to_owned());
        self.0
            .store
            .read(move |t| Ok(arrivals::applied(&t.open_table(APPLIED)?, &source, &stream)?))
            .await
    }

    /// The first so many messages that were laid aside, of those whose numbers come after `after`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn dead_letters(
        &self,
        after: u64,
        most: usize,
    ) -> Result<Vec<(u64, DeadLetter)>, Error> {
        self.0
            .store
            .read(move |t| {
                let mut letters = Vec::new();
                for entry in t.open_table(LETTERS)?.range(after.saturating_add(1)..)?.take(most) {
                    let (number, letter) = entry?;
                    letters.push((number.value(), dead::decode(letter.value())?));
                }
                Ok(letters)
            })
            .await
    }

    /// How long tombstones are kept.
    pub fn tombstone_life(&self) -> Duration {
        self.0.tombstone_life
    }

    /// What was changed here after the sequence `after`, at most so many changes.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn changes(&self, after: u64, most: usize) -> Result<Changes, Error> {
        let next = *self.0.shared.sequence.borrow() + 1;
        self.0
            .store
            .read(move |t| {
                use redb::ReadableTable;
                let log = t.open_table(LOG)?;
                let first = log.first()?.map_or(next, |(first, _)| first.value());
                let mut changes = Vec::new();
                for entry in log.range(after.saturating_add(1)..)?.take(most) {
                    let (sequence, value) = entry?;
                    changes.push(Change::decode(sequence.value(), value.value())?);
                }
                Ok(Changes { first, changes })
            })
            .await
    }

    /// What was changed here after the sequence `after`, with the rows as they are now; without
    /// `after`, what [`trim`](Self::trim) has left. At most so many changes, and not many more bytes
    /// of rows than so many, but one change in any case; those of tables that are not wanted are
    /// passed over.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn outgoing(
        &self,
        after: Option<u64>,
        changes: usize,
        bytes: usize,
        is_wanted: impl Fn(&TableName) -> bool + Send + 'static,
    ) -> Result<Outgoing, Error> {
        let inner = self.0.clone();
        // In this order: the catalog has the tables of all changes up to there.
        let through = *self.0.shared.sequence.borrow();
        let catalog = self.0.shared.catalog();
        let most = outgoing::Most { through, changes, bytes };
        let read = move |t: &_| outgoing::read(t, &catalog, &inner.node, after, most, &is_wanted);
        self.0.store.read(read).await
    }

    /// The last sequence of the change log, each time it grows.
    pub fn last_change(&self) -> watch::Receiver<u64> {
        self.0.shared.sequence.subscribe()
    }

    /// Removes changes from the log up to the sequence `through`, that one too: they were published.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn trim(&self, through: u64) -> Result<(), Error> {
        self.0.writer.ask(1, move |t| t.trim(through)).await
    }
}
