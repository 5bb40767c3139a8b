//! Nodes: their names, and the records of those that this one shares tables with.

use std::collections::HashMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::capabilities::{Log, Row, Tables, TablesError};
use crate::operation::Error;

/// Where the records are.
const DATABASE: &str = "system";
const TABLE: &str = "hdb_nodes";

/// Longest name of a node, in bytes: it is a token of subjects, and a part of servers' names.
pub const LONGEST_NAME: usize = 200;

/// Longest text of [`NodeRecord::system_info`], in characters.
const LONGEST_INFO: usize = 100;

/// A node that this one shares tables with, as `system.hdb_nodes` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its name.
    pub name: String,
    /// What is shared: one for each table.
    pub subscriptions: Vec<Subscription>,
    /// The software that it runs, as far as it has told: [`system_info`] of what it said.
    #[serde(default)]
    pub system_info: Value,
}

/// A table that two nodes share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The database.
    pub schema: String,
    /// The table.
    pub table: String,
    /// Whether local transactions go to the remote table.
    pub publish: bool,
    /// Whether remote transactions come to the local one.
    pub subscribe: bool,
    /// From when on they come: an ISO 8601 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// After what they come, without a `start_time`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Start>,
    /// Since when they came before another node changed that, in case it undoes its change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Was>,
}

/// The start of a subscription before a change of another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Was {
    /// What that node calls the change.
    pub change: String,
    /// As [`Subscription::start_time`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// As [`Subscription::from`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Start>,
}

/// A place in a remote stream: the transactions after it come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// When that stream was made; none if there was none yet, and all that it will hold is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The last message that does not come.
    pub sequence: u64,
}

/// A table's database and name.
pub type TableKey<'a> = (&'a str, &'a str);

/// A record, and the state that it was read in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The record.
    pub record: NodeRecord,
    /// Its revision.
    pub revision: String,
}

/// Whether a node can have this name: without whitespace and any of `. , * >`, and without control
/// characters, since it is a token of subjects.
pub fn is_node_name(name: &str) -> bool {
    let is_plain =
        |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '.' | ',' | '*' | '>');
    (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(is_plain)
}

/// What another node says of its software: three short texts, and nothing else.
pub fn system_info(told: Option<&Value>) -> Value {
    let text = |key: &str| {
        let text = told?.get(key)?.as_str()?;
        let plain = text.chars().filter(|c| !c.is_control()).take(LONGEST_INFO);
        Some((key.to_owned(), Value::from(plain.collect::<String>())))
    };
    let known = ["hdb_version", "node_version", "platform"];
    Value::Object(known.into_iter().filter_map(text).collect())
}

impl NodeRecord {
    /// All records, by name. What is in the table and is none is warned of and left out.
    pub async fn all(host: &(impl Tables + Log)) -> Result<Vec<Stored>, Error> {
        let mut records = Vec::new();
        for Row { record, revision, .. } in all_rows(host, DATABASE, TABLE).await? {
            match Self::read(&record) {
                Some(record) => records.push(Stored { record, revision }),
                None => host.warn(&format!("A record of {DATABASE}.{TABLE} is no node's")),
            }
        }
        Ok(records)
    }

    /// The states of all records, by name.
    pub async fn revisions(host: &impl Tables) -> Result<HashMap<String, String>, TablesError> {
        let rows = all_rows(host, DATABASE, TABLE).await?;
        Ok(rows.into_iter().map(|row| (row.key, row.revision)).collect())
    }

    /// The record of a node; none when it is not in the manifest. One that cannot be read is an
    /// empty one, so that it can be written anew or removed.
    pub async fn get(host: &(impl Tables + Log), node: &str) -> Result<Option<Stored>, Error> {
        let Some(Row { record, revision, .. }) = host.get(DATABASE, TABLE, node).await? else {
            return Ok(None);
        };
        let record = Self::read(&record).filter(|record| record.name == node);
        let record = record.unwrap_or_else(|| {
            host.warn(&format!("The record of node '{node}' cannot be read"));
            Self { name: node.into(), subscriptions: Vec::new(), system_info: json!({}) }
        });
        Ok(Some(Stored { record, revision }))
    }

    /// The state of a node's record; none when it is not in the manifest.
    pub async fn revision(host: &impl Tables, node: &str) -> Result<Option<String>, TablesError> {
        host.revision(DATABASE, TABLE, node).await
    }

    /// Brings the record of `node` from the state `expected` (none: not there) to `record` (none:
    /// gone), and returns its revision, or says that it is in another state.
    pub async fn store(
        host: &impl Tables,
        node: &str,
        record: Option<&Self>,
        expected: Option<&str>,
    ) -> Result<Option<String>, TablesError> {
        match (record, expected) {
            (Some(record), _) => {
                host.put(DATABASE, TABLE, node, &text(record), expected).await.map(Some)
            }
            (None, Some(expected)) => {
                host.delete(DATABASE, TABLE, node, expected).await.map(|()| None)
            }
            (None, None) => Ok(None),
        }
    }

    /// The subscription to a table.
    pub fn subscription(&self, key: TableKey<'_>) -> Option<&Subscription> {
        self.subscriptions.iter().find(|subscription| subscription.key() == key)
    }

    fn read(text: &str) -> Option<Self> {
        let Found { name, subscriptions, system_info: info } = serde_json::from_str(text).ok()?;
        let subscriptions = subscriptions.unwrap_or_default().into_iter();
        is_node_name(&name).then(|| Self {
            subscriptions: subscriptions.map(FoundSubscription::read).collect(),
            system_info: system_info(Some(&info)),
            name,
        })
    }
}

