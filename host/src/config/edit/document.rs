//! Reading a whole document: what it says as JSON, and where everything stands.

use super::{
    EditError,
    source::Source,
    tree::{Kind, Tree},
};
use serde_json::{Map, Value};
use serde_yaml::{Mapping, Value as Yaml};
use std::sync::Arc;

const BOM: char = '\u{feff}';

/// A document in four forms: its text, with positions (in the text without its byte order mark), as
/// YAML says it, and as JSON with merge keys applied.
pub struct Document {
    pub(super) text: String,
    pub(super) tree: Tree,
    pub(super) yaml: Yaml,
    pub(super) json: Arc<Value>,
}

impl Document {
    /// Reads a document as a configuration reader does: aliases and merge keys (`<<`) are resolved,
    /// tags dropped, and keys that are not strings turned to strings. An empty document is null, and
    /// so is a number that JSON does not have (`.nan`, `.inf`).
    ///
    /// # Errors
    /// [`EditError::Syntax`], [`EditError::SeveralDocuments`], [`EditError::DuplicateKey`] or
    /// [`EditError::AliasBomb`].
    pub fn read(text: String) -> Result<Document, EditError> {
        let source = without_mark(&text);
        // First, because it bounds nesting and aliases and gives the better errors.
        let tree = Tree::read(source)?;
        let yaml: Yaml = serde_yaml::from_str(source.0).map_err(|error| {
            let at = error.location().map_or((1, 1), |at| (at.line(), at.column()));
            // It quotes a value that does not fit its tag, and callers who may not read it would.
            let message = match error.to_string() {
                text if text.contains("invalid value: ") => {
                    "a value is not what its tag says".to_owned()
                }
                text => text,
            };
            EditError::Syntax { line: at.0, column: at.1, message }
        })?;
        let json = to_json(&yaml).into();
        Ok(Document { text, tree, yaml, json })
    }

    /// Every byte of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it says.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// The same, for whoever keeps it longer than the text.
    pub fn shared_json(&self) -> Arc<Value> {
        self.json.clone()
    }

    /// The line where what is at a path stands, such as `a.b[0].c`; where nothing does, that of what it
    /// would be in.
    pub fn line(&self, path: &str) -> Option<usize> {
        let tree = &self.tree;
        let mut node = tree.root?;
        let mut line = None;
        for step in path.split(['.', '[']) {
            let mut at = tree.node(node);
            while let Kind::Alias(target) = at.kind {
                at = tree.node(target);
            }
            let (first, next) = match (&at.kind, step.strip_suffix(']')) {
                (Kind::List { items, .. }, Some(number)) => {
                    let Some(item) = items.get(number.parse::<usize>().ok()?) else { break };
                    (tree.node(item.node).first(), item.node)
                }
                (Kind::Map { entries, .. }, None) => {
                    let Some(entry) = tree.entry(entries, step) else { break };
                    (tree.node(entry.key).first(), entry.value)
                }
                _ => break,
            };
            (line, node) = (Some(self.source().line(first)), next);
        }
        line
    }

    pub(super) fn source(&self) -> Source<'_> {
        without_mark(&self.text)
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Document").field(&self.text.len()).finish_non_exhaustive()
    }
}

fn without_mark(text: &str) -> Source<'_> {
    Source(text.strip_prefix(BOM).unwrap_or(text))
}

/// The YAML as a configuration reader sees it: merge keys applied, tags dropped, keys as strings.
fn to_json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(bool) => (*bool).into(),
        Yaml::Number(number) => serde_json::to_value(number).unwrap_or_default(),
        Yaml::String(text) => text.as_str().into(),
        Yaml::Sequence(items) => items.iter().map(to_json).collect(),
        Yaml::Tagged(tagged) => to_json(&tagged.value),
        Yaml::Mapping(entries) => {
            let mut map = Map::new();
            let mut merged = Vec::new();
            for (key, value) in entries {
                let key = key_text(key);
                match to_json(value) {
                    Value::Object(from) if key == "<<" => merged.push(from),
                    Value::Array(from) if key == "<<" && from.iter().all(Value::is_object) => {
                        merged.extend(from.into_iter().filter_map(|item| match item {
                            Value::Object(map) => Some(map),
                            _ => None,
                        }));
                    }
                    value => {
                        map.insert(key, value);
                    }
                }
            }
            for (key, value) in merged.into_iter().flatten() {
                map.entry(key).or_insert(value);
            }
            Value::Object(map)
        }
    }
}

