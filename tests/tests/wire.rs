//! `harper-wire` and npm msgpackr understand each other.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test")]

#[path = "../../plugin/wire/tests/common/mod.rs"]
mod common;

use std::io::Write as _;
use std::process::Stdio;

use common::{Random, describe, hex, unhex};
use harper_tests::javascript;
use harper_wire::{Key, Limits, Value, decode, encode};
use serde_json::{Value as Json, json};

/// What msgpackr says about messages; see `tests/peers/roundtrip.js`.
fn ask_msgpackr(messages: &[Vec<u8>]) -> Vec<Json> {
    let mut child = javascript::command("roundtrip.js")
        .unwrap()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String = messages.iter().map(|bytes| hex(bytes) + "\n").collect();
    let mut input = child.stdin.take().unwrap();
    // The pipes hold less than all of it: one writes while the other reads.
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

// covers: wire.vectors
#[test]
fn the_vectors_are_what_msgpackr_writes() {
    let output = javascript::command("vectors.js").unwrap().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let vectors = include_str!("../../plugin/wire/tests/vectors.json");
    assert!(
        String::from_utf8(output.stdout).unwrap() == vectors,
        "msgpackr writes otherwise now: see tests/peers/vectors.js on how to make them anew"
    );
}

// covers: wire.round-trip
#[test]
fn msgpackr_reads_what_we_write_and_we_read_what_it_makes_of_it() {
    let values: Vec<_> = (0..500).map(|seed| Random::new(seed).value(4)).collect();
    let messages: Vec<_> = values.iter().map(encode).collect();
    let answers = ask_msgpackr(&messages);
    assert_eq!(answers.len(), values.len());
    let limits = Limits::transaction();
    for (seed, (value, answer)) in values.iter().zip(answers).enumerate() {
        let expected = &describe(value);
        assert_eq!(answer["error"], Json::Null, "seed {seed}");
        assert_eq!(&answer["value"], expected, "seed {seed}");
        assert_eq!(&answer["with_records"], expected, "seed {seed}");
        for form in ["records", "plain"] {
            let bytes = unhex(answer[form].as_str().unwrap());
            assert_eq!(&describe(&decode(&bytes, &limits).unwrap()), expected, "seed {seed}");
        }
    }
}

#[test]
fn long_values_go_both_ways() {
    let map = |count: usize| {
        let entry = |at| -> (Key, Value) { (format!("key {at}").into(), Value::Null) };
        Value::Map((0..count).map(entry).collect())
    };
    let values = [
        Value::String("é".repeat(40_000)),
        Value::Binary(vec![7; 70_000]),
        Value::Array(vec![Value::Bool(true); 70_000]),
        map(70_000),
        map(300),
    ];
    let answers = ask_msgpackr(&values.iter().map(encode).collect::<Vec<_>>());
    for (value, answer) in values.iter().zip(answers) {
        assert!(answer["value"] == describe(value), "{:.200}", answer.to_string());
        for form in ["records", "plain"] {
            let bytes = unhex(answer[form].as_str().unwrap());
            assert!(decode(&bytes, &Limits::transaction()).as_ref() == Ok(value));
        }
    }
}

// covers: wire.proto
#[test]
fn a_key_proto_is_data_on_both_sides() {
    let json: Json =
        serde_json::from_str(r#"{"__proto__":{"polluted":1},"constructor":{"prototype":2}}"#)
            .unwrap();
    let bytes = encode(&Value::from(&json));
    assert_eq!(decode(&bytes, &Limits::default()).unwrap().into_json(), json);

    let record = unhex("d4724091a95f5f70726f746f5f5f81a8706f6c6c7574656401");
    let expected = json!({ "__proto__": { "polluted": 1 } });
    assert_eq!(decode(&record, &Limits::default()).unwrap().into_json(), expected);

    let answers = ask_msgpackr(&[bytes, record]);
    for answer in &answers {
        assert_eq!(answer["polluted"], false);
        // msgpackr's own defence.
        assert_eq!(answer["value"]["map"][0][0], "__proto_", "{answer}");
    }
}
