//! JSON: how much memory it takes once it is built, and what of it nobody may see.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Ends of names whose values are nobody's business.
const SECRET: [&str; 6] = ["password", "passwd", "passphrase", "secret", "token", "apikey"];
/// Parts of names whose values may be, in a request that a client made up.
const PERHAPS_SECRET: [&str; 6] = ["pass", "secret", "token", "apikey", "privatekey", "auth"];

/// Hides the values of keys that are called a password, a secret or the like.
pub(crate) fn mask_secrets(value: &mut Value) {
    mask(value, |name| SECRET.iter().any(|end| name.ends_with(end)));
}

/// Whether what a key of this name holds may be a secret. It need not: nothing is lost by hiding it.
pub(crate) fn may_be_secret(key: &str) -> bool {
    let name = letters(key);
    PERHAPS_SECRET.iter().any(|part| name.contains(part))
}

/// A key's letters and digits, in lower case.
fn letters(key: &str) -> String {
    key.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase()
}

/// `is_secret` is asked with a key's [`letters`].
fn mask(value: &mut Value, is_secret: impl Fn(&str) -> bool + Copy) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                if !value.is_null() && is_secret(&letters(key)) {
                    *value = "********".into();
                } else {
                    mask(value, is_secret);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, is_secret)),
        _ => {}
    }
}

/// The value as text: in half the time of `Display`, which passes on a few bytes at a time.
pub(crate) fn text(value: &Value) -> String {
    // A value has no key that is not a string, the one thing that can fail.
    serde_json::to_string(value).unwrap_or_default()
}

/// A text that is JSON, as the JSON that it is: for what people read.
pub(crate) mod within {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    pub(crate) fn serialize<S: Serializer>(json: &str, to: S) -> Result<S::Ok, S::Error> {
        let value: Value = serde_json::from_str(json).unwrap_or_else(|_| json.into());
        value.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
        Ok(super::text(&Value::deserialize(from)?))
    }
}

/// Roughly the bytes that `text` takes as a `serde_json::Value`, rather too many than too few. A
/// megabyte of `{"":0},` takes sixty. What nests deeper than a parser goes is not looked at.
pub(crate) fn built_size(text: &[u8]) -> usize {
    const DEEPEST: usize = 128;
    let (mut size, mut depth, mut in_string, mut escaped) = (text.len(), 0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => {
                in_string = !in_string;
                size += 16;
            }
            _ if in_string => {}
            // Room for four entries each, which is what the first one takes.
            b'{' | b'[' if depth == DEEPEST => break,
            b'{' | b'[' => {
                depth += 1;
                size += if *byte == b'{' { 512 } else { 288 };
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' | b':' => size += 80,
            _ => {}
        }
    }
    size
}

/// Whether the text is JSON that nests no deeper than parsers go; nothing is built of it.
pub(crate) fn check(text: &str) -> serde_json::Result<()> {
    serde_json::from_str::<Checked>(text).map(drop)
}

/// Any value, which is forgotten. What serde ignores may nest without end.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        while fields.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

/// Roughly the bytes that a value takes in memory.
pub(crate) fn size(value: &Value) -> usize {
    size_of::<Value>() + behind(value)
}

/// The same of an object.
pub(crate) fn size_of_fields(fields: &Map<String, Value>) -> usize {
    // Its hash, and its place in the table of hashes.
    const EACH: usize = size_of::<(String, Value)>() + 32;
    let behind_each = |(name, value): (&String, &Value)| name.len() + behind(value);
    size_of::<Value>() + room(fields.len()) * EACH + fields.iter().map(behind_each).sum::<usize>()
}

/// What a value takes beside itself.
fn behind(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => {
            room(items.len()) * size_of::<Value>() + items.iter().map(behind).sum::<usize>()
        }
        Value::Object(fields) => size_of_fields(fields) - size_of::<Value>(),
        _ => 0,
    }
}

/// For how many there is room where there are so many: the first one makes room for four.
fn room(items: usize) -> usize {
    if items == 0 { 0 } else { items.max(4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_checked_can_be_built() {
        let deep = |depth| "[".repeat(depth) + &"]".repeat(depth);
        for text in ["null", r#"{"a":[1,-1,1e3,true,null,"\u00e4"]}"#, "1e999", &deep(127)] {
            assert_eq!(check(text).is_ok(), serde_json::from_str::<Value>(text).is_ok(), "{text}");
        }
        for text in ["", "{}{}", "{1:2}", "[1,]", r#""\ud800""#, "nul", &deep(128)] {
            assert!(check(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_in_a_string_is_text() {
        assert_eq!(built_size(br#""{[,:\\\"{""#), 11 + 32);
        assert_eq!(built_size(b"[0,0]"), 5 + 288 + 80);
        assert!(built_size("[".repeat(1 << 20).as_bytes()) < 2 << 20);
        assert!(built_size("{\"\":0},".repeat(1 << 20).as_bytes()) > 400 << 20);
    }
}
