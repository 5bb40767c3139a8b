//! Maps that have one another as their last entry.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

mod common;

use common::{Random, unhex};
use harper_wire::{DecodeError, Limits, Value, decode, decode_chain, encode, encode_chain};

fn chain(bytes: &[u8]) -> Result<Vec<Value>, DecodeError> {
    decode_chain(bytes, &Limits::default(), "next")
}

fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(entries.iter().map(|(key, value)| ((*key).into(), value.clone())).collect())
}

#[test]
fn a_chain_is_one_message() {
    let links: Vec<_> = (0..3_i64).map(|at| map(&[("n", at.into())])).collect();
    let bytes = encode_chain(&links, "next");
    let inner = map(&[("n", 1_i64.into()), ("next", links[2].clone())]);
    let whole = map(&[("n", 0_i64.into()), ("next", inner)]);
    assert_eq!(decode(&bytes, &Limits::default()).unwrap(), whole);
    assert_eq!(bytes, encode(&whole));
    assert_eq!(chain(&bytes).unwrap(), links);
    assert!(encode_chain(&[], "next").is_empty());
    // What follows no map is in no chain.
    assert_eq!(encode_chain(&[1_i64.into(), whole.clone()], "next"), [1]);
}

#[test]
fn only_an_entry_of_a_link_goes_on() {
    let inner = map(&[("next", map(&[("a", Value::Null)]))]);
    for one in [
        map(&[("a", inner.clone())]),
        map(&[("a", 1_i64.into()), ("b", Value::Array(vec![inner.clone()]))]),
        Value::Array(vec![inner.clone()]),
        "next".into(),
        Value::Null,
    ] {
        assert_eq!(chain(&encode(&one)).unwrap(), [one]);
    }
    // Before other entries, which may be of any kind.
    for next in [inner.clone(), Value::Null] {
        let last = map(&[("b", inner.clone())]);
        let first = map(&[("next", next.clone()), ("a", 1_i64.into()), ("last", last.clone())]);
        let mut expected = vec![map(&[("a", 1_i64.into()), ("last", last)])];
        if next != Value::Null {
            expected.extend([map(&[]), map(&[("a", Value::Null)])]);
        }
        assert_eq!(chain(&encode(&first)).unwrap(), expected);
    }
    // `{a: 1, next: {a: 2, next: undefined}}` as records of one shape.
    let records = unhex("d47240 92a161a46e657874 01 40 02 d40000".replace(' ', "").as_str());
    let of = |n: i64| map(&[("a", n.into())]);
    assert_eq!(chain(&records).unwrap(), [of(1), of(2)]);
    // `{next: {next: 5, a: 2}, a: 1}`, whose second link is no map.
    let records = unhex("d47240 92a46e657874a161 40 05 02 01".replace(' ', "").as_str());
    assert_eq!(chain(&records).unwrap(), [of(1), of(2), 5_i64.into()]);
    let twice = [&[0x82][..], &[0xa4], b"next", &[0x01, 0xa4], b"next", &[0x80]].concat();
    assert_eq!(chain(&twice), Err(DecodeError::DuplicateKey { at: 0 }));
    assert_eq!(chain(&[0x81, 0xa4, b'n', b'e', b'x', b't']), Err(DecodeError::Truncated { at: 6 }));
    assert_eq!(chain(&[0x80, 0x80]), Err(DecodeError::Trailing { at: 1 }));
}

// covers: wire.chains
#[test]
fn a_chain_is_no_nesting_and_within_the_limits() {
    let links = vec![map(&[("n", 1_i64.into())]); 100_000];
    let bytes = encode_chain(&links, "next");
    assert!(decode(&bytes, &Limits::default()).is_err());
    assert_eq!(chain(&bytes).unwrap().len(), links.len());
    let limits = Limits { items: 199_999, ..Limits::default() };
    let refused = decode_chain(&bytes, &limits, "next");
    assert_eq!(refused, Err(DecodeError::TooManyItems { limit: 199_999 }));
    let limits = Limits { memory: 4 << 20, ..Limits::default() };
    let refused = decode_chain(&bytes, &limits, "next");
    assert_eq!(refused, Err(DecodeError::TooMuchMemory { limit: 4 << 20 }));
    // Where the entry is not the last one, it is nesting.
    let nested = |depth: usize| {
        (0..depth).fold(map(&[]), |value, _| map(&[("next", value), ("n", 1_i64.into())]))
    };
    assert_eq!(chain(&encode(&nested(50))).unwrap().len(), 51);
    assert_eq!(chain(&encode(&nested(70))), Err(DecodeError::TooDeep { limit: 64 }));
    let deep = (0..10).fold(Value::Null, |value, _| Value::Array(vec![value]));
    let bytes = encode_chain(&[map(&[]), map(&[("a", deep)])], "next");
    for (depth, is_ok) in [(11, true), (10, false)] {
        let limits = Limits { depth, ..Limits::default() };
        assert_eq!(decode_chain(&bytes, &limits, "next").is_ok(), is_ok);
    }
}

#[test]
fn random_chains_come_back() {
    let mut random = Random::new(7);
    for _ in 0..500 {
        let links: Vec<_> = (0..1 + random.below(5))
            .map(|_| map(&[("a", random.value(2)), ("b", random.value(2))]))
            .collect();
        let bytes = encode_chain(&links, "next");
        let read = chain(&bytes).unwrap();
        assert_eq!(encode_chain(&read, "next"), bytes);
    }
}
