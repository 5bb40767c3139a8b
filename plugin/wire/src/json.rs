//! A value from and to JSON.

use serde_json::{Map, Number, Value as Json};

use crate::value::Value;

/// Integers beyond 2^53 become a `BigInt`, so that none loses a digit.
impl From<Json> for Value {
    fn from(json: Json) -> Self {
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(value),
            Json::Number(number) => number_from(&number),
            Json::String(text) => Value::String(text),
            Json::Array(items) => Value::Array(items.into_iter().map(Value::from).collect()),
            Json::Object(object) => {
                Value::Map(object.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
            }
        }
    }
}

/// As from an owned one.
impl From<&Json> for Value {
    fn from(json: &Json) -> Self {
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => number_from(number),
            Json::String(text) => Value::String(text.clone()),
            Json::Array(items) => Value::Array(items.iter().map(Value::from).collect()),
            Json::Object(object) => {
                Value::Map(object.iter().map(|(k, v)| (k.as_str().into(), v.into())).collect())
            }
        }
    }
}

fn number_from(number: &Number) -> Value {
    if let Some(value) = number.as_i64() {
        value.into()
    } else if let Some(value) = number.as_u64() {
        value.into()
    } else {
        number.as_f64().map_or(Value::Null, Value::from)
    }
}

impl Value {
    /// The value as JSON, by the rules of JavaScript's `JSON.stringify`: a date is its ISO 8601
    /// text, `undefined` is left out of an object and null in an array, as is a number that is not
    /// finite. Two things JavaScript does otherwise: a `BigInt` is a number with all its digits,
    /// and bytes are base64 text.
    pub fn into_json(self) -> Json {
        match self {
            Value::Null | Value::Undefined => Json::Null,
            Value::Bool(value) => value.into(),
            Value::Integer(value) | Value::BigInt(value) => value.into(),
            Value::BigUint(value) => value.into(),
            Value::Float(value) => Number::from_f64(value).map_or(Json::Null, Json::Number),
            Value::String(text) => text.into(),
            Value::Binary(bytes) => base64(&bytes).into(),
            Value::Date(milliseconds) => iso(milliseconds).map_or(Json::Null, Json::String),
            Value::Array(items) => items.into_iter().map(Value::into_json).collect(),
            Value::Map(entries) => {
                // With room for all at once: growing would double it now and then.
                let mut object = Map::with_capacity(entries.len());
                for (key, value) in entries {
                    if value != Value::Undefined {
                        object.insert((*key).to_owned(), value.into_json());
                    }
                }
                Json::Object(object)
            }
        }
    }
}

/// What serde_json keeps beside an entry's value, roughly: the key's text, its hash, where it is.
const ENTRY: usize = size_of::<String>() + 3 * size_of::<usize>();
/// What it keeps of an object that has one: the smallest table of hashes, and two allocations.
const TABLE: usize = 96;
/// What an allocation costs beside its bytes, roughly.
const ALLOCATION: usize = 16;

impl Value {
    /// Bytes of memory that the value takes as JSON, roughly, and without making it.
    pub fn json_size(&self) -> usize {
        let within = match self {
            Value::String(text) => text.len() + ALLOCATION,
            Value::Binary(bytes) => bytes.len().div_ceil(3) * 4 + ALLOCATION,
            Value::Date(_) => 32 + ALLOCATION,
            Value::Array(items) => ALLOCATION + items.iter().map(Value::json_size).sum::<usize>(),
            Value::Map(entries) if entries.is_empty() => 0,
            Value::Map(entries) => {
                let entry = |(key, value): &(crate::Key, Value)| {
                    key.len() + ENTRY + ALLOCATION + value.json_size()
                };
                TABLE + entries.iter().map(entry).sum::<usize>()
            }
            _ => 0,
        };
        size_of::<Json>() + within
    }
}

/// As `Date.prototype.toISOString` writes it; none where a `Date` cannot be.
fn iso(milliseconds: i64) -> Option<String> {
    if !crate::decode::DATES.contains(&milliseconds) {
        return None;
    }
    const DAY: i64 = 86_400_000;
    let (days, rest) = (milliseconds.div_euclid(DAY), milliseconds.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let year = match year {
        0..=9999 => format!("{year:04}"),
        _ => format!("{}{:06}", if year < 0 { '-' } else { '+' }, year.abs()),
    };
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1000 % 60, rest % 1000);
    Some(format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"))
}

/// Year, month and day of a day since 1970-01-01, in the calendar of today at all times. Years
/// are counted from March, so that a leap day is a year's last, in eras of 400 years.
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    // 0000-03-01 is 719468 days before 1970.
    let since = days + 719_468;
    let (era, day_of_era) = (since.div_euclid(ERA), since.rem_euclid(ERA));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Five months from March on have 153 days, always.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// Standard base64, padded.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0, |group, byte| group << 8 | usize::from(*byte));
        let group = group << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[group >> (18 - 6 * place) & 0x3f];
            text.push(if place > chunk.len() { '=' } else { letter.into() });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_javascript_writes_them() {
        // What `new Date(n).toISOString()` gives.
        for (milliseconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_500_000_000_007, "2017-07-14T02:40:00.007Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (-62_167_219_200_001, "-000001-12-31T23:59:59.999Z"),
            (8_640_000_000_000_000, "+275760-09-13T00:00:00.000Z"),
            (-8_640_000_000_000_000, "-271821-04-20T00:00:00.000Z"),
        ] {
            assert_eq!(iso(milliseconds).as_deref(), Some(text));
        }
        assert_eq!(iso(8_640_000_000_000_001), None);
        assert_eq!(iso(i64::MIN), None);
    }

    #[test]
    fn bytes_are_base64() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }
}
