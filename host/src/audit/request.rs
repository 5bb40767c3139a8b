//! What of a request stands in the audit log: as much as fits, and nothing that may be a secret.
//!
//! Only values of keys that the operation's schema names are shown: a secret under a misspelled key
//! is one still. What is long is shortened by itself, so that it hides nothing beside it. Of what the
//! schema calls `writeOnly`, such as the rows of tables, no more is shown than how much it is.

use serde_json::{Map, Value};

use crate::config::is_key;
use crate::json::may_be_secret;

/// About how many bytes of a request stand in its line.
pub(super) const LONGEST: usize = 16 << 10;
/// About how many of one text.
pub(super) const LONGEST_TEXT: usize = 1 << 10;
/// About how many of a key.
const LONGEST_KEY: usize = 64;
/// What an entry costs beside its text.
const ENTRY: usize = 4;
const HIDDEN: &str = "********";

/// The request, as `schema` names its keys.
pub(super) fn shown(schema: &Value, request: &Value) -> Value {
    value(schema, request, &mut { LONGEST })
}

/// A text without passwords in URLs.
pub(crate) fn harmless(text: &str) -> String {
    text.split_inclusive(char::is_whitespace).map(without_login).collect()
}

fn value(schema: &Value, value: &Value, left: &mut usize) -> Value {
    match value {
        _ if schema["writeOnly"] == true => match value {
            Value::Array(items) => format!("{HIDDEN} ({} items)", items.len()).into(),
            _ => HIDDEN.into(),
        },
        Value::Object(fields) => object(schema, fields, left),
        Value::Array(items) => array(&schema["items"], items, left),
        Value::String(text) => {
            let text = shortened(text, LONGEST_TEXT.min(*left));
            spend(left, text.len());
            text.into()
        }
        scalar => {
            spend(left, 8);
            scalar.clone()
        }
    }
}

fn array(schema: &Value, items: &[Value], left: &mut usize) -> Value {
    let mut shown = Vec::new();
    for (n, item) in items.iter().enumerate() {
        if *left == 0 {
            shown.push(format!("… {} more", items.len() - n).into());
            break;
        }
        spend(left, ENTRY);
        shown.push(value(schema, item, left));
    }
    shown.into()
}

/// Keys with a name of ours first: others must not take their room.
fn object(schema: &Value, fields: &Map<String, Value>, left: &mut usize) -> Value {
    let mut shown = Map::new();
    let (ours, others): (Vec<_>, Vec<_>) =
        fields.iter().partition(|(key, _)| is_named(schema, key));
    let names = ours.iter().map(|(key, value)| (key, Some(value)));
    let mut entries = names.chain(others.iter().map(|(key, _)| (key, None)));
    while let Some((key, named)) = entries.next() {
        if *left == 0 {
            shown.insert("…".into(), format!("{} more", entries.count() + 1).into());
            break;
        }
        let name = shortened(key, LONGEST_KEY);
        spend(left, ENTRY + name.len());
        let shown_value = match named {
            Some(null) if null.is_null() => Value::Null,
            Some(known) if !may_be_secret(key) => value(&schema["properties"][key], known, left),
            _ => HIDDEN.into(),
        };
        shown.insert(name, shown_value);
    }
    shown.into()
}

fn is_named(schema: &Value, key: &str) -> bool {
    key == "operation"
        || schema["properties"].get(key).is_some()
        // Ours that takes keys of any name takes those of the configuration.
        || schema["additionalProperties"].is_object() && is_key(key)
}

/// The beginning of a long text, and how long it is.
fn shortened(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return harmless(text);
    }
    // A secret that is cut in two could not be seen as one: the last word counts as a whole.
    let (beginning, rest) = text.split_at(text.floor_char_boundary(longest));
    let end = beginning.len() + rest.find(char::is_whitespace).unwrap_or(rest.len());
    let beginning = harmless(&text[..end]);
    let beginning = &beginning[..beginning.floor_char_boundary(longest)];
    format!("{beginning}… ({} bytes)", text.len())
}

/// A word without what stands before an @: in `nats://user:secret@host`, and without a scheme too.
fn without_login(word: &str) -> String {
    let Some(at) = word.rfind('@') else { return word.to_owned() };
    let begin = word[..at].find("//").map(|slashes| slashes + 2);
    match begin.or_else(|| word[..at].contains(':').then_some(0)) {
        Some(begin) => format!("{}{HIDDEN}{}", &word[..begin], &word[at..]),
        None => word.to_owned(),
    }
}

