//! `describe_all`: all databases but the node's own, and their tables.

use serde_json::{Map, Value, json};

use super::{description, schema};
use crate::data::Data;
use crate::dispatch::{Error, Reply};
use crate::runtime::Operation;

pub(super) fn operation(name: &str) -> Operation {
    Operation::new(name, "Describe all databases and their tables").read_only().with_schema(schema(
        name,
        &[],
        json!({}),
        json!({}),
    ))
}

pub(super) async fn perform(data: Data) -> Result<Reply, Error> {
    let names = data.databases();
    let tables = data.tables(None).await?;
    description::reply(move || {
        let mut databases: Map<String, Value> =
            names.into_iter().map(|name| (name, json!({}))).collect();
        for table in tables {
            let name = table.name.database.clone();
            let database = databases.entry(name).or_insert_with(|| json!({}));
            database[table.name.table.as_str()] = description::of(&table);
        }
        databases
    })
    .await
}
