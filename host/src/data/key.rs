//! Primary keys.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::limits::MAX_KEY;

/// The largest integer up to which all are apart as a JavaScript number: 2^53.
const LARGEST: u64 = 1 << 53;

/// A row's primary key: a number or a text. Numbers come before texts; `1` and `1.0` are the same
/// key, as in JavaScript.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Key(Kind);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    /// The bits of a finite number other than -0, turned so that they sort as the numbers do.
    Number(u64),
    /// Not empty, no control characters, at most [`MAX_KEY`] bytes.
    Text(String),
}

/// Why a value is no key. The text follows the name of what held it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is neither a text nor a number, or an empty text.
    #[error("must be a non-empty string or a number")]
    Kind,
    /// It is longer than [`MAX_KEY`].
    #[error("must have at most {MAX_KEY} bytes")]
    Long,
    /// It has a control character.
    #[error("must not contain control characters")]
    Control,
    /// Two such integers could be one number for a JavaScript peer.
    #[error("must be a number within 2^53 if it is an integer")]
    Integer,
}

const TOP: u64 = 1 << 63;
const NUMBER: u8 = 1;
const TEXT: u8 = 2;

impl Key {
    /// A key of random bits, for a row that has none: a version 4 UUID.
    pub(super) fn random() -> Result<Key, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut text = String::with_capacity(36);
        for (i, byte) in bytes.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or_default());
            text.push(char::from_digit(u32::from(byte & 0x0f), 16).unwrap_or_default());
        }
        Ok(Key(Kind::Text(text)))
    }

    fn number(number: f64) -> Key {
        // Adding 0 makes -0 a 0.
        let bits = (number + 0.0).to_bits();
        Key(Kind::Number(if bits & TOP == 0 { bits | TOP } else { !bits }))
    }

    /// Bytes that sort as keys do.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Kind::Number(bits) => {
                let mut bytes = Vec::with_capacity(9);
                bytes.push(NUMBER);
                bytes.extend(bits.to_be_bytes());
                bytes
            }
            Kind::Text(text) => {
                let mut bytes = Vec::with_capacity(1 + text.len());
                bytes.push(TEXT);
                bytes.extend_from_slice(text.as_bytes());
                bytes
            }
        }
    }

    /// What [`to_bytes`](Self::to_bytes) has made.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Key> {
        match bytes.split_first()? {
            (&NUMBER, bits) => Some(Key(Kind::Number(u64::from_be_bytes(bits.try_into().ok()?)))),
            (&TEXT, text) => Some(Key(Kind::Text(str::from_utf8(text).ok()?.to_owned()))),
            _ => None,
        }
    }

    /// How bytes of keys begin that are texts beginning like this.
    pub(super) fn prefix_of_texts(text: &str) -> Vec<u8> {
        let mut bytes = vec![TEXT];
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    /// The text, of a key that is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.0 {
            Kind::Number(_) => None,
            Kind::Text(text) => Some(text),
        }
    }
}

impl TryFrom<&Value> for Key {
    type Error = KeyError;

    fn try_from(value: &Value) -> Result<Key, KeyError> {
        match value {
            Value::String(text) => Key::try_from(text.as_str()),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), Some(number)) if integer.unsigned_abs() <= LARGEST => {
                    Ok(Key::number(number))
                }
                (None, Some(float)) if number.is_f64() && float.is_finite() => {
                    Ok(Key::number(float))
                }
                _ => Err(KeyError::Integer),
            },
            _ => Err(KeyError::Kind),
        }
    }
}

impl TryFrom<Value> for Key {
    type Error = KeyError;

    fn try_from(value: Value) -> Result<Key, KeyError> {
        Key::try_from(&value)
    }
}

impl TryFrom<&str> for Key {
    type Error = KeyError;

    fn try_from(text: &str) -> Result<Key, KeyError> {
        match text {
            "" => Err(KeyError::Kind),
            _ if text.len() > MAX_KEY => Err(KeyError::Long),
            _ if text.contains(char::is_control) => Err(KeyError::Control),
            _ => Ok(Key(Kind::Text(text.to_owned()))),
        }
    }
}

impl From<Key> for Value {
    fn from(key: Key) -> Value {
        match key.0 {
            Kind::Text(text) => Value::String(text),
            Kind::Number(bits) => {
                let float = f64::from_bits(if bits & TOP == 0 { !bits } else { bits ^ TOP });
                #[expect(clippy::cast_precision_loss, reason = "it is exact")]
                let is_integer = float.fract() == 0.0 && float.abs() <= LARGEST as f64;
                if is_integer {
                    #[expect(clippy::cast_possible_truncation, reason = "it is in range")]
                    return Value::from(float as i64);
                }
                Number::from_f64(float).map_or(Value::Null, Value::Number)
            }
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Text(text) => f.write_str(text),
            Kind::Number(_) => Value::from(self.clone()).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(value: Value) -> Key {
        Key::try_from(&value).unwrap()
    }

    // covers: layer.keys
    #[test]
    fn keys_sort_as_their_bytes_and_come_back_as_they_were() {
        let values = [
            json!(-1e300),
            json!(-9_007_199_254_740_992_i64),
            json!(-1.5),
            json!(-1),
            json!(0),
            json!(0.5),
            json!(1),
            json!(2),
            json!(10),
            json!(9_007_199_254_740_992_i64),
            json!(1e300),
            json!(" "),
            json!("1"),
            json!("A"),
            json!("a"),
            json!("a\u{ff}"),
            json!("犬"),
        ];
        let keys: Vec<_> = values.iter().cloned().map(key).collect();
        assert!(keys.is_sorted());
        let bytes: Vec<_> = keys.iter().map(Key::to_bytes).collect();
        assert!(bytes.windows(2).all(|two| two[0] < two[1]));
        for (bytes, value) in bytes.iter().zip(values) {
            assert_eq!(Value::from(Key::from_bytes(bytes).unwrap()), value);
        }
        assert_eq!(key(json!(1.0)), key(json!(1)));
        assert_eq!(key(json!(-0.0)), key(json!(0)));
    }

    // covers: layer.keys
    #[test]
    fn what_is_no_key_is_refused() {
        let refused = |value| Key::try_from(&value).unwrap_err();
        for value in [json!(null), json!(true), json!([1]), json!({}), json!("")] {
            assert_eq!(refused(value), KeyError::Kind);
        }
        assert_eq!(refused(json!(9_007_199_254_740_993_i64)), KeyError::Integer);
        assert_eq!(refused(json!(u64::MAX)), KeyError::Integer);
        assert_eq!(refused(json!("a\nb")), KeyError::Control);
        assert_eq!(refused(json!("x".repeat(MAX_KEY + 1))), KeyError::Long);
        key(json!("x".repeat(MAX_KEY)));
    }

    #[test]
    fn keys_that_are_made_are_uuids_and_differ() {
        let made = Key::random().unwrap().to_string();
        assert_eq!(made.len(), 36);
        assert_eq!(&made[14..15], "4");
        assert_ne!(made, Key::random().unwrap().to_string());
    }
}
