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
pub(super) mod target;
mod update;
mod upsert;
mod write;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::with;
use crate::data::{self, Data};
use crate::dispatch::{Error, Native};
use crate::runtime::Operation;

/// An operation under all of its names: how it is described under one, and performed.
type Known = (&'static [&'static str], fn(&str) -> Operation, fn(&Data) -> Arc<Native>);

const ALL: [Known; 13] = [
    (&create_database::NAMES, create_database::operation, |data| {
        with(data, |data, _, request| create_database::perform(data, request))
    }),
    (&drop_database::NAMES, drop_database::operation, |data| {
        with(data, |data, _, request| drop_database::perform(data, request))
    }),
    (&["create_table"], create_table::operation, |data| with(data, create_table::perform)),
    (&["drop_table"], drop_table::operation, |data| {
        with(data, |data, _, request| drop_table::perform(data, request))
    }),
    (&["describe_all"], describe_all::operation, |data| {
        with(data, |data, _, _| describe_all::perform(data))
    }),
    (&describe_database::NAMES, describe_database::operation, |data| {
        with(data, |data, _, request| describe_database::perform(data, request))
    }),
    (&["describe_table"], describe_table::operation, |data| {
        with(data, |data, _, request| describe_table::perform(data, request))
    }),
    (&["insert"], insert::operation, |data| with(data, insert::perform)),
    (&["update"], update::operation, |data| with(data, update::perform)),
    (&["upsert"], upsert::operation, |data| with(data, upsert::perform)),
    (&["delete"], delete::operation, |data| with(data, delete::perform)),
    (&search_by_id::NAMES, search_by_id::operation, |data| {
        with(data, |data, _, request| search_by_id::perform(data, request))
    }),
    (&search_by_value::NAMES, search_by_value::operation, |data| {
        with(data, |data, _, request| search_by_value::perform(data, request))
    }),
];

/// All of them.
pub(super) fn descriptions() -> Vec<Operation> {
    let described = |(names, operation, _): Known| names.iter().map(move |name| operation(name));
    ALL.into_iter().flat_map(described).collect()
}

/// All of them, as they are performed.
pub(super) fn operations(data: Data) -> Vec<(Operation, Arc<Native>)> {
    let performed = |(names, operation, native): Known| {
        names.iter().map(move |name| (operation(name), native)).collect::<Vec<_>>()
    };
    let all = ALL.into_iter().flat_map(performed);
    all.map(|(operation, native)| (operation, native(&data))).collect()
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
