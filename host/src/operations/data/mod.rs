//! Operations on databases, tables and rows. What has two names in the API is two operations that do
//! the same: `create_schema` is the older name of `create_database`.

mod create_database;
mod create_table;
mod delete;
mod describe_all;
mod describe_database;
mod describe_table;
mod description;
mod drop_database;
mod drop_table;
mod insert;
mod rows;
mod search_by_id;
mod search_by_value;
mod target;
mod update;
mod upsert;
mod write;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::with;
use crate::data::{self, Data};
use crate::dispatch::{Error, Native};
use crate::runtime::Operation;

/// Describes an operation under one of its names.
type Describe = fn(&str) -> Operation;

/// All of them.
pub(super) fn descriptions() -> Vec<Operation> {
    let each: [(&[&str], Describe); 13] = [
        (&create_database::NAMES, create_database::operation),
        (&drop_database::NAMES, drop_database::operation),
        (&["create_table"], create_table::operation),
        (&["drop_table"], drop_table::operation),
        (&["describe_all"], describe_all::operation),
        (&describe_database::NAMES, describe_database::operation),
        (&["describe_table"], describe_table::operation),
        (&["insert"], insert::operation),
        (&["update"], update::operation),
        (&["upsert"], upsert::operation),
        (&["delete"], delete::operation),
        (&search_by_id::NAMES, search_by_id::operation),
        (&search_by_value::NAMES, search_by_value::operation),
    ];
    each.iter().flat_map(|(names, operation)| names.iter().map(|name| operation(name))).collect()
}

/// All of them, as they are performed.
pub(super) fn operations(data: Data) -> Vec<(Operation, Arc<Native>)> {
    descriptions()
        .into_iter()
        .map(|operation| {
            let native = native(&data, &operation.name);
            (operation, native)
        })
        .collect()
}

fn native(data: &Data, name: &str) -> Arc<Native> {
    match name {
        "create_database" | "create_schema" => {
            with(data, |data, _, request| create_database::perform(data, request))
        }
        "drop_database" | "drop_schema" => {
            with(data, |data, _, request| drop_database::perform(data, request))
        }
        "create_table" => with(data, create_table::perform),
        "drop_table" => with(data, |data, _, request| drop_table::perform(data, request)),
        "describe_all" => with(data, |data, _, _| describe_all::perform(data)),
        "describe_database" | "describe_schema" => {
            with(data, |data, _, request| describe_database::perform(data, request))
        }
        "describe_table" => with(data, |data, _, request| describe_table::perform(data, request)),
        "insert" => with(data, insert::perform),
        "update" => with(data, update::perform),
        "upsert" => with(data, upsert::perform),
        "delete" => with(data, delete::perform),
        "search_by_id" | "search_by_hash" => {
            with(data, |data, _, request| search_by_id::perform(data, request))
        }
        _ => with(data, |data, _, request| search_by_value::perform(data, request)),
    }
}

impl From<data::Error> for Error {
    fn from(error: data::Error) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

/// The schema of a request: the keys in `properties`, of which those in `required` must be there.
fn schema(name: &str, required: &[&str], properties: Value, example: Value) -> Value {
    let mut keys = Map::from_iter([("operation".to_owned(), json!({ "const": name }))]);
    keys.extend(properties.as_object().cloned().unwrap_or_default());
    let mut whole = json!({ "operation": name });
    if let (Some(whole), Value::Object(example)) = (whole.as_object_mut(), example) {
        whole.extend(example);
    }
    let required: Vec<_> = ["operation"].iter().chain(required).collect();
    json!({ "type": "object", "required": required, "properties": keys, "examples": [whole] })
}
