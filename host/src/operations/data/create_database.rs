//! `create_database`: a place for tables.

use serde_json::{Value, json};

use super::super::request::Fields;
use super::{schema, target};
use crate::data::Data;
use crate::dispatch::Error;
use crate::runtime::Operation;

pub(super) const NAMES: [&str; 2] = ["create_database", "create_schema"];

pub(super) fn operation(name: &str) -> Operation {
    Operation::new(name, "Create a database").with_schema(schema(
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

    data.create_database(&database).await?;
    Ok(json!({ "message": format!("database '{database}' successfully created") }))
}
