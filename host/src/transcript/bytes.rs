//! Bytes as JSON that people can read, and back.

use base64ct::{Base64, Encoding};
use harper_wire::Limits;
use serde_json::{Value, json};

/// What bytes are that are not MessagePack.
const JSON: &str = "$json";
const TEXT: &str = "$text";
const BASE64: &str = "$base64";
/// An object that looks like one of those and is none.
const MESSAGE_PACK: &str = "$messagepack";

pub(crate) fn to_json(bytes: &[u8]) -> Value {
    if let Some(text) = text(bytes) {
        return match serde_json::from_str::<Value>(text) {
            Ok(value) if value.is_object() || value.is_array() => json!({ JSON: value }),
            _ => json!({ TEXT: text }),
        };
    }
    match harper_wire::decode(bytes, &Limits::default()) {
        Ok(value) => match value.into_json() {
            value if is_marked(&value) => json!({ MESSAGE_PACK: value }),
            value => value,
        },
        Err(_) => json!({ BASE64: Base64::encode_string(bytes) }),
    }
}

/// The bytes that [`to_json`] has shown so; JSON and MessagePack in the simplest form.
pub(super) fn from_json(value: &Value) -> Option<Vec<u8>> {
    let Some((mark, marked)) =
        value.as_object().filter(|_| is_marked(value)).and_then(|o| o.iter().next())
    else {
        return Some(harper_wire::encode(&value.into()));
    };
    match mark.as_str() {
        JSON => Some(crate::json::text(marked).into_bytes()),
        TEXT => Some(marked.as_str()?.as_bytes().to_owned()),
        BASE64 => Base64::decode_vec(marked.as_str()?).ok(),
        _ => Some(harper_wire::encode(&marked.into())),
    }
}

fn is_marked(value: &Value) -> bool {
    let marks = [JSON, TEXT, BASE64, MESSAGE_PACK];
    let only = |object: &serde_json::Map<String, Value>| {
        object.len() == 1 && object.keys().all(|key| marks.contains(&key.as_str()))
    };
    value.as_object().is_some_and(only)
}

/// Bytes that are text to be read.
fn text(bytes: &[u8]) -> Option<&str> {
    let text = str::from_utf8(bytes).ok()?;
    let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    text.chars().all(is_plain).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back() {
        let message =
            harper_wire::encode(&json!({ "operation": "describe_all", "n": [1, null] }).into());
        assert_eq!(to_json(&message), json!({ "operation": "describe_all", "n": [1, null] }));
        let marked = harper_wire::encode(&json!({ "$text": "x" }).into());
        for bytes in [
            &message,
            &marked,
            &b"".to_vec(),
            &b"{\"a\":1}".to_vec(),
            &b"caf\xc3\xa9".to_vec(),
            &b"\xff\xfe\x00".to_vec(),
        ] {
            assert_eq!(from_json(&to_json(bytes)).as_ref(), Some(bytes), "{}", to_json(bytes));
        }
    }
}
