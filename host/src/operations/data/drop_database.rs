//! `drop_database`: removes a database with all that is in it.

use serde_json::{Value, json};

use super::super::request::Fields;
use super::{schema, target};
use crate::data::Data;
use crate::dispatch::Error;
use crate::runtime::Operation;

pub(super) const NAMES: [&str; 2] = ["drop_database", "drop_schema"];

pub(super) fn operation(name: &str) -> Operation {
    Operation::new(name, "Remove a database with all of its tables")
        .with_warning("All tables of the database are gone, with all of their records.")
        .with_schema(schema(
            name,
            &["database"],
            json!({
                "database": { "type": "string", "description": "The database" },
                "schema": target::older_text("database"),
            }),
            json!({ "database": "dev" }),
        ))
}

pub(super) async fn perform(data: Data, request: Value) -> Result<Value, Error> {
    let mut fields = Fields::of(request);
    let database = target::required_database(&mut fields);
    fields.check()?;

    data.drop_database(&database).await?;
    Ok(json!({ "message": format!("successfully deleted '{database}'") }))
}
