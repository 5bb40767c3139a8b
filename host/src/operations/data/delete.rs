//! `delete`: removes records by their keys.

use serde_json::{Value, json};

use super::super::request::Fields;
use super::write::shown;
use super::{rows, schema, target};
use crate::data::Data;
use crate::dispatch::{Caller, Error};
use crate::runtime::Operation;

pub(super) fn operation(name: &str) -> Operation {
    Operation::new(name, "Remove records by their keys")
        .with_warning("The records are gone.")
        .with_schema(schema(
            name,
            &["table", "ids"],
            target::table_keys(rows::id_keys()),
            json!({ "database": "dev", "table": "dog", "ids": [1, 2] }),
        ))
}

pub(super) async fn perform(data: Data, caller: Caller, request: Value) -> Result<Value, Error> {
    let mut fields = Fields::of(request);
    let name = target::table(&mut fields);
    let keys = rows::ids(&mut fields);
    fields.check()?;

    let count = keys.len();
    let gone = data.delete(&name, keys, &caller.username).await?;
    let records = if count == 1 { "record" } else { "records" };
    Ok(json!({
        "message": format!("{} of {count} {records} successfully deleted", gone.deleted.len()),
        "deleted_hashes": shown(gone.deleted),
        "skipped_hashes": shown(gone.skipped),
    }))
}
