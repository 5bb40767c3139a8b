//! Tables of records that the operations write: key to a record as JSON, with a revision for
//! compare-and-set.

use std::collections::BTreeMap;
use std::ops::Bound;

use redb::{AccessGuard, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::open::META;
use super::{Error, Store};
use crate::json;

/// Such a table.
pub(super) struct Records {
    pub(super) table: TableDefinition<'static, &'static str, &'static [u8]>,
    /// Where the last revision that was given to one of its records stands. It only grows, so that a
    /// record which was removed and made anew is not taken for the one that was read before.
    last_revision: &'static str,
    /// Whether [`Store::node_changes`] counts its changes.
    are_nodes: bool,
}

/// Records that such a table may have: each is made for another node, which may be one that sends
/// requests under as many names as it likes.
const MOST: u64 = 10_000;

/// Key the node's name.
pub(super) static NODES: Records = Records {
    table: TableDefinition::new("system.hdb_nodes"),
    last_revision: "hdb_nodes_revision",
    are_nodes: true,
};

/// Key the name of the node with which an operation is under way.
pub(super) static INTENTS: Records = Records {
    table: TableDefinition::new("system.hdb_intents"),
    last_revision: "hdb_intents_revision",
    are_nodes: false,
};

/// A record, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record<T = Value> {
    /// Names one state of the record; another write gives another.
    pub revision: u64,
    /// What the operations wrote.
    pub record: T,
}

/// The record is not, or no longer, in the state that was expected; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record was changed meanwhile")]
pub struct Stale;

/// The part of a record that is read to see whether the rest has to be.
#[derive(Deserialize)]
struct Revision {
    revision: u64,
}

/// What has changed among records since they were read.
pub(crate) struct Changes<T> {
    /// Those that are there, and were not in this state; an error for one that is no `T`.
    pub(crate) written: Vec<(String, u64, Result<T, serde_json::Error>)>,
    /// Keys of those that are gone.
    pub(crate) removed: Vec<String>,
}

impl Store {
    pub(super) async fn record(
        &self,
        of: &'static Records,
        key: &str,
    ) -> Result<Option<Record>, Error> {
        self.find(of, key, decode).await
    }

    /// The same as text: nothing is built only to be written out again.
    pub(super) async fn text_of_record(
        &self,
        of: &'static Records,
        key: &str,
    ) -> Result<Option<Record<String>>, Error> {
        self.find(of, key, text).await
    }

    async fn find<T: Send + 'static>(
        &self,
        of: &'static Records,
        key: &str,
        read: impl Fn(&[u8]) -> Result<T, Error> + Send + 'static,
    ) -> Result<Option<T>, Error> {
        let key = key.to_owned();
        self.read(move |t| {
            let found = t.open_table(of.table)?.get(key.as_str())?;
            found.map(|value| read(value.value())).transpose()
        })
        .await
    }

    /// All records, in the order of their keys.
    pub(super) async fn records(
        &self,
        of: &'static Records,
    ) -> Result<Vec<(String, Record)>, Error> {
        self.after(of, None, usize::MAX, decode).await
    }

    /// The first so many of the records whose keys come after `after`, in the order of their keys, as
    /// text.
    pub(super) async fn texts_after(
        &self,
        of: &'static Records,
        after: Option<String>,
        most: usize,
    ) -> Result<Vec<(String, Record<String>)>, Error> {
        self.after(of, after, most, text).await
    }

    async fn after<T: Send + 'static>(
        &self,
        of: &'static Records,
        after: Option<String>,
        most: usize,
        read: impl Fn(&[u8]) -> Result<T, Error> + Send + 'static,
    ) -> Result<Vec<(String, T)>, Error> {
        self.read(move |t| {
            let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let table = t.open_table(of.table)?;
            let records = table.range::<&str>((from, Bound::Unbounded))?.take(most);
            let record = |entry: Result<(AccessGuard<'_, &str>, AccessGuard<'_, &[u8]>), _>| {
                let (key, value) = entry?;
                Ok((key.value().to_owned(), read(value.value())?))
            };
            records.map(record).collect()
        })
        .await
    }

    /// What differs from the revisions that are known, by key.
    pub(super) async fn records_changed<T: DeserializeOwned + Send + 'static>(
        &self,
        of: &'static Records,
        mut known: BTreeMap<String, u64>,
    ) -> Result<Changes<T>, Error> {
        self.read(move |t| {
            let mut written = Vec::new();
            for entry in t.open_table(of.table)?.iter()? {
                let (key, value) = entry?;
                let (key, value) = (key.value(), value.value());
                let Revision { revision } = serde_json::from_slice(value).map_err(Error::Value)?;
                if known.remove(key) == Some(revision) {
                    continue;
                }
                let record = serde_json::from_slice::<Record<T>>(value).map(|found| found.record);
                written.push((key.to_owned(), revision, record));
            }
            Ok(Changes { written, removed: known.into_keys().collect() })
        })
        .await
    }

    /// Writes a record if the stored one has the revision `expected`, or if there is none and none is
    /// expected. Returns the new revision; it is durable then.
    pub(super) async fn put_record(
        &self,
        of: &'static Records,
        key: &str,
        record: &Value,
        expected: Option<u64>,
    ) -> Result<Result<u64, Stale>, Error> {
        self.put_text(of, key, json::text(record), expected).await
    }

    /// The same of one that is JSON text, for certain.
    pub(super) async fn put_text(
        &self,
        of: &'static Records,
        key: &str,
        record: String,
        expected: Option<u64>,
    ) -> Result<Result<u64, Stale>, Error> {
        let key = key.to_owned();
        let write = move |t: &WriteTransaction| {
            let mut table = t.open_table(of.table)?;
            if revision(&table, &key)? != expected {
                return Ok(Err(Stale));
            }
            if expected.is_none() && table.len()? >= MOST {
                return Err(Error::TooMany(MOST));
            }
            let revision = of.next_revision(t)?;
            table.insert(key.as_str(), stored(revision, &record).as_bytes())?;
            Ok(Ok(revision))
        };
        self.write_and_tell(of, write).await
    }

    /// Removes a record if it has the revision `expected`.
    pub(super) async fn remove_record(
        &self,
        of: &'static Records,
        key: &str,
        expected: u64,
    ) -> Result<Result<(), Stale>, Error> {
        let key = key.to_owned();
        let write = move |t: &WriteTransaction| {
            let mut table = t.open_table(of.table)?;
            if revision(&table, &key)? != Some(expected) {
                return Ok(Err(Stale));
            }
            table.remove(key.as_str())?;
            Ok(Ok(()))
        };
        self.write_and_tell(of, write).await
    }

    /// Whoever follows the records of nodes is told of a change even if nobody waits for its end.
    async fn write_and_tell<T: Send + 'static>(
        &self,
        of: &'static Records,
        write: impl FnMut(&WriteTransaction) -> Result<Result<T, Stale>, Error> + Send + 'static,
    ) -> Result<Result<T, Stale>, Error> {
        let store = self.0.clone();
        let tell = move |written: &Result<T, Stale>| {
            if of.are_nodes && written.is_ok() {
                store.node_changes.send_modify(|changes| *changes += 1);
            }
        };
        self.write_together(write, tell).await
    }
}

