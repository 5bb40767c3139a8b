//! `describe_table`: one table.

use serde_json::{Value, json};

use super::super::request::Fields;
use super::{description, schema, target};
use crate::data::Data;
use crate::dispatch::Error;
use crate::runtime::Operation;

pub(super) fn operation(name: &str) -> Operation {
    Operation::new(name, "Describe a table").read_only().with_schema(schema(
        name,
        &["table"],
        target::table_keys(json!({})),
        json!({ "database": "dev", "table": "dog" }),
    ))
}

pub(super) async fn perform(data: Data, request: Value) -> Result<Value, Error> {
    let mut fields = Fields::of(request);
    let name = target::table(&mut fields);
    fields.check()?;

    Ok(description::of(&data.table(&name).await?))
}
