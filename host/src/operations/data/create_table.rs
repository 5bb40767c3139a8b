//! `create_table`: a table, and its database when that is not there.

use serde_json::{Value, json};

use super::super::request::Fields;
use super::{schema, target};
use crate::data::{self, Data};
use crate::dispatch::{Caller, Error};
use crate::runtime::Operation;

pub(super) fn operation(name: &str) -> Operation {
    Operation::new(name, "Create a table, and its database if there is none").with_schema(schema(
        name,
        &["table", "primary_key"],
        target::table_keys(json!({
            "primary_key": {
                "type": "string",
                "description": "The attribute that is the key of each record",
            },
            "hash_attribute": target::older_text("primary_key"),
            "attributes": {
                "type": "array",
                "description": "Attributes that are known beforehand; others are learnt from records",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": { "name": { "type": "string", "description": "Its name" } },
                },
            },
        })),
        json!({ "database": "dev", "table": "dog", "primary_key": "id" }),
    ))
}

pub(super) async fn perform(data: Data, caller: Caller, request: Value) -> Result<Value, Error> {
    let mut fields = Fields::of(request);
    let name = target::table(&mut fields);
    let (label, key) = fields.required_any(&["primary_key", "hash_attribute"]);
    let key = key.and_then(|key| target::text(&mut fields, label, key, data::check_attribute));
    let attributes = attributes(&mut fields);
    if fields.any(&["expiration"]).1.is_some() {
        fields.wrong("expiration", "is not supported: records stay until they are deleted");
    }
    fields.check()?;

    data.create_table(&name, &key.unwrap_or_default(), &attributes, &caller.username).await?;
    let message = format!("table '{}.{}' successfully created.", name.database, name.table);
    Ok(json!({ "message": message }))
}

/// The names in `attributes`.
fn attributes(fields: &mut Fields) -> Vec<String> {
    let items = match fields.any(&["attributes"]).1 {
        None => return Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => {
            fields.wrong("attributes", "must be an array");
            return Vec::new();
        }
    };
    let mut names = Vec::new();
    for (n, item) in items.into_iter().enumerate() {
        let label = format!("attributes[{n}].name");
        match item {
            Value::Object(mut item) => match item.remove("name").unwrap_or_default() {
                Value::Null => fields.wrong(label, "is required"),
                name => {
                    names.extend(target::text(fields, &label, name, data::check_attribute));
                }
            },
            _ => fields.wrong(format!("attributes[{n}]"), "must be an object"),
        }
    }
    names
}
