//! Replaces one value in a hand-kept YAML file and touches no other byte.
//!
//! [`Document::set`] finds the value by the positions that the parser gives (`build`, `tree`,
//! `locate`), compares its items with the new ones so that those which stay keep their text (`diff`),
//! and cuts the new text in (`plan`, `block`, `flow`, `emit`). Then it reads the result with another
//! parser (`document`): if that is not the old document with just this value changed, nothing is done.

mod block;
mod build;
mod diff;
mod document;
mod emit;
mod error;
mod flow;
mod locate;
mod plan;
mod source;
#[cfg(test)]
mod tests;
mod tree;

pub use document::Document;
pub use error::EditError;

use serde_json::Value;

/// How deep a new value may nest.
const DEPTH_LIMIT: usize = 32;

impl Document {
    /// Replaces the value at `path` (mapping keys from the root) with `value`: a list of scalars or
    /// objects, null, or a scalar. Returns the new document, none when nothing changes.
    ///
    /// Every byte outside the changed value stays. An item of a list that stays keeps its text, a new
    /// one is written as its siblings are. The comment on a removed item's own line goes with it;
    /// comment lines and blank lines above it stay. When a flow list becomes null, the comments
    /// between its brackets go.
    ///
    /// An empty list is written as null. Null, `~`, `[]`, nothing and a missing key are the same: a
    /// change between them is none. Where one of them becomes a list, it is a block list below a
    /// block mapping and a flow list in a flow mapping; missing parents are made.
    ///
    /// # Errors
    /// [`EditError`] says what stands in the way; the file needs no repair then, nothing was changed.
    pub fn set(&self, path: &[&str], value: &Value) -> Result<Option<Document>, EditError> {
        let unsupported = |reason| EditError::Unsupported { path: dotted(path), reason };
        if path.is_empty() {
            return Err(unsupported("the path is empty"));
        }
        if value.is_object() {
            return Err(unsupported("a mapping cannot be written as a whole"));
        }
        if !is_shallow(value, DEPTH_LIMIT) {
            return Err(unsupported("the value nests too deeply"));
        }
        let value = null_if_empty(value);
        if null_if_empty(document::at(&self.json, path)) == value {
            return Ok(None);
        }

        let source = self.source();
        let target = locate::locate(source, self, path)?;
        let plan = plan::plan(source, self, target, path, value)?;
        plan.check_anchors(source, self, path)?;
        let bom = self.text.strip_suffix(source.0).unwrap_or_default();
        let edited = format!("{bom}{}", plan.apply(source));
        // It has `value` at `path`, and all else is as it was.
        Document::read(edited)
            .ok()
            .filter(|new| document::at(&new.json, path) == value)
            .filter(|new| document::is_same_beside(&self.yaml, &new.yaml, path))
            .map(Some)
            .ok_or_else(|| EditError::Unsafe { path: dotted(path) })
    }
}

fn null_if_empty(value: &Value) -> &Value {
    match value {
        Value::Array(items) if items.is_empty() => &Value::Null,
        value => value,
    }
}

fn is_shallow(value: &Value, depth: usize) -> bool {
    match value {
        _ if depth == 0 => false,
        Value::Array(items) => items.iter().all(|item| is_shallow(item, depth - 1)),
        Value::Object(map) => map.values().all(|value| is_shallow(value, depth - 1)),
        _ => true,
    }
}

/// A path as messages show it.
fn dotted(path: &[&str]) -> String {
    match path {
        [] => "the top level".to_owned(),
        path => path.join("."),
    }
}
