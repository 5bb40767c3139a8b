//! `search_by_id`: records by their keys, in the order that these are given.

use futures_util::stream;
use serde_json::{Value, json};

use super::super::request::Fields;
use super::{rows, schema, target};
use crate::data::Data;
use crate::dispatch::{Error, Reply};
use crate::runtime::Operation;

pub(super) const NAMES: [&str; 2] = ["search_by_id", "search_by_hash"];

/// How many are read at a time, in memory and from one state of the table; a record may have a
/// megabyte.
const AT_A_TIME: usize = 32;

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

    let state = (data, name, keys.into_iter());
    let found = stream::try_unfold(state, |(data, name, mut keys)| async move {
        let some: Vec<_> = keys.by_ref().take(AT_A_TIME).collect();
        if some.is_empty() {
            return Ok(None);
        }
        let rows = data.get(&name, some).await?;
        Ok(Some((rows, (data, name, keys))))
    });
    rows::reply(found, wanted).await
}