fn spend(left: &mut usize, bytes: usize) {
    *left = left.saturating_sub(bytes);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        let route = json!({ "type": "object", "properties": { "host": {}, "port": {} } });
        json!({ "properties": {
            "server": {}, "password": {}, "routes": { "type": "array", "items": route },
        }})
    }

    // covers: audit.no-padding
    #[test]
    fn padding_hides_nothing() {
        let wanted = json!({ "server": "hub", "routes": [{ "host": "evil", "port": 1 }] });
        for pad in ["a", "server", "routes"] {
            let mut request = json!({});
            if pad == "a" {
                for n in 0..10_000 {
                    request[format!("{}{n}", "pad".repeat(40))] = "x".repeat(99).into();
                }
            }
            for (key, value) in wanted.as_object().unwrap() {
                request[key] = value.clone();
            }
            match pad {
                "server" => request[pad] = "x".repeat(1 << 20).into(),
                "routes" => {
                    let more = (0..9999).map(|n| json!({ "host": format!("h{n}"), "port": n }));
                    request[pad].as_array_mut().unwrap().extend(more);
                }
                _ => {}
            }
            let shown = shown(&schema(), &request);
            assert!(shown.to_string().len() < LONGEST + 2 * LONGEST_TEXT);
            assert_eq!(shown["routes"][0], json!({ "host": "evil", "port": 1 }), "{pad}");
            match pad {
                "server" => {
                    let text = format!("{}… (1048576 bytes)", "x".repeat(LONGEST_TEXT));
                    assert_eq!(shown["server"], text);
                }
                "routes" => {
                    let last = shown["routes"].as_array().unwrap().last().unwrap();
                    assert!(last.as_str().unwrap().ends_with(" more"), "{last}");
                }
                _ => assert!(shown["…"].as_str().unwrap().ends_with(" more")),
            }
        }
    }

    // covers: audit.misspelled
    #[test]
    fn a_key_that_the_schema_does_not_name_has_no_value() {
        let request = json!({
            "operation": "x", "pasword": "hush", "server": null, "password": "hush", "any": null,
            "routes": [{ "host": "h", "prot": "hush", "port": 1 }, "odd", { "x": { "y": "hush" } }],
        });
        let expected = json!({
            "operation": "x", "server": null, "password": "********",
            "routes": [{ "host": "h", "port": 1, "prot": "********" }, "odd", { "x": "********" }],
            "pasword": "********", "any": "********",
        });
        assert_eq!(shown(&schema(), &request), expected);
        let any = json!({ "properties": {}, "additionalProperties": {} });
        let request = json!({ "LOGGING.level": "warn", "logging_lvel": "hush" });
        let expected = json!({ "LOGGING.level": "warn", "logging_lvel": "********" });
        assert_eq!(shown(&any, &request), expected);
        assert_eq!(shown(&json!({}), &json!({ "a": 1 })), json!({ "a": "********" }));
    }

    // covers: audit.rows
    #[test]
    fn what_is_write_only_is_counted() {
        let schema = json!({ "properties": { "records": { "writeOnly": true } } });
        let request = json!({ "records": [{ "name": "Penny" }, 1, 2] });
        assert_eq!(shown(&schema, &request), json!({ "records": "******** (3 items)" }));
        let request = json!({ "records": { "name": "Penny" } });
        assert_eq!(shown(&schema, &request), json!({ "records": "********" }));
    }

    #[test]
    fn a_login_within_a_text_is_hidden() {
        for (text, expected) in [
            ("nats://u:secret@h:1", "nats://********@h:1"),
            ("a nats://u:se@cret@h/x b", "a nats://********@h/x b"),
            ("//secret@h", "//********@h"),
            ("u:secret@h", "********@h"),
            ("bob@example.org", "bob@example.org"),
            ("fe80::1 http://h/x", "fe80::1 http://h/x"),
        ] {
            assert_eq!(harmless(text), expected);
        }
        let long = format!("nats://u:{}secret@h", "x".repeat(2 * LONGEST_TEXT));
        let shown = shown(&schema(), &json!({ "server": long }));
        assert_eq!(shown["server"], "nats://********@h… (2065 bytes)");
    }
}
