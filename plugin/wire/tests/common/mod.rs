//! What the tests of the wire share: hexadecimal, descriptions of values, and random values.

#![allow(dead_code, reason = "not each test uses all")]

use harper_wire::Value;
use serde_json::{Value as Json, json};

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2) && text.is_ascii(), "no hexadecimal: {text}");
    let pairs = (0..text.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// What a value is, as `tests/peers/describe.js` says it.
pub fn describe(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Undefined => json!({ "undefined": true }),
        Value::Bool(value) => json!(value),
        Value::Integer(value) => json!(value),
        Value::Float(value) => json!({ "float": hex(&value.to_be_bytes()) }),
        Value::BigInt(value) => json!({ "bigint": value.to_string() }),
        Value::BigUint(value) => json!({ "bigint": value.to_string() }),
        Value::String(text) => json!(text),
        Value::Binary(bytes) => json!({ "bytes": hex(bytes) }),
        Value::Date(milliseconds) => json!({ "date": milliseconds }),
        Value::Array(items) => items.iter().map(describe).collect(),
        Value::Map(entries) => {
            let entries: Vec<_> = entries.iter().map(|(k, v)| json!([**k, describe(v)])).collect();
            json!({ "map": entries })
        }
    }
}

/// Numbers that look random, the same ones for a seed (xorshift).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 up to and without `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % end
    }

    pub fn bytes(&mut self, longest: usize) -> Vec<u8> {
        let length = self.below(longest + 1);
        (0..length).map(|_| self.next().to_le_bytes()[3]).collect()
    }

    /// A value in its plainest form, as it comes out of the decoder.
    pub fn value(&mut self, depth: usize) -> Value {
        let shift = u32::try_from(self.below(64)).unwrap();
        let number = self.next().cast_signed() >> shift;
        match self.below(if depth == 0 { 10 } else { 14 }) {
            0 => [Value::Null, Value::Undefined][self.below(2)].clone(),
            1 => Value::Bool(number % 2 == 0),
            2 | 3 => number.into(),
            4 => f64::from_bits(self.next()).into(),
            5 => Value::from(f64::from(i32::try_from(number >> 33).unwrap()) / 8.0),
            6 => {
                let value = number.cast_unsigned();
                i64::try_from(value).map_or(Value::BigUint(value), Value::BigInt)
            }
            7 => Value::Date(number % 8_640_000_000_000_000),
            8 => Value::Binary(self.bytes(300)),
            9 => Value::String(self.text()),
            10 | 11 => {
                let length = self.below(20);
                Value::Array((0..length).map(|_| self.value(depth - 1)).collect())
            }
            _ => {
                let length = self.below(20);
                // Letters first: JavaScript moves keys that are integers to the front.
                let key = |random: &mut Self, at| format!("k{at}{}", random.text()).into();
                let entry = |at| (key(self, at), self.value(depth - 1));
                Value::Map((0..length).map(entry).collect())
            }
        }
    }

    fn text(&mut self) -> String {
        let longest = [4, 40, 300][self.below(3)];
        let length = self.below(longest);
        let kinds = ["a", "Z", "\"", "\0", "é", "€", "😀", "\u{2028}"];
        (0..length).map(|_| kinds[self.below(kinds.len())]).collect()
    }
}
