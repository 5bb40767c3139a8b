//! What is done with messages that were laid aside: they are looked at, applied once more, dropped.

use std::collections::BTreeSet;

use harper_wire::names;
use redb::ReadableTable;
use tokio::sync::watch;

use super::Data;
use super::arrivals::{self, Arrival, Ties};
use super::dead::{self, DeadLetter, Letters};
use super::error::Error;
use super::layout::LETTERS;
use super::transaction::Transaction;
use crate::capabilities::TableName;

/// Which of the messages that were laid aside. What is not said narrows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Which {
    /// Those with these numbers.
    pub numbers: Option<BTreeSet<u64>>,
    /// Those of this node.
    pub source: Option<String>,
    /// Those of a table of this database.
    pub database: Option<String>,
    /// Those of this table.
    pub table: Option<TableName>,
}

impl Which {
    fn takes(&self, number: u64, letter: &DeadLetter) -> bool {
        let is_of = |table: &TableName| {
            // Of an earlier version the stream alone is known.
            letter.stream == names::stream(&table.database, &table.table)
        };
        let database = letter.table.as_ref().map(|table| &table.database);
        self.numbers.as_ref().is_none_or(|numbers| numbers.contains(&number))
            && self.source.as_ref().is_none_or(|source| *source == letter.source)
            && self.database.as_ref().is_none_or(|wanted| database == Some(wanted))
            && self.table.as_ref().is_none_or(is_of)
    }
}

/// Some of what was laid aside, without bodies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// How many there are.
    pub total: u64,
    /// Their numbers, and how many bytes their bodies have; the newest comes first.
    pub letters: Vec<(u64, DeadLetter, u64)>,
}

/// A message to be applied once more.
#[derive(Debug, Clone)]
pub struct Again {
    /// Its number.
    pub number: u64,
    /// It, as it was laid aside.
    pub letter: DeadLetter,
    /// What it says, as far as this node takes it.
    pub changes: Vec<Arrival>,
    /// Why it stays, whatever comes of these.
    pub reason: Option<String>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Its number.
    pub number: u64,
    /// Rows that were written or deleted.
    pub applied: u64,
    /// Why it is still there; none if it is not.
    pub reason: Option<String>,
}

impl Data {
    /// How many messages are laid aside, each time that this changes.
    pub(crate) fn letters(&self) -> watch::Receiver<Letters> {
        self.0.shared.letters.subscribe()
    }

    /// The newest so many of what was laid aside.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn list_dead_letters(&self, which: Which, most: usize) -> Result<Listed, Error> {
        self.0
            .store
            .read(move |t| {
                let mut listed = Listed::default();
                for entry in t.open_table(LETTERS)?.iter()?.rev() {
                    let (number, bytes) = entry?;
                    let (letter, payload) = dead::head(bytes.value())?;
                    if !which.takes(number.value(), &letter) {
                        continue;
                    }
                    listed.total += 1;
                    if listed.letters.len() < most {
                        listed.letters.push((number.value(), letter, payload.len() as u64));
                    }
                }
                Ok(listed)
            })
            .await
    }

    /// The oldest of them whose numbers come after `after`, with their bodies: at most so many, and
    /// not many more bytes than so many, but one in any case.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) async fn oldest_dead_letters(
        &self,
        which: Which,
        after: u64,
        (most, bytes): (usize, usize),
    ) -> Result<Vec<(u64, DeadLetter)>, Error> {
        self.0
            .store
            .read(move |t| {
                let (mut letters, mut taken) = (Vec::new(), 0);
                for entry in t.open_table(LETTERS)?.range(after.saturating_add(1)..)? {
                    let (number, stored) = entry?;
                    let (letter, payload) = dead::head(stored.value())?;
                    if !which.takes(number.value(), &letter) {
                        continue;
                    }
                    taken += payload.len();
                    if letters.len() >= most || (taken > bytes && !letters.is_empty()) {
                        break;
                    }
                    let payload = payload.to_vec();
                    letters.push((number.value(), DeadLetter { payload, ..letter }));
                }
                Ok(letters)
            })
            .await
    }

    /// Applies messages once more, as they would be if they came now: what succeeds is not laid
    /// aside any more, and what does not stays with its new reason. What nobody laid aside, or
    /// somebody has dropped, is passed over. `are_told` says whether changes go into the change log.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn apply_again(
        &self,
        letters: Vec<Again>,
        are_told: bool,
    ) -> Result<Vec<Tried>, Error> {
        let changes = letters.iter().flat_map(|letter| &letter.changes);
        let weight = changes.map(Arrival::weight).sum::<usize>().max(1);
        self.0.writer.ask(weight, move |t| again(t, letters, are_told)).await
    }

    /// Drops what was laid aside, and returns how many these were.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn drop_dead_letters(&self, which: Which) -> Result<u64, Error> {
        self.0.writer.ask(1, move |t| drop_all(t, &which)).await
    }
}

