//! Messages that npm msgpackr has written. `tests/peers/vectors.js` makes `vectors.json`; that it
//! still does is checked where node runs, in `tests/tests/wire.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test")]

mod common;

use common::{describe, hex, unhex};
use harper_wire::{Limits, Value, decode, encode};
use serde_json::Value as Json;

const VECTORS: &str = include_str!("vectors.json");

// covers: wire.records, wire.plain, wire.numbers, wire.kinds
#[test]
fn what_msgpackr_writes_is_read() {
    let vectors: Vec<Json> = serde_json::from_str(VECTORS).unwrap();
    assert!(vectors.len() > 90);
    let limits = Limits { slots: 1000, ..Limits::default() };
    for vector in vectors {
        let name = &vector["name"];
        for form in ["records", "plain"] {
            let bytes = unhex(vector[form].as_str().unwrap());
            let value = decode(&bytes, &limits).unwrap_or_else(|e| panic!("{name}, {form}: {e}"));
            assert_eq!(describe(&value), vector["value"], "{name}, {form}");

            let again = encode(&value);
            assert_eq!(describe(&decode(&again, &limits).unwrap()), vector["value"], "{name}");
            for end in 0..bytes.len() {
                decode(&bytes[..end], &limits).expect_err("the beginning of a message is none");
            }
        }
    }
}

/// Scalars have one form, arrays have one, and so the bytes are the same; maps have several, and
/// small integers of two (see `encode`).
#[test]
fn what_has_one_form_is_written_as_msgpackr_writes_it() {
    let vectors: Vec<Json> = serde_json::from_str(VECTORS).unwrap();
    let mut same = 0;
    for vector in vectors.iter().filter(|vector| vector["records"] == vector["plain"]) {
        let name = vector["name"].as_str().unwrap();
        if name.starts_with("map") || name.starts_with("bigint 9223372036854775808") {
            continue;
        }
        let bytes = unhex(vector["plain"].as_str().unwrap());
        let written = encode(&decode(&bytes, &Limits::default()).unwrap());
        // As a date an invalid one is null.
        if name != "invalid date" {
            assert_eq!(hex(&written), hex(&bytes), "{name}");
            same += 1;
        }
    }
    assert!(same > 50, "{same}");
}

#[test]
fn half_a_surrogate_pair_becomes_a_replacement_character() {
    let bytes = unhex("a5eda08061a9");
    let value = decode(&bytes[..], &Limits::default()).unwrap();
    assert_eq!(value, Value::String("\u{fffd}\u{fffd}\u{fffd}a\u{fffd}".into()));
}
