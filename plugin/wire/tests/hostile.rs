//! Messages that want too much, or are none.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

mod common;

use common::{Random, unhex};
use harper_wire::{DecodeError, Limits, Value, decode, decode_chain, encode};

fn refusal(hex: &str) -> DecodeError {
    decode(&unhex(hex), &Limits::default()).unwrap_err()
}

#[test]
fn what_is_no_message_is_refused_and_the_place_named() {
    for (hex, error) in [
        ("", DecodeError::Truncated { at: 0 }),
        ("92 01", DecodeError::Truncated { at: 0 }),
        ("92 01 a2 61", DecodeError::Truncated { at: 2 }),
        ("01 02", DecodeError::Trailing { at: 1 }),
        ("91 c1", DecodeError::Token { at: 1 }),
        ("d4 05 00", DecodeError::Extension { kind: 5, at: 0 }),
        ("c7 03 72 40 90 00", DecodeError::Extension { kind: 0x72, at: 0 }),
        ("d5 ff 00 00", DecodeError::Date { at: 0 }),
        ("d4 72 40 a1 61 01", DecodeError::Record { at: 0 }),
        ("d4 72", DecodeError::Truncated { at: 0 }),
        ("d4 72 40 91 a1 61", DecodeError::Truncated { at: 0 }),
        ("d4 72 40 92 a1 61 a1 61 01 02", DecodeError::DuplicateKey { at: 0 }),
        ("92 d5 72 60 00 91 a1 61 01 60 01 02", DecodeError::Undefined { at: 9 }),
        ("81 90 01", DecodeError::Key { at: 1 }),
        ("81 c4 00 01", DecodeError::Key { at: 1 }),
        ("92 d4 72 40 91 a1 61 01 81 40 01 01", DecodeError::Key { at: 9 }),
        ("82 a1 61 01 a1 61 02", DecodeError::DuplicateKey { at: 0 }),
        ("82 01 01 a1 31 02", DecodeError::DuplicateKey { at: 0 }),
    ] {
        let refused = refusal(&hex.replace(' ', ""));
        assert_eq!(refused, error, "{hex}");
        assert!(!refused.is_limit());
    }
    let mut twice: Vec<(harper_wire::Key, Value)> =
        (0..100).map(|at| (format!("{at}").into(), Value::Null)).collect();
    twice.push(("7".into(), Value::Null));
    let refused = decode(&encode(&Value::Map(twice)), &Limits::default()).unwrap_err();
    assert_eq!(refused, DecodeError::DuplicateKey { at: 0 });
}

