//! `insert`: adds records; those whose keys are there already are skipped.

use serde_json::{Value, json};

use super::schema;
use super::write::{self, shown};
use crate::data::{Data, Write};
use crate::dispatch::{Caller, Error};
use crate::runtime::Operation;

pub(super) fn operation(name: &str) -> Operation {
    let help = "Add records to a table; those whose keys are there are skipped";
    Operation::new(name, help).with_schema(schema(
        name,
        &["table", "records"],
        write::keys(),
        json!({
            "database": "dev",
            "table": "dog",
            "records": [{ "id": 8, "dog_name": "Harper", "breed_id": 346, "age": 7 }],
        }),
    ))
}

pub(super) async fn perform(data: Data, caller: Caller, request: Value) -> Result<Value, Error> {
    let (written, count) = write::perform(data, caller, request, Write::Insert).await?;
    Ok(json!({
        "message": format!("inserted {} of {count} records", written.written.len()),
        "inserted_hashes": shown(written.written),
        "skipped_hashes": shown(written.skipped),
    }))
}
