//! The document's own requests and replies, and how ours compare with them.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::Result;

/// What the document shows for an operation.
pub(crate) struct Example {
    pub(crate) request: Value,
    pub(crate) reply: Value,
}

/// The document's example, with names of this cluster's nodes in place of its own.
pub(crate) fn example(operation: &str, names: &[(&str, &str)]) -> Result<Example> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(operation);
    let read = |file: &str| -> Result<Value> {
        let mut text = fs::read_to_string(golden.join("document-example").join(file))?;
        for (theirs, ours) in names {
            text = text.replace(theirs, ours);
        }
        Ok(serde_json::from_str(&text)?)
    };
    Ok(Example { request: read("request.json")?, reply: read("reply.json")? })
}

/// Whether a reply has the document's keys everywhere, with values of the same kinds. Each item of a
/// list is as the first of the document's.
pub(crate) fn is_like(reply: &Value, documents: &Value) -> bool {
    match (reply, documents) {
        (Value::Object(reply), Value::Object(documents)) => {
            reply.len() == documents.len()
                && reply.iter().all(|(key, value)| {
                    documents.get(key).is_some_and(|documents| is_like(value, documents))
                })
        }
        (Value::Array(reply), Value::Array(documents)) => {
            documents.first().is_none_or(|one| reply.iter().all(|item| is_like(item, one)))
        }
        // Our golden case masks what differs each time.
        (Value::Number(_), Value::String(mask)) => mask == "<ms>",
        (reply, documents) => std::mem::discriminant(reply) == std::mem::discriminant(documents),
    }
}
