//! Reading a whole document: what it says as JSON, and where everything stands.

use super::{EditError, source::Source, tree::Tree};
use serde_json::{Map, Value};
use serde_yaml::Value as Yaml;

/// A document in three forms: with positions, as YAML says it, and as JSON with merge keys applied.
pub(super) struct Document {
    pub tree: Tree,
    pub yaml: Yaml,
    pub json: Value,
}

impl Document {
    pub fn read(source: Source) -> Result<Document, EditError> {
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
        let json = to_json(&yaml);
        Ok(Document { tree, yaml, json })
    }
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

/// Puts null at `path`, through tags, and makes the mappings that are missing.
pub(super) fn put_null(yaml: &mut Yaml, path: &[&str]) {
    let mut place = untagged(yaml);
    for name in path {
        if !place.is_mapping() {
            *place = Yaml::Mapping(Default::default());
        }
        let Yaml::Mapping(map) = place else { return };
        let key = map.keys().find(|key| key_text(key) == *name).cloned();
        let key = key.unwrap_or_else(|| Yaml::from(*name));
        place = untagged(map.entry(key).or_insert(Yaml::Null));
    }
    *place = Yaml::Null;
}

fn untagged(mut yaml: &mut Yaml) -> &mut Yaml {
    while let Yaml::Tagged(tagged) = yaml {
        yaml = &mut tagged.value;
    }
    yaml
}
