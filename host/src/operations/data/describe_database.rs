//! `describe_database`: the tables of a database.

use serde_json::{Value, json};

use super::super::request::Fields;
use super::{description, schema, target};
use crate::data::{Data, TableDescription};
use crate::dispatch::{Error, Reply};
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

pub(super) async fn perform(data: Data, request: Value) -> Result<Reply, Error> {
    let mut fields = Fields::of(request);
    let database = target::database(&mut fields);
    fields.check()?;

    let tables = data.tables(Some(&database)).await?;
    description::reply(move || {
        let one = |table: &TableDescription| (table.name.table.clone(), description::of(table));
        tables.iter().map(one).collect()
    })
    .await
}
