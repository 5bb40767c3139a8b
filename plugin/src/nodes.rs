//! Nodes: their names, and the records of those that this one shares tables with.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::capabilities::{Log, Tables, TablesError};
use crate::operation::Error;

/// Where the records are.
const DATABASE: &str = "system";
const TABLE: &str = "hdb_nodes";

/// Longest name of a node, in bytes: it is a token of subjects, and a part of servers' names.
const LONGEST_NAME: usize = 200;

/// A node that this one shares tables with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// Its name.
    pub name: String,
    /// What is shared.
    pub subscriptions: Vec<Subscription>,
}

/// A table that two nodes share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subscription {
    /// The database.
    pub schema: String,
    /// The table.
    pub table: String,
    /// Whether local transactions go to the remote table.
    pub publish: bool,
    /// Whether remote transactions come to the local one.
    pub subscribe: bool,
}

/// Whether a node can have this name: without whitespace and any of `. , * >`, and without control
/// characters, since it is a token of subjects.
pub fn is_node_name(name: &str) -> bool {
    let is_plain =
        |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '.' | ',' | '*' | '>');
    (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(is_plain)
}

impl NodeRecord {
    /// All records, by name. What is in the table and is none is warned of and left out.
    pub async fn all(host: &(impl Tables + Log)) -> Result<Vec<Self>, Error> {
        let mut records = Vec::new();
        let mut after = None;
        loop {
            let page = host.list(DATABASE, TABLE, after.as_deref()).await?;
            for row in &page.rows {
                match Self::read(row) {
                    Some(record) => records.push(record),
                    None => host.warn(&format!("A record of {DATABASE}.{TABLE} is no node's")),
                }
            }
            match page.next {
                Some(next) if after.as_ref() != Some(&next) => after = Some(next),
                _ => return Ok(records),
            }
        }
    }

    fn read(row: &Value) -> Option<Self> {
        let name = row.get("name")?.as_str().filter(|name| is_node_name(name))?;
        let subscriptions = match row.get("subscriptions") {
            None | Some(Value::Null) => Vec::new(),
            Some(subscriptions) => {
                let subscription = |value: &Value| Subscription::read(value.as_object()?);
                subscriptions.as_array()?.iter().map(subscription).collect::<Option<_>>()?
            }
        };
        Some(Self { name: name.to_owned(), subscriptions })
    }
}

impl Subscription {
    fn read(object: &Map<String, Value>) -> Option<Self> {
        let text = |key| object.get(key)?.as_str().map(str::to_owned);
        let flag = |key| object.get(key).map_or(Some(false), Value::as_bool);
        Some(Self {
            schema: text("schema")?,
            table: text("table")?,
            publish: flag("publish")?,
            subscribe: flag("subscribe")?,
        })
    }
}

impl From<TablesError> for Error {
    fn from(error: TablesError) -> Self {
        let TablesError::Failed(text) = error;
        Self::Failed(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        let record = |row: Value| NodeRecord::read(&row);
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
}