fn again(t: &mut Transaction<'_>, all: Vec<Again>, are_told: bool) -> Result<Vec<Tried>, Error> {
    let mut tried = Vec::with_capacity(all.len());
    for Again { number, mut letter, changes, mut reason } in all {
        if !dead::is_there(t, number)? {
            continue;
        }
        // Whatever of the same version is here came later on the stream: this is no tie to win.
        let mut ties = Ties::on("");
        let mut applied = 0;
        let mut changes = changes.into_iter().peekable();
        while let Some(change) = changes.next() {
            match arrivals::one(t, change, are_told, &mut ties, changes.peek().is_some()) {
                Ok((changed, _)) => applied += changed,
                Err(error) if error.is_of_store() => return Err(error),
                Err(error) => drop(reason.get_or_insert_with(|| error.to_string())),
            }
        }
        match &reason {
            None => drop(dead::remove(t, number)?),
            Some(reason) if *reason != letter.reason => {
                letter.reason.clone_from(reason);
                dead::keep(t, number, &letter)?;
            }
            Some(_) => {}
        }
        tried.push(Tried { number, applied, reason });
    }
    Ok(tried)
}

fn drop_all(t: &mut Transaction<'_>, which: &Which) -> Result<u64, Error> {
    let mut numbers = Vec::new();
    for entry in t.redb.open_table(LETTERS)?.iter()? {
        let (number, bytes) = entry?;
        let (letter, _) = dead::head(bytes.value())?;
        if which.takes(number.value(), &letter) {
            numbers.push(number.value());
        }
    }
    for number in &numbers {
        dead::remove(t, *number)?;
    }
    Ok(numbers.len() as u64)
}

/// What an earlier version has written is damaged no more than what this one has.
#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;
    use crate::store;

    #[derive(Serialize)]
    struct Earlier(u64, &'static str, String, u64, &'static str, Vec<(String, String)>);

    // covers: layer.dead-letters.earlier
    #[test]
    fn one_of_an_earlier_version_is_read() -> Result<(), store::Error> {
        let stream = names::stream("dev", "dog");
        let earlier = Earlier(1, "node2", stream, 2, "why", vec![("origin".into(), "x".into())]);
        let head = rmp_serde::to_vec(&earlier).unwrap_or_default();
        let length = u32::try_from(head.len()).unwrap_or_default();
        let bytes = [&length.to_be_bytes()[..], &head, b"body"].concat();
        let letter = dead::decode(&bytes)?;
        assert_eq!((letter.time, &*letter.reason, letter.table.clone()), (1, "why", None));
        assert_eq!(letter.payload, b"body");
        let of = |table: &str| Which {
            table: Some(TableName { database: "dev".into(), table: table.into() }),
            ..Which::default()
        };
        assert!(of("dog").takes(1, &letter) && !of("cat").takes(1, &letter));
        Ok(())
    }
}
