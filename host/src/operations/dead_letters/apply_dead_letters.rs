//! `apply_dead_letters`: applies once more what could not be applied.

use serde_json::{Value, json};

use super::super::not_enabled;
use super::super::request::Fields;
use super::{counted, ids_key, schema, which};
use crate::dispatch::Error;
use crate::flow::{Applied, DeadLetters};
use crate::runtime::Operation;

pub(super) fn operation() -> Operation {
    let help = "Apply once more what could not be applied, all of it or some";
    let example = json!({ "node_name": "node2", "database": "dev", "table": "dog" });
    Operation::new("apply_dead_letters", help).with_schema(schema(
        "apply_dead_letters",
        ids_key(),
        example,
    ))
}

pub(super) async fn perform(letters: Option<DeadLetters>, request: Value) -> Result<Value, Error> {
    let letters = letters.ok_or_else(not_enabled)?;
    let mut fields = Fields::of(request);
    let which = which(&mut fields);
    fields.check()?;
    Ok(shown(letters.apply(which).await?))
}

fn shown(applied: Applied) -> Value {
    let Applied { messages, rows, left, stay, .. } = applied;
    let stays: Value =
        stay.into_iter().map(|one| json!({ "id": one.number, "reason": one.reason })).collect();
    let all = counted(messages + left);
    json!({
        "message": format!("applied {messages} of {all}"),
        "applied": messages,
        "rows": rows,
        "left": left,
        "dead_letters": stays,
    })
}
