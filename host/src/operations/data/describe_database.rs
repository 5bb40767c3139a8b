//! `describe_database`: the tables of a database.

use serde_json::{Map, Value, json};

use super::super::request::Fields;
use super::{description, schema, target};
use crate::data::Data;
use crate::dispatch::Error;
use crate::runtime::Operation;

pub(super) const NAMES: [&str; 2] = ["describe_database", "describe_schema"];

pub(super) fn operation(name: &str) -> Operation {
    Operation::new(name, "Describe the tables of a database").read_only().with_schema(schema(
        name,
        &[],
        target::database_keys(),
        json!({ "database": "dev" }),
    ))
}

pub(super) async fn perform(data: Data, request: Value) -> Result<Value, Error> {
    let mut fields = Fields::of(request);
    let database = target::database(&mut fields);
    fields.check()?;

    let tables = data.tables(Some(&database)).await?;
    let described = tables.iter().map(|table| (table.name.table.clone(), description::of(table)));
    Ok(Value::Object(described.collect::<Map<_, _>>()))
}
