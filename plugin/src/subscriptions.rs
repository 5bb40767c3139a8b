//! What a request says of the tables that two nodes are to share.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::nodes::{LONGEST_NAME, TableKey, is_node_name};
use crate::start_time::is_start_time;
use crate::validate::Violations;

/// The most subscriptions of one request. Each may take a call to a node's streams.
pub const MOST: usize = 5000;

/// Longest name of a database or a table, in bytes: both are tokens of subjects.
const LONGEST_TABLE: usize = 250;

/// The database that is nobody else's.
const SYSTEM: &str = "system";

/// Names that JavaScript would take for something else than a key.
const NO_KEYS: [&str; 3] = ["__proto__", "constructor", "prototype"];

/// A subscription as it is asked for, seen from the node whose record it goes into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The database.
    pub schema: String,
    /// The table.
    pub table: String,
    /// Whether local transactions go to the remote table.
    pub publish: bool,
    /// Whether remote transactions come to the local one.
    pub subscribe: bool,
    /// From when on, in either direction; from now without.
    pub start_time: Option<String>,
}

impl Wanted {
    /// Which table it is of.
    pub fn key(&self) -> TableKey<'_> {
        (&self.schema, &self.table)
    }

    /// As the caller of an operation said it.
    pub fn shown(&self) -> Value {
        let mut shown = json!({
            "schema": self.schema,
            "table": self.table,
            "subscribe": self.subscribe,
            "publish": self.publish,
        });
        if let Some(time) = &self.start_time {
            shown["start_time"] = time.as_str().into();
        }
        shown
    }
}

/// What an operation allows.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// The database where none is named; none when one has to be.
    pub default_schema: Option<&'static str>,
    /// Whether a subscription has to publish or subscribe.
    pub must_flow: bool,
}

/// The rule that a subscription breaks which does neither, where it would be a new one.
pub const MUST_FLOW: &str = "must set publish or subscribe to true";

/// Reads `subscriptions` of `object`, which the caller knows by the label `at`.
pub fn read(
    object: &Map<String, Value>,
    at: &str,
    form: Form,
    violations: &mut Violations,
) -> Vec<Wanted> {
    let Some(value) = violations.required_at(object, "subscriptions", at) else {
        return Vec::new();
    };
    let Some(items) = value.as_array() else {
        violations.add(at, "must be an array");
        return Vec::new();
    };
    if items.len() > MOST {
        violations.add(at, format_args!("must have at most {MOST} items"));
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut wanted = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let label = format!("{at}[{i}]");
        let Some(read) = read_one(item, &label, form, violations) else { continue };
        if seen.insert((read.schema.clone(), read.table.clone())) {
            wanted.push(read);
        } else {
            violations.add(label, "must not name a table that another one names");
        }
    }
    wanted
}

fn read_one(value: &Value, label: &str, form: Form, violations: &mut Violations) -> Option<Wanted> {
    let Some(object) = value.as_object() else {
        violations.add(label, "must be an object");
        return None;
    };
    let prefix = format!("{label}.");
    let schema = read_database(object, &prefix, form.default_schema, violations);
    let table = read_table(object, &prefix, violations);
    let subscribe = read_flag(object, "subscribe", label, violations);
    let publish = read_flag(object, "publish", label, violations);
    if form.must_flow && (publish, subscribe) == (Some(false), Some(false)) {
        violations.add(label, MUST_FLOW);
    }
    let start_time = match object.get("start_time") {
        None => None,
        Some(Value::String(time)) if is_start_time(time) => Some(time.clone()),
        Some(_) => {
            let rule = "must be in ISO 8601 date format (UTC, ending in Z)";
            violations.add(format_args!("{label}.start_time"), rule);
            None
        }
    };
    Some(Wanted {
        schema: schema?,
        table: table?,
        publish: publish?,
        subscribe: subscribe?,
        start_time,
    })
}

fn read_flag(
    object: &Map<String, Value>,
    key: &str,
    label: &str,
    violations: &mut Violations,
) -> Option<bool> {
    let label = format_args!("{label}.{key}");
    let value = violations.required_at(object, key, label)?;
    if !value.is_boolean() {
        violations.add(label, "must be a boolean");
    }
    value.as_bool()
}

/// Reads the database of an object, whose keys the caller knows with this prefix: `schema` or
/// `database`, which mean the same.
pub fn read_database(
    object: &Map<String, Value>,
    prefix: &str,
    default: Option<&str>,
    violations: &mut Violations,
) -> Option<String> {
    let (key, value) = match (object.get("schema"), object.get("database")) {
        (Some(schema), Some(database)) if schema != database => {
            violations.add(format_args!("{prefix}schema"), "must be the same as 'database'");
            return None;
        }
        (None, Some(database)) => ("database", Some(database)),
        (schema, _) => ("schema", schema),
    };
    let label = format_args!("{prefix}{key}");
    let Some(value) = value else {
        if default.is_none() {
            violations.add(label, "is required");
        }
        return default.map(str::to_owned);
    };
    let name = read_name(value, &label.to_string(), violations)?;
    if name.eq_ignore_ascii_case(SYSTEM) {
        violations.add(label, "must not be the database 'system'");
        return None;
    }
    Some(name)
}

