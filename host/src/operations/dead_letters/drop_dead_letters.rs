//! `drop_dead_letters`: drops what could not be applied.

use serde_json::{Value, json};

use super::super::not_enabled;
use super::super::request::Fields;
use super::{counted, ids_key, schema, which};
use crate::dispatch::Error;
use crate::flow::DeadLetters;
use crate::runtime::Operation;

pub(super) fn operation() -> Operation {
    let help = "Drop what could not be applied: what came from a node, or some by id";
    let example = json!({ "node_name": "node2", "database": "dev", "table": "dog" });
    Operation::new("drop_dead_letters", help)
        .with_warning("The changes in these messages never get into this node's tables.")
        .with_schema(schema("drop_dead_letters", ids_key(), example))
}

pub(super) async fn perform(letters: Option<DeadLetters>, request: Value) -> Result<Value, Error> {
    let letters = letters.ok_or_else(not_enabled)?;
    let mut fields = Fields::of(request);
    let which = which(&mut fields);
    // Not by a slip in the name of a key.
    if which.source.is_none() && which.numbers.is_none() {
        fields.wrong("node_name", "or 'ids' is required");
    }
    fields.check()?;

    let dropped = letters.remove(which).await?;
    Ok(json!({ "message": format!("dropped {}", counted(dropped)), "dropped": dropped }))
}