/// A record, whoever wrote it.
#[derive(Deserialize)]
struct Found {
    name: String,
    #[serde(default)]
    subscriptions: Option<Vec<FoundSubscription>>,
    #[serde(default)]
    system_info: Value,
}

#[derive(Deserialize)]
struct FoundSubscription {
    schema: String,
    table: String,
    #[serde(default)]
    publish: bool,
    #[serde(default)]
    subscribe: bool,
    #[serde(default)]
    start_time: Perhaps<String>,
    #[serde(default)]
    from: Perhaps<Start>,
    #[serde(default)]
    was: Perhaps<Was>,
}

/// What is no start of a subscription is none.
#[derive(Deserialize)]
#[serde(untagged)]
enum Perhaps<T> {
    Is(T),
    Other(IgnoredAny),
}

impl<T> Default for Perhaps<T> {
    fn default() -> Self {
        Self::Other(IgnoredAny)
    }
}

impl<T> From<Perhaps<T>> for Option<T> {
    fn from(perhaps: Perhaps<T>) -> Self {
        match perhaps {
            Perhaps::Is(value) => Some(value),
            Perhaps::Other(_) => None,
        }
    }
}

impl FoundSubscription {
    fn read(self) -> Subscription {
        Subscription {
            schema: self.schema,
            table: self.table,
            publish: self.publish,
            subscribe: self.subscribe,
            start_time: self.start_time.into(),
            from: self.from.into(),
            was: self.was.into(),
        }
    }
}

/// All records of a table, page by page.
pub async fn all_rows(
    host: &impl Tables,
    database: &str,
    table: &str,
) -> Result<Vec<Row>, TablesError> {
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = host.list(database, table, after.as_deref()).await?;
        rows.extend(page.rows);
        match page.next {
            Some(next) if after.as_ref() != Some(&next) => after = Some(next),
            _ => return Ok(rows),
        }
    }
}

/// As it is stored.
pub fn text(record: &impl Serialize) -> String {
    // Records have no key that is not a string, the one thing that can fail.
    serde_json::to_string(record).unwrap_or_default()
}

impl Subscription {
    /// Which table it is of.
    pub fn key(&self) -> TableKey<'_> {
        (&self.schema, &self.table)
    }

    /// As `cluster_status` shows it.
    pub fn shown(&self) -> Value {
        json!({
            "schema": self.schema,
            "table": self.table,
            "publish": self.publish,
            "subscribe": self.subscribe,
        })
    }
}

impl From<TablesError> for Error {
    fn from(error: TablesError) -> Self {
        match error {
            TablesError::Conflict => {
                Self::Conflict("The record was changed by others meanwhile".into())
            }
            TablesError::ExistsOtherwise(text) => Self::Invalid(text),
            TablesError::Failed(text) => Self::Failed(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["a", "ec2-3-22-181-22", "Node_1", "knoten-ä", &"a".repeat(200)] {
            assert!(is_node_name(name), "{name}");
        }
        for name in ["", "a.b", "a,b", "*", "a>", "a b", "a\n", "a\u{a0}b", "\0", &"a".repeat(201)]
        {
            assert!(!is_node_name(name), "{name:?}");
        }
    }

    #[test]
    fn what_is_no_record_is_left_out() {
        let record = |row: Value| NodeRecord::read(&row.to_string());
        let read = record(json!({ "name": "a", "subscriptions": [
            { "schema": "dev", "table": "dog", "publish": true, "subscribe": false, "start_time": 1 },
        ] }));
        let read = read.unwrap();
        assert_eq!(read.name, "a");
        assert_eq!(
            json!(read.subscriptions),
            json!([{ "schema": "dev", "table": "dog", "publish": true, "subscribe": false }])
        );
        assert_eq!(record(json!({ "name": "a" })).unwrap().subscriptions, []);
        for row in [
            json!(null),
            json!({}),
            json!({ "name": 1 }),
            json!({ "name": "*" }),
            json!({ "name": "a", "subscriptions": 1 }),
            json!({ "name": "a", "subscriptions": [1] }),
            json!({ "name": "a", "subscriptions": [{ "schema": "dev" }] }),
        ] {
            assert_eq!(record(row), None);
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let row = json!({
            "name": "a",
            "subscriptions": [
                {
                    "schema": "dev",
                    "table": "dog",
                    "publish": false,
                    "subscribe": true,
                    "from": { "created": "2026-01-01T00:00:00.000000001Z", "sequence": 7 },
                },
                {
                    "schema": "dev",
                    "table": "cat",
                    "publish": false,
                    "subscribe": true,
                    "from": { "sequence": 0 },
                },
                {
                    "schema": "dev",
                    "table": "cow",
                    "publish": false,
                    "subscribe": true,
                    "start_time": "2022-09-02T20:06:35.993Z",
                },
            ],
            "system_info": { "hdb_version": "4.2.0" },
        });
        assert_eq!(json!(NodeRecord::read(&row.to_string()).unwrap()), row);
    }

    #[test]
    fn software_is_three_short_texts() {
        let told = json!({ "hdb_version": "4.2.0\n", "platform": 7, "node_version": "x".repeat(999), "a": "b" });
        let info = system_info(Some(&told));
        assert_eq!(info, json!({ "hdb_version": "4.2.0", "node_version": "x".repeat(100) }));
        assert_eq!(system_info(None), json!({}));
    }
}
