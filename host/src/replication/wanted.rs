//! What the records of nodes ask for.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::capabilities::{SYSTEM_DATABASE, TableName};
use crate::store::{self, Start, Store};

/// A record of `system.hdb_nodes`, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(crate) struct NodeRecord {
    #[serde(default)]
    subscriptions: Vec<Subscription>,
}

#[derive(Debug, Deserialize)]
struct Subscription {
    #[serde(alias = "database")]
    schema: String,
    table: String,
    #[serde(default)]
    publish: Value,
    #[serde(default)]
    subscribe: Value,
    #[serde(default)]
    start_time: Option<String>,
    #[serde(default)]
    from: Option<From>,
}

/// "From now on", at the moment of the operation.
#[derive(Debug, Deserialize)]
struct From {
    #[serde(default)]
    created: Option<String>,
    sequence: u64,
}

/// What one record asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Tables whose streams this node has for it.
    pub(crate) publish: BTreeSet<TableName>,
    /// Tables of the other node, and where to begin.
    pub(crate) subscribe: BTreeMap<TableName, Start>,
    /// What cannot be asked for, as a sentence.
    pub(crate) wrong: Option<String>,
}

impl Wanted {
    /// What the record of a node asks for: nothing where there is none, or none that can be read.
    pub(crate) async fn of_node(store: &Store, name: &str) -> Result<Self, store::Error> {
        let record = store.node(name).await?;
        let record = record.and_then(|one| serde_json::from_value(one.record).ok());
        Ok(record.map(Self::of).unwrap_or_default())
    }

    pub(crate) fn of(record: NodeRecord) -> Self {
        let mut wanted = Self::default();
        for one in record.subscriptions {
            let table = TableName { database: one.schema, table: one.table };
            if !is_table(&table) {
                wanted.wrong.get_or_insert_with(|| not_shared(&table));
                continue;
            }
            let start = match (one.start_time, one.from) {
                (Some(time), _) => Start::Time(time),
                (None, Some(From { created, sequence })) => Start::After { created, sequence },
                (None, None) => Start::Now,
            };
            if one.publish == true {
                wanted.publish.insert(table.clone());
            }
            if one.subscribe == true {
                wanted.subscribe.insert(table, start);
            }
        }
        wanted
    }
}

/// Whether a table can be shared: its names become tokens of a subject, and those of the node's own
/// database are nobody else's.
pub(super) fn is_table(table: &TableName) -> bool {
    let is_token = |name: &str| {
        let is_plain =
            |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '.' | '*' | '>');
        !name.is_empty() && name.chars().all(is_plain)
    };
    table.database != SYSTEM_DATABASE && is_token(&table.database) && is_token(&table.table)
}

pub(super) fn stream_of(table: &TableName) -> String {
    harper_wire::names::stream(&table.database, &table.table)
}

/// What is said of a table that cannot be.
pub(super) fn not_shared(table: &TableName) -> String {
    format!("'{}' is no table that nodes can share", table.to_string().escape_debug())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(subscriptions: Value) -> Wanted {
        let record = json!({ "name": "b", "subscriptions": subscriptions });
        Wanted::of(serde_json::from_value(record).unwrap())
    }

    fn table(database: &str, table: &str) -> TableName {
        TableName { database: database.into(), table: table.into() }
    }

    #[test]
    fn each_direction_by_its_flag() {
        let wanted = wanted(json!([
            { "schema": "dev", "table": "dog", "publish": true, "subscribe": false },
            { "schema": "dev", "table": "cat", "publish": false, "subscribe": true,
              "start_time": "2026-01-01T00:00:00.000Z" },
            { "database": "dev", "table": "cow", "publish": true, "subscribe": true,
              "from": { "created": "2026-01-01T00:00:00.1Z", "sequence": 7 } },
            { "schema": "dev", "table": "hen", "subscribe": true, "from": { "sequence": 0 } },
            { "schema": "dev", "table": "pig", "subscribe": true },
            { "schema": "dev", "table": "fox", "publish": false, "subscribe": false },
            { "schema": "dev", "table": "owl" },
        ]));
        assert_eq!(wanted.publish, [table("dev", "cow"), table("dev", "dog")].into());
        let after = |created: Option<&str>, sequence| Start::After {
            created: created.map(str::to_owned),
            sequence,
        };
        let expected = [
            (table("dev", "cat"), Start::Time("2026-01-01T00:00:00.000Z".into())),
            (table("dev", "cow"), after(Some("2026-01-01T00:00:00.1Z"), 7)),
            (table("dev", "hen"), after(None, 0)),
            (table("dev", "pig"), Start::Now),
        ];
        assert_eq!(wanted.subscribe, expected.into());
        assert_eq!(wanted.wrong, None);
    }

    #[test]
    fn a_name_never_becomes_more_than_a_token() {
        let bad =
            [("dev", "*"), ("dev", ">"), ("dev", "a.b"), ("dev", "a b"), ("", "a"), ("dev", "")];
        for (database, name) in bad.into_iter().chain([("system", "hdb_user")]) {
            let wanted = wanted(json!([
                { "schema": database, "table": name, "publish": true, "subscribe": true },
                { "schema": "dev", "table": "dog", "publish": true },
            ]));
            assert_eq!(wanted.publish, [table("dev", "dog")].into(), "{database}.{name}");
            assert!(wanted.subscribe.is_empty());
            assert!(wanted.wrong.unwrap().contains("is no table that nodes can share"));
        }
    }
}
