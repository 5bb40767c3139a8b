//! A transaction to the bytes of a message.

use harper_wire::{Value, encode_chain};
use serde_json::Value as Json;

use super::{Change, NEXT, Part, Transaction};
use crate::data::Key;

pub(super) fn encode(transaction: &Transaction) -> Vec<u8> {
    let mut chain: Vec<Value> = transaction.parts.iter().map(part).collect();
    if let Some(Value::Map(first)) = chain.first_mut() {
        first.push(("__origin".into(), origin(transaction)));
    }
    encode_chain(&chain, NEXT)
}

fn origin(transaction: &Transaction) -> Value {
    let version = &transaction.version;
    map([
        ("user", transaction.user.as_str().into()),
        ("timestamp", milliseconds(version.timestamp)),
        ("node_name", version.node.as_str().into()),
    ])
}

/// A whole number of milliseconds is one on the wire too.
fn milliseconds(microseconds: u64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 µs, in the year 2255")]
    Value::from(microseconds as f64 / 1000.0)
}

fn part(part: &Part) -> Value {
    let (operation, fields) = match &part.change {
        Change::Rows { rows, ids, partial } => {
            let records = rows.iter().map(|row| object(row.iter())).collect();
            let fields = [("records", Value::Array(records)), ("hash_values", keys(ids))];
            (if *partial { "patch" } else { "upsert" }, fields)
        }
        // Harper's own messages have an empty list of rows too.
        Change::Deleted(ids) => {
            ("delete", [("records", Value::Array(Vec::new())), ("hash_values", keys(ids))])
        }
        Change::DefineSchema { primary_key, attributes } => {
            let attributes = attributes.iter().map(|name| {
                let is_key = primary_key.as_ref() == Some(name);
                map([
                    ("attribute", name.as_str().into()),
                    ("name", name.as_str().into()),
                    ("isPrimaryKey", is_key.into()),
                ])
            });
            let primary_key = primary_key.as_deref().map_or(Value::Null, Value::from);
            let attributes = Value::Array(attributes.collect());
            ("define_schema", [("hash_attribute", primary_key), ("attributes", attributes)])
        }
    };
    let names = [
        ("operation", operation.into()),
        ("schema", part.table.database.as_str().into()),
        ("table", part.table.table.as_str().into()),
    ];
    map(names.into_iter().chain(fields))
}

fn keys(ids: &[Key]) -> Value {
    Value::Array(ids.iter().map(|key| Json::from(key.clone()).into()).collect())
}

fn object<'r>(entries: impl Iterator<Item = (&'r String, &'r Json)>) -> Value {
    Value::Map(entries.map(|(name, value)| (name.as_str().into(), value.into())).collect())
}

fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    Value::Map(entries.into_iter().map(|(name, value)| (name.into(), value)).collect())
}
