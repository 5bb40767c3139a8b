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
use tokio::sync::Semaphore;

use super::with;
use crate::data::{self, Data};
use crate::dispatch::{Error, Native};
use crate::runtime::Operation;

/// Searches at the same time. Each may keep a snapshot, and what else is written meanwhile makes the
/// file grow.
const SEARCHES: usize = 32;

/// What they work on.
#[derive(Clone)]
struct OnData {
    data: Data,
    /// A place for each search that may take its time.
    places: Arc<Semaphore>,
}

/// All of them.
pub(super) fn descriptions() -> Vec<Operation> {
    let each: [(&[&str], fn(&str) -> Operation); 13] = [
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
    let on = &OnData { data, places: Arc::new(Semaphore::new(SEARCHES)) };
    descriptions()
        .into_iter()
        .map(|operation| {
            let native = native(on, &operation.name);
            (operation, native)
        })
        .collect()
}

fn native(on: &OnData, name: &str) -> Arc<Native> {
    match name {
        "create_database" | "create_schema" => {
            with(on, |on, _, request| create_database::perform(on.data, request))
        }
        "drop_database" | "drop_schema" => {
            with(on, |on, _, request| drop_database::perform(on.data, request))
        }
        "create_table" => with(on, |on, _, request| create_table::perform(on.data, request)),
        "drop_table" => with(on, |on, _, request| drop_table::perform(on.data, request)),
        "describe_all" => with(on, |on, _, _| describe_all::perform(on.data)),
        "describe_database" | "describe_schema" => {
            with(on, |on, _, request| describe_database::perform(on.data, request))
        }
        "describe_table" => with(on, |on, _, request| describe_table::perform(on.data, request)),
        "insert" => with(on, |on, caller, request| insert::perform(on.data, caller, request)),
        "update" => with(on, |on, caller, request| update::perform(on.data, caller, request)),
        "upsert" => with(on, |on, caller, request| upsert::perform(on.data, caller, request)),
        "delete" => with(on, |on, caller, request| delete::perform(on.data, caller, request)),
        "search_by_id" | "search_by_hash" => {
            with(on, |on, _, request| search_by_id::perform(on, request))
        }
        _ => with(on, |on, _, request| search_by_value::perform(on, request)),
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