/// Reads `table` of an object, whose keys the caller knows with this prefix.
pub fn read_table(
    object: &Map<String, Value>,
    prefix: &str,
    violations: &mut Violations,
) -> Option<String> {
    let label = format!("{prefix}table");
    let value = violations.required_at(object, "table", &label)?;
    read_name(value, &label, violations)
}

/// The name of a database or a table.
fn read_name(value: &Value, label: &str, violations: &mut Violations) -> Option<String> {
    let Some(name) = value.as_str() else {
        violations.add(label, "must be a string");
        return None;
    };
    if let Some(rule) = broken_rule(name) {
        violations.add(label, rule);
        return None;
    }
    Some(name.to_owned())
}

/// The rule that this is no name of a database or a table by. It becomes a token of subjects, and a
/// key of objects in JavaScript.
pub fn broken_rule(name: &str) -> Option<&'static str> {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !".*>/\\\"'`".contains(c);
    if name.is_empty() {
        Some("must not be empty")
    } else if name.len() > LONGEST_TABLE {
        Some("must have at most 250 bytes")
    } else if !name.chars().all(is_plain) {
        Some("must not contain whitespace, quotes or any of . * > / \\")
    } else if name.starts_with('$') || NO_KEYS.contains(&name) {
        Some("must be another name")
    } else {
        None
    }
}

/// Whether the database and the table may be shared with other nodes.
pub fn is_shared_table(schema: &str, table: &str) -> bool {
    broken_rule(schema).is_none()
        && broken_rule(table).is_none()
        && !schema.eq_ignore_ascii_case(SYSTEM)
}

/// Reads the name of another node, that the caller knows by the label `at`.
pub fn read_node_name(
    value: Option<&Value>,
    at: &str,
    own: Option<&str>,
    violations: &mut Violations,
) -> Option<String> {
    let rule = match value {
        None => "is required",
        Some(value) => match value.as_str() {
            None => "must be a string",
            Some("") => "must not be empty",
            Some(name) if name.len() > LONGEST_NAME => "must have at most 200 bytes",
            Some(name) if !is_node_name(name) => "must not contain whitespace or any of . , * >",
            Some(name) if own == Some(name) => "must not be this node's own name",
            Some(name) => return Some(name.to_owned()),
        },
    };
    violations.add(at, rule);
    None
}

/// The JSON schema of `subscriptions` in a request.
pub fn schema(default_schema: Option<&str>) -> Value {
    let mut database = json!({ "type": "string", "description": "The database to replicate from" });
    let mut required = vec!["table", "subscribe", "publish"];
    match default_schema {
        Some(default) => database["default"] = default.into(),
        None => required.insert(0, "schema"),
    }
    let the_same = json!({ "type": "string", "description": "The same as `schema`" });
    let description = "The tables that the two nodes share, each at most once";
    json!({
        "type": "array",
        "maxItems": MOST,
        "description": description,
        "items": {
            "type": "object",
            "required": required,
            "properties": {
                "schema": database,
                "database": the_same,
                "table": { "type": "string", "description": "The table to replicate from" },
                "subscribe": {
                    "type": "boolean",
                    "description": "Whether transactions on the remote table are replicated on the \
                                    local table",
                },
                "publish": {
                    "type": "boolean",
                    "description": "Whether transactions on the local table are replicated on the \
                                    remote table",
                },
                "start_time": {
                    "type": "string",
                    "format": "date-time",
                    "description": "How far back to go to get transactions, in UTC and ending in Z; \
                                    from now on without",
                },
            },
        },
    })
}

/// The JSON schema of a request about one node and what is shared with it; in its example it is
/// `node`, and `subscription`.
pub fn request_schema(
    operation: &str,
    default_schema: Option<&str>,
    node: &str,
    subscription: Value,
) -> Value {
    json!({
        "type": "object",
        "required": ["operation", "node_name", "subscriptions"],
        "properties": {
            "operation": { "const": operation },
            "node_name": node_name_schema(),
            "subscriptions": schema(default_schema),
        },
        "examples": [{
            "operation": operation,
            "node_name": node,
            "subscriptions": [subscription],
        }],
    })
}

/// The JSON schema of `node_name` in a request.
pub fn node_name_schema() -> Value {
    json!({ "type": "string", "description": "The name of the remote node" })
}
