//! What an operation's JSON schema says of its keys.

use harper_host::Operation;
use serde_json::{Map, Value};

/// An operation, as the command line sees it.
#[derive(Clone, Copy)]
pub(super) struct Description<'a>(pub &'a Operation);

/// A key, or a part of its value.
#[derive(Debug, PartialEq)]
pub(super) struct Key {
    /// Such as `routes`, and `routes[].host` for a part.
    pub label: String,
    /// Whether it must be there.
    pub required: bool,
    /// Whether it is an older name of another one.
    pub deprecated: bool,
    /// What its values are, as far as the schema tells: `hub or leaf`, `array of objects`.
    pub kind: String,
    /// What it means.
    pub meaning: String,
}

impl<'a> Description<'a> {
    fn properties(self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        properties(&self.0.schema).filter(|(name, _)| *name != "operation")
    }

    /// The names of its keys.
    pub(super) fn keys(self) -> impl Iterator<Item = &'a str> {
        self.properties().map(|(name, _)| name)
    }

    /// Whether it has a key of that name.
    pub(super) fn has(self, name: &str) -> bool {
        self.keys().any(|key| key == name)
    }

    /// Whether the key is an older name of another one, and may stand for it.
    pub(super) fn is_deprecated(self, name: &str) -> bool {
        self.properties().any(|(key, schema)| key == name && is_deprecated(schema))
    }

    /// Whether the values of this key are strings and nothing else.
    pub(super) fn is_text(self, name: &str) -> bool {
        self.properties().any(|(key, schema)| key == name && schema["type"] == "string")
    }

    /// Whether keys that the schema does not name may be given: it says so, or names none at all.
    pub(super) fn takes_others(self) -> bool {
        match self.0.schema.get("additionalProperties") {
            None => self.0.schema.get("properties").is_none(),
            Some(others) => *others != Value::Bool(false),
        }
    }

    /// What other keys mean, where the schema tells.
    pub(super) fn others(self) -> Option<&'a str> {
        self.0.schema.get("additionalProperties")?.get("description")?.as_str()
    }

    /// Its keys and the parts of their values, in the order of the schema.
    pub(super) fn rows(self) -> Vec<Key> {
        let mut rows = Vec::new();
        for (name, schema) in self.properties() {
            collect(name.to_owned(), is_required(&self.0.schema, name), schema, &mut rows);
        }
        rows
    }

    /// Its keys with whether they are required.
    pub(super) fn required(self) -> impl Iterator<Item = (&'a str, bool)> {
        self.keys().map(move |name| (name, is_required(&self.0.schema, name)))
    }

    /// A whole request, where the schema has one.
    pub(super) fn example(self) -> Option<&'a Map<String, Value>> {
        self.0.schema.get("examples")?.get(0)?.as_object()
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema))
}

fn is_required(schema: &Value, name: &str) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    required.is_some_and(|required| required.iter().any(|one| one == name))
}

fn is_deprecated(schema: &Value) -> bool {
    schema["deprecated"] == true
}

fn collect(label: String, required: bool, schema: &Value, rows: &mut Vec<Key>) {
    let meaning = schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, deprecated) = (kind(schema), is_deprecated(schema));
    rows.push(Key { label: label.clone(), required, deprecated, kind, meaning });
    let (parts, path) = match schema.get("items") {
        Some(items) => (items, format!("{label}[]")),
        None => (schema, label),
    };
    for (name, part) in properties(parts) {
        collect(format!("{path}.{name}"), is_required(parts, name), part, rows);
    }
}

fn kind(schema: &Value) -> String {
    let one_of = |schemas: &Value, each: fn(&Value) -> String| {
        let mut kinds: Vec<_> = schemas.as_array().into_iter().flatten().map(each).collect();
        kinds.dedup();
        kinds.join(" or ")
    };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Some(values) = schema.get("enum") {
        return one_of(values, text);
    }
    if let Some(schemas) = schema.get("anyOf").or_else(|| schema.get("oneOf")) {
        return one_of(schemas, kind);
    }
    match (schema.get("type").map(text), schema.get("items")) {
        (Some(array), Some(items)) if array == "array" && !kind(items).is_empty() => {
            format!("array of {}s", kind(items))
        }
        (Some(boolean), _) if boolean == "boolean" => "true or false".to_owned(),
        (kind, _) => kind.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_and_their_parts() {
        let operation = Operation::new("o", "").with_schema(json!({
            "required": ["operation", "a"],
            "properties": {
                "operation": { "const": "o" },
                "a": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["p"],
                        "properties": {
                            "p": { "anyOf": [{ "type": "integer" }, { "type": "string" }] },
                            "q": { "type": "boolean", "description": "Q" },
                        },
                    },
                },
                "b": { "enum": ["x", 1] },
                "c": { "type": "string", "deprecated": true },
            },
        }));
        let row = |label: &str, required, kind: &str, meaning: &str| {
            let (label, kind, meaning) = (label.into(), kind.into(), meaning.into());
            Key { label, required, deprecated: false, kind, meaning }
        };
        let older = Key { deprecated: true, ..row("c", false, "string", "") };
        let expected = [
            row("a", true, "array of objects", ""),
            row("a[].p", true, "integer or string", ""),
            row("a[].q", false, "true or false", "Q"),
            row("b", false, "x or 1", ""),
            older,
        ];
        assert_eq!(Description(&operation).rows(), expected);
    }

    #[test]
    fn other_keys() {
        for (schema, takes_others) in [
            (json!({ "type": "object" }), true),
            (json!({ "properties": {} }), false),
            (json!({ "properties": {}, "additionalProperties": true }), true),
            (json!({ "properties": {}, "additionalProperties": { "type": "string" } }), true),
            (json!({ "additionalProperties": false }), false),
        ] {
            let operation = Operation::new("o", "").with_schema(schema.clone());
            assert_eq!(Description(&operation).takes_others(), takes_others, "{schema}");
        }
    }
}
