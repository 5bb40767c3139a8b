//! What `insert`, `update` and `upsert` have in common: records, and what became of each.

use serde_json::{Value, json};

use super::super::request::Fields;
use super::target;
use crate::data::{Data, Key, Row, Write, Written};
use crate::dispatch::{Caller, Error};

/// The keys of a request, for its schema.
pub(super) fn keys() -> Value {
    target::table_keys(json!({
        "records": {
            "type": "array",
            "items": { "type": "object" },
            "description": "The records",
            // They are not the audit log's business.
            "writeOnly": true,
        },
    }))
}

/// Writes the request's records, and says which were written, and how many there are.
pub(super) async fn perform(
    data: Data,
    caller: Caller,
    request: Value,
    how: Write,
) -> Result<(Written, usize), Error> {
    let mut fields = Fields::of(request);
    let name = target::table(&mut fields);
    let rows = records(&mut fields);
    fields.check()?;

    let count = rows.len();
    Ok((data.write(&name, how, rows, &caller.username).await?, count))
}

fn records(fields: &mut Fields) -> Vec<Row> {
    let mut rows = Vec::new();
    let (label, items) = fields.list(&["records"]);
    for (n, item) in items.into_iter().enumerate() {
        match item {
            Value::Object(row) => rows.push(row),
            _ => fields.wrong(format!("{label}[{n}]"), "must be an object"),
        }
    }
    rows
}

/// Keys as they were given.
pub(super) fn shown(keys: Vec<Key>) -> Value {
    keys.into_iter().map(Value::from).collect()
}
