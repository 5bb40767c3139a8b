//! The tables of a node, as `tables.yaml` of a golden case has them.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use harper_host::TableName;
use harper_host::data::{Data, Search, Write};
use serde_json::{Map, Value};

/// Databases, and their tables.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Tables(pub BTreeMap<String, BTreeMap<String, Table>>);

/// A table and its records.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The attribute that is the key.
    pub primary_key: String,
    /// The attributes, where it has more than those of its records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<String>,
    /// Its records by their keys, without the times that the host gives them.
    #[serde(default)]
    pub records: Vec<Map<String, Value>>,
}

/// Attributes that every record is given.
const TIMES: [&str; 2] = ["__createdtime__", "__updatedtime__"];

/// A time that the host has given, and not whoever wrote the record.
fn is_time(key: &str, value: &Value) -> bool {
    const YEAR_2001: u64 = 1_000_000_000_000;
    TIMES.contains(&key) && value.as_u64().is_some_and(|time| time > YEAR_2001)
}

impl Tables {
    /// Makes them.
    pub async fn make(&self, data: &Data) -> anyhow::Result<()> {
        for (database, tables) in &self.0 {
            data.create_database(database).await?;
            for (table, Table { primary_key, attributes, records }) in tables {
                let name = TableName { database: database.clone(), table: table.clone() };
                data.create_table(&name, primary_key, attributes, "test").await?;
                if !records.is_empty() {
                    data.write(&name, Write::Insert, records.clone(), "test").await?;
                }
            }
        }
        Ok(())
    }

    /// Reads all that there are.
    pub async fn read(data: &Data) -> anyhow::Result<Self> {
        let names = data.databases();
        let mut all: BTreeMap<_, _> =
            names.into_iter().map(|name| (name, BTreeMap::new())).collect();
        for described in data.tables(None).await? {
            let (name, primary_key) = (described.name, described.primary_key);
            let search = Search::new(primary_key.clone(), "*");
            let mut records: Vec<_> = data.search(&name, search).await?.try_concat().await?;
            records.iter_mut().for_each(|record| record.retain(|key, value| !is_time(key, value)));
            let is_known = |name: &String| {
                *name == primary_key || records.iter().any(|record| record.contains_key(name))
            };
            let names = described.attributes.into_iter().map(|attribute| attribute.name);
            let names = names.filter(|name| !TIMES.contains(&&**name));
            let attributes = names.filter(|name| !is_known(name)).collect();
            let table = Table { primary_key, attributes, records };
            all.entry(name.database).or_default().insert(name.table, table);
        }
        Ok(Self(all))
    }
}