// covers: wire.limits
#[test]
fn each_limit_binds() {
    let limits = Limits { length: 100, depth: 3, items: 10, slots: 2, memory: 1000, name: 5 };
    let with = |bytes: &[u8]| decode(bytes, &limits);

    assert!(with(&[&[0xd9, 98][..], &[b'a'; 98]].concat()).is_ok());
    let refused = with(&[&[0xd9, 99][..], &[b'a'; 99]].concat());
    assert_eq!(refused, Err(DecodeError::TooLong { limit: 100 }));

    assert!(with(&[0x91, 0x91, 0x91, 0]).is_ok());
    assert_eq!(with(&[0x91, 0x91, 0x91, 0x90]), Err(DecodeError::TooDeep { limit: 3 }));
    assert_eq!(with(&[0x91, 0x91, 0x91, 0x80]), Err(DecodeError::TooDeep { limit: 3 }));
    let record = [0x91, 0x91, 0x91, 0xd4, b'r', 0x40, 0x90];
    assert_eq!(with(&record), Err(DecodeError::TooDeep { limit: 3 }));

    assert!(with(&[0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_ok());
    let refused = with(&[0x9a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(refused, Err(DecodeError::TooManyItems { limit: 10 }));

    let shape = |id, name| [0xd4, b'r', id, 0x91, 0xa1, name, 0];
    let two = [&[0x93][..], &shape(0x40, b'a'), &shape(0x41, b'b'), &shape(0x40, b'c')].concat();
    assert!(with(&two).is_ok(), "in the place of another");
    let three = [&[0x93][..], &shape(0x40, b'a'), &shape(0x41, b'b'), &shape(0x42, b'c')].concat();
    assert_eq!(with(&three), Err(DecodeError::TooManySlots { limit: 2 }));

    // Each of ten bytes is a map with a key that the message spells out once.
    let key = [b'k'; 80];
    let rows =
        |count: u8| [&[0x90 + count, 0xd4, b'r', 0x40, 0x91, 0xd9, 80][..], &key, &[0]].concat();
    assert!(with(&rows(1)).is_ok());
    let many = [&rows(5)[..], &[0x40, 0, 0x40, 0, 0x40, 0, 0x40, 0]].concat();
    assert_eq!(with(&many), Err(DecodeError::TooMuchMemory { limit: 1000 }));
    for limit in [&with(&three).unwrap_err(), &with(&many).unwrap_err()] {
        assert!(limit.is_limit());
    }
}

// covers: wire.bombs
#[test]
fn a_small_message_does_not_become_large() {
    // Claims of 4 GiB.
    for token in ["dd", "df", "db", "c6", "c9"] {
        let refused = refusal(&format!("{token}ffffffff00"));
        assert!(matches!(refused, DecodeError::Truncated { at: 0 }), "{token}: {refused}");
    }
    assert_eq!(refusal("d47240ddffffffff"), DecodeError::Truncated { at: 0 });

    // Arrays within each other, each of which claims all the bytes that are left: a claim costs
    // nothing.
    let claims: Vec<u8> = (0..800_000_u32)
        .flat_map(|at| [&[0xdd][..], &(4_000_000 - 5 * at - 5).to_be_bytes()].concat())
        .collect();
    let little = Limits { depth: 256, memory: 100_000, ..Limits::default() };
    assert_eq!(decode(&claims, &little), Err(DecodeError::TooDeep { limit: 256 }));

    // Deeper than any stack, with every limit out of the way.
    let none = Limits {
        length: usize::MAX,
        depth: usize::MAX,
        items: usize::MAX,
        slots: usize::MAX,
        memory: usize::MAX,
        name: usize::MAX,
    };
    for token in [&[0x91][..], &[0x81, 0xa0], &[0xd4, b'r', 0x40, 0x91, 0xa1, b'a']] {
        let deep = token.repeat(1_000_000);
        assert_eq!(decode(&deep, &none), Err(DecodeError::TooDeep { limit: 256 }));
    }

    // A record of no key is a byte, and a map in memory.
    let empty =
        [&[0xdd, 0, 0x3f, 0, 0, 0xd4, b'r', 0x40, 0x90][..], &vec![0x40; 0x3e_ffff]].concat();
    assert!(decode(&empty, &Limits::default()).unwrap_err().is_limit());

    // A long key, which two bytes repeat.
    let key = [b'k'; 60_000];
    let rows = [0x40, 0].repeat(100_000);
    let count = 100_001_u32.to_be_bytes();
    let start = [&[0xdd][..], &count, &[0xd4, b'r', 0x40, 0x91, 0xda, 0xea, 0x60]].concat();
    let long = [&start[..], &key, &[0], &rows].concat();
    assert!(decode(&long, &Limits::transaction()).unwrap_err().is_limit());
}

// covers: wire.names
#[test]
fn a_long_key_of_a_row_is_refused_before_it_is_repeated() {
    let limits = Limits { name: 250, ..Limits::transaction() };
    let chain = |value: &Value| decode_chain(&encode(value), &limits, "next");
    let map = |name: &str, value: Value| Value::Map(vec![(name.into(), value)]);
    let (most, longer) = ("k".repeat(250), "k".repeat(251));
    let row = |name: &str| map(name, 1_i64.into());
    let list = |one: Value| Value::Array(vec![Value::Null, one]);
    let at = |at| Err(DecodeError::LongKey { at, limit: 250 });
    let rows = |row: Value| map("records", list(row));
    for (of_rows, at) in [
        (&rows as &dyn Fn(Value) -> Value, at(11)),
        (&|row| map("record", row), at(8)),
        (&|row| row, at(0)),
        (&|row| map("next", map("next", map("record", row))), at(20)),
    ] {
        assert!(chain(&of_rows(row(&most))).is_ok());
        assert_eq!(chain(&of_rows(row(&longer))), at);
    }
    // Within a row, keys are data.
    for inner in [map("a", row(&longer)), map("a", list(row(&longer)))] {
        assert!(chain(&rows(inner.clone())).is_ok());
        assert!(chain(&map("record", inner)).is_ok());
    }
    assert!(decode(&encode(&row(&longer)), &limits).is_ok());

    // 1.2 MB with a key of 5 KB, which two bytes repeat: no byte of memory goes to the second.
    let head = [&[0x81, 0xa7][..], b"records", &[0xdd, 0, 9, 0x27, 0xc0]].concat();
    let shape = [&[0xd4, b'r', 0x40, 0x91, 0xda, 0x14, 0][..], &[b'k'; 0x1400]].concat();
    let bomb = [&head[..], &shape, &[0], &[0x40, 0].repeat(599_999)].concat();
    let least = Limits { memory: 3 * 0x1400, ..limits.clone() };
    let refused = decode_chain(&bomb, &least, "next").unwrap_err();
    assert_eq!(refused, DecodeError::LongKey { at: 14, limit: 250 });
    assert!(refused.is_limit());
}

#[test]
fn a_rich_message_within_the_limits_is_read() {
    let row = |id: i64| {
        let text = |name: &str| (name.into(), format!("{name} {id}").into());
        Value::Map(vec![("id".into(), id.into()), text("name"), text("breed"), text("owner")])
    };
    let rows = Value::Array((0..10_000).map(row).collect());
    let bytes = encode(&rows);
    assert_eq!(decode(&bytes, &Limits::default()), Ok(rows.clone()));
    assert!(decode(&bytes, &Limits { memory: bytes.len(), ..Limits::default() }).is_err());
}

#[test]
fn random_values_come_back_as_they_were() {
    for seed in 0..3000 {
        let value = Random::new(seed).value(4);
        let bytes = encode(&value);
        let back = decode(&bytes, &Limits::transaction()).unwrap();
        // Not the values, since NaN differs from itself.
        assert_eq!(encode(&back), bytes, "seed {seed}");
        assert_eq!(common::describe(&back), common::describe(&value), "seed {seed}");
    }
}

#[test]
fn random_bytes_do_no_harm() {
    let tokens = unhex("d47240d57260d4ff81829192a1a3c0c4c6c9cbcfd9dddf40416001ff");
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let mut bytes = random.bytes(60);
        for byte in &mut bytes {
            if *byte > 100 {
                *byte = tokens[random.below(tokens.len())];
            }
        }
        if let Ok(value) = decode(&bytes, &Limits::default()) {
            let written = encode(&value);
            assert_eq!(encode(&decode(&written, &Limits::default()).unwrap()), written);
            value.into_json();
        }
    }
}
