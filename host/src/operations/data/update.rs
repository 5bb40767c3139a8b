//! `update`: changes attributes of records that are there; what is not named stays.

use serde_json::{Value, json};

use super::schema;
use super::write::{self, shown};
use crate::data::{Data, Write};
use crate::dispatch::{Caller, Error};
use crate::runtime::Operation;

pub(super) fn operation(name: &str) -> Operation {
    let help = "Change attributes of records; those that are not there are skipped";
    Operation::new(name, help).with_schema(schema(
        name,
        &["table", "records"],
        write::keys(),
        json!({
            "database": "dev",
            "table": "dog",
            "records": [{ "id": 1, "weight_lbs": 55 }, { "id": 2, "owner": "Kyle B" }],
        }),
    ))
}

pub(super) async fn perform(data: Data, caller: Caller, request: Value) -> Result<Value, Error> {
    let (written, count) = write::perform(data, caller, request, Write::Update).await?;
    Ok(json!({
        "message": format!("updated {} of {count} records", written.written.len()),
        "update_hashes": shown(written.written),
        "skipped_hashes": shown(written.skipped),
    }))
}
