//! Which database and which table a request is about.

use serde_json::{Value, json};

use super::super::request::Fields;
use crate::capabilities::TableName;
use crate::data;

pub(in crate::operations) const DATABASE: [&str; 2] = ["database", "schema"];

/// Where tables are of which no database is named.
pub(in crate::operations) const DEFAULT: &str = "data";

/// The keys that name a database, for a schema.
pub(super) fn database_keys() -> Value {
    json!({
        "database": { "type": "string", "description": "The database; 'data' by default" },
        "schema": older_text("database"),
    })
}

/// A key that is an older name of another one, whose values are texts.
pub(in crate::operations) fn older_text(name: &str) -> Value {
    let mut key = older(name);
    key["type"] = "string".into();
    key
}

/// A key that is an older name of another one.
pub(super) fn older(name: &str) -> Value {
    json!({ "deprecated": true, "description": format!("An older name of '{name}'") })
}

/// The keys that name a table, and more.
pub(super) fn table_keys(more: Value) -> Value {
    let mut keys = database_keys();
    keys["table"] = json!({ "type": "string", "description": "The table" });
    if let (Some(keys), Value::Object(more)) = (keys.as_object_mut(), more) {
        keys.extend(more);
    }
    keys
}

/// The database.
pub(super) fn database(fields: &mut Fields) -> String {
    let (name, value) = fields.any(&DATABASE);
    let named = value.and_then(|value| text(fields, name, value, data::check_database));
    named.unwrap_or_else(|| DEFAULT.into())
}

/// The database, which must be named.
pub(super) fn required_database(fields: &mut Fields) -> String {
    let (name, value) = fields.required_any(&DATABASE);
    let named = value.and_then(|value| text(fields, name, value, data::check_database));
    named.unwrap_or_default()
}

/// The table.
pub(super) fn table(fields: &mut Fields) -> TableName {
    let database = database(fields);
    let (name, value) = fields.required_any(&["table"]);
    let table = value.and_then(|value| text(fields, name, value, data::check_table));
    TableName { database, table: table.unwrap_or_default() }
}

/// A text that `check` does not mind.
pub(in crate::operations) fn text<E: ToString>(
    fields: &mut Fields,
    name: &str,
    value: Value,
    check: fn(&str) -> Result<(), E>,
) -> Option<String> {
    let Value::String(text) = value else {
        fields.wrong(name, "must be a string");
        return None;
    };
    match check(&text) {
        Ok(()) => Some(text),
        Err(error) => {
            fields.wrong(name, error.to_string());
            None
        }
    }
}