/// A mapping key as a string.
fn key_text(key: &Yaml) -> String {
    match to_json(key) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// What stands at `path`; null when nothing does.
pub(super) fn at<'v>(json: &'v Value, path: &[&str]) -> &'v Value {
    path.iter().fold(json, |value, key| value.get(key).unwrap_or(&Value::Null))
}

/// Whether two documents say the same, tags included, but for what stands at `path`. What is no
/// mapping on the way there is taken for an empty one.
pub(super) fn is_same_beside(old: &Yaml, new: &Yaml, path: &[&str]) -> bool {
    let (old, new) = match (old, new) {
        (Yaml::Tagged(old), Yaml::Tagged(new)) => {
            return old.tag == new.tag && is_same_beside(&old.value, &new.value, path);
        }
        (Yaml::Tagged(_), _) | (_, Yaml::Tagged(_)) => return false,
        untagged => untagged,
    };
    let Some((name, path)) = path.split_first() else { return true };
    let (empty, text) = (Mapping::new(), Yaml::from(*name));
    let [old, new] = [old, new].map(|yaml| yaml.as_mapping().unwrap_or(&empty));
    let [key, new_key] =
        [old, new].map(|map| map.keys().find(|key| key_text(key) == *name).unwrap_or(&text));
    let beside = |map: &Mapping| map.len() - usize::from(map.contains_key(key));
    key == new_key
        && beside(old) == beside(new)
        && old.iter().all(|(other, value)| other == key || new.get(other) == Some(value))
        && is_same_beside(
            old.get(key).unwrap_or(&Yaml::Null),
            new.get(key).unwrap_or(&Yaml::Null),
            path,
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_what_stands_at_a_path() {
        let text = "a:\n  b: 1\nc: &c\n- d: 2\n  e:\n  - x\n  - y\n- f: {g: [7,\n  8]}\nh: *c\n";
        let document = Document::read(text.to_owned()).unwrap();
        for (path, line) in [
            ("a", 1),
            ("a.b", 2),
            ("a.z", 1),
            ("a.b.z", 2),
            ("c[0].d", 4),
            ("c[0].e[1]", 7),
            ("c[1].f.g[1]", 9),
            ("c[7]", 3),
            ("h[0].d", 4),
        ] {
            assert_eq!(document.line(path), Some(line), "{path}");
        }
        assert_eq!(document.line("z"), None);
        assert_eq!(Document::read(String::new()).unwrap().line("a"), None);
    }

    #[test]
    fn what_stands_beside_a_path_is_compared() {
        let same = |old: &str, new: &str| {
            let [old, new] = [old, new].map(|text| serde_yaml::from_str(text).unwrap());
            is_same_beside(&old, &new, &["a", "b"])
        };
        for (old, new) in [
            ("{a: {b: 1, c: 2}, d: 3}", "{a: {b: [4], c: 2}, d: 3}"),
            ("{a: {b: 1}}", "{a: {}}"),
            ("{d: 3}", "{a: {b: 1}, d: 3}"),
            ("", "{a: {b: 1}}"),
            ("{a: null}", "{a: {b: 1}}"),
            ("{a: !t {b: 1}}", "{a: !t {b: 2}}"),
            ("{a: {b: !t 1}}", "{a: {b: !t 2}}"),
        ] {
            assert!(same(old, new) && same(new, old), "{old} {new}");
        }
        for (old, new) in [
            ("{a: {b: 1, c: 2}}", "{a: {b: 1, c: 3}}"),
            ("{a: {b: 1, c: 2}}", "{a: {b: 1}}"),
            ("{a: {b: 1, c: 2}}", "{a: {b: 1, d: 2}}"),
            ("{a: {b: 1}, d: 3}", "{a: {b: 1}, d: 4}"),
            ("{a: {b: 1}, d: 3}", "{a: {b: 1}, d: !t 3}"),
            ("{a: {b: 1}, d: 3}", "{a: {b: 1}, e: 3}"),
            ("{a: !t {b: 1}}", "{a: {b: 1}}"),
            ("{a: !t {b: 1}}", "{a: !u {b: 1}}"),
            ("{a: {b: !t 1}}", "{a: {b: 1}}"),
            ("!t {a: {b: 1}}", "{a: {b: 1}}"),
            ("{1: x, a: {b: 1}}", "{'1': x, a: {b: 1}}"),
        ] {
            assert!(!same(old, new) && !same(new, old), "{old} {new}");
        }
        let [one, other] = ["{1: x}", "{'1': x}"].map(|text| serde_yaml::from_str(text).unwrap());
        assert!(!is_same_beside(&one, &other, &["1"]), "a key has become another one");
    }
}