impl Records {
    fn next_revision(&self, transaction: &WriteTransaction) -> Result<u64, Error> {
        let mut meta = transaction.open_table(META)?;
        let next = meta.get(self.last_revision)?.map_or(0, |last| last.value()) + 1;
        meta.insert(self.last_revision, next)?;
        Ok(next)
    }
}

fn revision(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
) -> Result<Option<u64>, Error> {
    let found = table.get(key)?;
    let read = |value: AccessGuard<'_, &[u8]>| serde_json::from_slice::<Revision>(value.value());
    let found = found.map(read).transpose().map_err(Error::Value)?;
    Ok(found.map(|found| found.revision))
}

fn decode(value: &[u8]) -> Result<Record, Error> {
    serde_json::from_slice(value).map_err(Error::Value)
}

/// A [`Record`] of a record's text.
fn stored(revision: u64, record: &str) -> String {
    format!(r#"{{"revision":{revision},"record":{record}}}"#)
}

/// The record within what is stored, without a look at what it says.
fn text(value: &[u8]) -> Result<Record<String>, Error> {
    if let Some(found) = cut(value) {
        return Ok(found);
    }
    let Record { revision, record } = decode(value)?;
    Ok(Record { revision, record: json::text(&record) })
}

/// The record, where it is as [`stored`] makes it.
fn cut(value: &[u8]) -> Option<Record<String>> {
    let value = std::str::from_utf8(value).ok()?;
    let (revision, record) = value.strip_prefix(r#"{"revision":"#)?.split_once(r#","record":"#)?;
    Some(Record { revision: revision.parse().ok()?, record: record.strip_suffix('}')?.to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_text_of_a_record_is_cut_out_of_what_is_stored() {
        let record = json!({ "name": "a", "text": "}\",\"record\":{", "sub": { "record": [1] } });
        let stored = stored(7, &record.to_string());
        let read: Record = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, Record { revision: 7, record: record.clone() });
        let found = cut(stored.as_bytes()).unwrap();
        assert_eq!((found.revision, &found.record), (7, &record.to_string()));
        // Whoever wrote it otherwise.
        let other = json!({ "record": record, "revision": 7 }).to_string();
        assert_eq!(cut(other.as_bytes()), None);
        assert_eq!(text(other.as_bytes()).unwrap(), found);
        for damaged in ["", "{}", r#"{"revision":7,"record":"#, r#"{"revision":x,"record":{}}"#] {
            assert!(matches!(text(damaged.as_bytes()), Err(Error::Value(_))), "{damaged}");
        }
    }
}
