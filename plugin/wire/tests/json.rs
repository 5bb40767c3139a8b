//! Values from and to JSON.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use harper_wire::{Limits, Value, decode, encode};
use serde_json::json;

#[test]
fn json_comes_back_as_it_was() {
    let json = json!({
        "z": [1, -1, 0.5, 1e300, "text", true, null, {}],
        "a": { "__proto__": { "constructor": [] } },
        "large": [9_007_199_254_740_992_u64, 9_007_199_254_740_993_u64, i64::MIN, i64::MAX, u64::MAX],
    });
    assert_eq!(Value::from(&json), Value::from(json.clone()));
    let bytes = encode(&Value::from(&json));
    let back = decode(&bytes, &Limits::default()).unwrap().into_json();
    assert_eq!(back.to_string(), json.to_string(), "in the same order");
}

// covers: wire.large-integers
#[test]
fn integers_go_out_as_a_javascript_peer_expects_them() {
    let token = |json| encode(&Value::from(json))[0];
    assert_eq!(token(json!(4_294_967_295_u64)), 0xce);
    assert_eq!(token(json!(4_294_967_296_u64)), 0xcb, "a number, not a BigInt");
    assert_eq!(token(json!(-9_007_199_254_740_992_i64)), 0xcb);
    assert_eq!(token(json!(9_007_199_254_740_993_u64)), 0xd3, "a float has no room for it");
    assert_eq!(token(json!(u64::MAX)), 0xcf);
    assert_eq!(token(json!(1.0)), 1, "a number without a fraction is an integer");
}

#[test]
fn what_json_lacks_is_as_in_javascript() {
    let value = Value::Map(vec![
        ("date".into(), Value::Date(1_500_000_000_007)),
        ("gone".into(), Value::Undefined),
        ("items".into(), Value::Array(vec![Value::Undefined, Value::Float(f64::NAN)])),
        ("never".into(), Value::Date(i64::MAX)),
        ("bytes".into(), Value::Binary(b"hi".to_vec())),
        ("big".into(), Value::BigUint(u64::MAX)),
    ]);
    let expected = json!({
        "date": "2017-07-14T02:40:00.007Z",
        "items": [null, null],
        "never": null,
        "bytes": "aGk=",
        "big": u64::MAX,
    });
    assert_eq!(value.into_json(), expected);
}
