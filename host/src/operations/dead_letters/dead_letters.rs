//! `dead_letters`: what came from other nodes and could not be applied.

use serde_json::{Value, json};

use super::super::request::Fields;
use super::super::{iso, not_enabled};
use super::{schema, which};
use crate::data::DeadLetter;
use crate::dispatch::Error;
use crate::flow::DeadLetters;
use crate::runtime::Operation;

/// How many are shown where no number is given, and at most.
const SHOWN: u64 = 100;
const MOST: u64 = 1000;

pub(super) fn operation() -> Operation {
    let help = "List what came from other nodes and could not be applied, the newest first";
    let limit = json!({
        "limit": {
            "type": "integer",
            "minimum": 1,
            "maximum": MOST,
            "description": format!("How many are listed; {SHOWN} by default"),
        },
    });
    let example = json!({ "node_name": "node2", "limit": 10 });
    Operation::new("dead_letters", help).read_only().with_schema(schema(
        "dead_letters",
        limit,
        example,
    ))
}

pub(super) async fn perform(letters: Option<DeadLetters>, request: Value) -> Result<Value, Error> {
    let letters = letters.ok_or_else(not_enabled)?;
    let mut fields = Fields::of(request);
    let which = which(&mut fields);
    let limit = fields.count("limit", 1).unwrap_or(SHOWN);
    if limit > MOST {
        fields.wrong("limit", format_args!("must be less than or equal to {MOST}"));
    }
    fields.check()?;

    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let listed = letters.list(which, most).await?;
    let shown: Value = listed.letters.into_iter().map(shown).collect();
    Ok(json!({ "total": listed.total, "dead_letters": shown }))
}

/// Without its body, which may be anything.
fn shown((id, letter, bytes): (u64, DeadLetter, u64)) -> Value {
    let (database, table) = letter.table.map(|table| (table.database, table.table)).unzip();
    json!({
        "id": id,
        "node_name": letter.source,
        "database": database,
        "table": table,
        "sequence": letter.sequence,
        "time": iso(letter.time),
        "bytes": bytes,
        "reason": letter.reason,
    })
}
