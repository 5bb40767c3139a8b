//! What a message can hold.

use std::sync::Arc;

/// A key of a map. Records of one shape share theirs.
pub type Key = Arc<str>;

/// The largest magnitude up to which a JavaScript number is every integer: 2^53.
pub(crate) const LARGEST_IN_A_NUMBER: u64 = 1 << 53;

/// What a message can hold: JSON, and what JavaScript has beyond it.
///
/// A decoded value is in its plainest form: a number without a fraction is an `Integer` however
/// it was written, as it is in JavaScript. [`Value::from`] keeps to that too.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`. An invalid `Date`, too, which JSON has as null.
    Null,
    /// `undefined`.
    Undefined,
    /// `true` or `false`.
    Bool(bool),
    /// A number without a fraction, within 2^53 of zero.
    Integer(i64),
    /// Any other number. Minus zero, what is not finite, and whole numbers beyond 2^53.
    Float(f64),
    /// A `BigInt`: an integer that is written with 64 bits, of whatever size it is.
    BigInt(i64),
    /// A `BigInt` above `i64::MAX`.
    BigUint(u64),
    /// A string.
    String(String),
    /// A `Buffer` or another array of bytes.
    Binary(Vec<u8>),
    /// A `Date`: milliseconds since 1970 in UTC, negative before.
    Date(i64),
    /// An array. `Set`, `RegExp` and `Error` come as such.
    Array(Vec<Value>),
    /// An object or a `Map`, in its own order. No key stands twice in a decoded one, and none has
    /// a meaning: `__proto__` is data.
    Map(Vec<(Key, Value)>),
}

impl Value {
    /// The value below `key`, when this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.iter().find(|(name, _)| &**name == key).map(|(_, value)| value)
    }

    /// The string, when this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean, when this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer, when this is a number or a `BigInt` that is one and fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Integer(value) | Value::BigInt(value) => Some(*value),
            _ => None,
        }
    }

    /// The items, when this is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, when this is a map.
    pub fn as_map(&self) -> Option<&[(Key, Value)]> {
        match self {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

/// A number where JavaScript has one that is exact, else a `BigInt`.
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        if value.unsigned_abs() <= LARGEST_IN_A_NUMBER {
            Value::Integer(value)
        } else {
            Value::BigInt(value)
        }
    }
}

/// A number where JavaScript has one that is exact, else a `BigInt`.
impl From<u64> for Value {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Value::BigUint(value), Value::from)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "compared right below")]
        let whole = value as i64;
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        let same = whole as f64 == value && (whole != 0 || value.is_sign_positive());
        if same && whole.unsigned_abs() <= LARGEST_IN_A_NUMBER {
            Value::Integer(whole)
        } else {
            Value::Float(value)
        }
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::String(value)
    }
}
