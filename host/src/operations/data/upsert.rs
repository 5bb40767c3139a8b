//! `upsert`: changes attributes of records, and adds those that are not there.

use serde_json::{Value, json};

use super::schema;
use super::write::{self, shown};
use crate::data::{Data, Write};
use crate::dispatch::{Caller, Error};
use crate::runtime::Operation;

pub(super) fn operation(name: &str) -> Operation {
    let help = "Change attributes of records, and add those that are not there";
    Operation::new(name, help).with_schema(schema(
        name,
        &["table", "records"],
        write::keys(),
        json!({
            "database": "dev",
            "table": "dog",
            "records": [{ "id": 8, "weight_lbs": 155 }, { "name": "Bill", "breed": "Pit Mix" }],
        }),
    ))
}

pub(super) async fn perform(data: Data, caller: Caller, request: Value) -> Result<Value, Error> {
    let (written, count) = write::perform(data, caller, request, Write::Upsert).await?;
    Ok(json!({
        "message": format!("upserted {} of {count} records", written.written.len()),
        "upserted_hashes": shown(written.written),
    }))
}
