//! `describe_all`: all databases but the node's own, and their tables.

use serde_json::{Map, Value, json};

use super::{description, schema};
use crate::data::Data;
use crate::dispatch::Error;
use crate::runtime::Operation;

pub(super) fn operation(name: &str) -> Operation {
    Operation::new(name, "Describe all databases and their tables").read_only().with_schema(schema(
        name,
        &[],
        json!({}),
        json!({}),
    ))
}

pub(super) async fn perform(data: Data) -> Result<Value, Error> {
    let names = data.databases();
    let mut databases: Map<String, Value> =
        names.into_iter().map(|name| (name, json!({}))).collect();
    for table in data.tables(None).await? {
        let database = databases.entry(table.name.database.clone()).or_insert_with(|| json!({}));
        database[table.name.table.as_str()] = description::of(&table);
    }
    Ok(databases.into())
}
