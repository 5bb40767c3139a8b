//! `search_by_id`: records by their keys, in the order that these are given.

use serde_json::{Value, json};

use super::super::request::Fields;
use super::{rows, schema, target};
use crate::data::Data;
use crate::dispatch::{Error, Reply};
use crate::runtime::Operation;

pub(super) const NAMES: [&str; 2] = ["search_by_id", "search_by_hash"];

pub(super) fn operation(name: &str) -> Operation {
    let mut keys = rows::id_keys();
    keys["get_attributes"] = rows::wanted_key();
    Operation::new(name, "Find records by their keys").read_only().with_schema(schema(
        name,
        &["table", "ids", "get_attributes"],
        target::table_keys(keys),
        json!({
            "database": "dev",
            "table": "dog",
            "ids": [1, 2],
            "get_attributes": ["dog_name", "breed_id"],
        }),
    ))
}

pub(super) async fn perform(data: Data, request: Value) -> Result<Reply, Error> {
    let mut fields = Fields::of(request);
    let name = target::table(&mut fields);
    let keys = rows::ids(&mut fields);
    let wanted = rows::wanted(&mut fields);
    fields.check()?;
    wanted.check(&data, &name)?;

    rows::reply(data.look_up(&name, keys)?, wanted).await
}
