//! Transactions of ours are what npm msgpackr reads, and those that a Harper node writes with it
//! are read.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test")]

#[path = "../../plugin/wire/tests/common/mod.rs"]
mod common;

use std::io::Write as _;
use std::process::Stdio;

use common::{describe, hex, unhex};
use harper_host::TableName;
use harper_host::data::{Key, Row, Version};
use harper_host::transaction::{Change, Limits, Part, Transaction};
use harper_tests::javascript;
use harper_wire::Value;
use serde_json::{Value as Json, json};

/// What msgpackr decodes of a message, as `tests/peers/describe.js` says it, with records and
/// without.
fn read_by_msgpackr(message: &[u8]) -> [Json; 2] {
    let mut child = javascript::command("roundtrip.js")
        .unwrap()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = hex(message) + "\n";
    child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let answer: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["error"], Json::Null);
    ["value", "with_records"].map(|form| answer[form].clone())
}

fn row(json: Json) -> Row {
    match json {
        Json::Object(row) => row,
        _ => panic!("no row: {json}"),
    }
}

fn table(table: &str) -> TableName {
    TableName { database: "dev".into(), table: table.into() }
}

fn key(json: Json) -> Key {
    Key::try_from(json).unwrap()
}

// covers: transaction.read-by-msgpackr
#[test]
fn msgpackr_reads_what_we_publish() {
    let whole = json!({
        "id": 1,
        "name": "Penny",
        "born": "2017-07-14T02:40:00.007Z",
        "large": 9_007_199_254_740_992_i64,
        "larger": 9_007_199_254_740_993_i64,
        "largest": u64::MAX,
        "least": i64::MIN,
        "big": 1_099_511_627_776_i64,
        "nested": { "list": [1, { "deep": [true, null] }], "empty": {} },
        "__createdtime__": 1_700_000_000_000.5,
    });
    let written = Change::Rows { rows: vec![row(whole)], ids: vec![key(json!(1))], partial: false };
    let transaction = Transaction {
        parts: vec![
            Part { table: table("dog"), change: written },
            Part {
                table: table("cat"),
                change: Change::Deleted(vec![key(json!("tom")), key(json!(2.5))]),
            },
            Part {
                table: table("bird"),
                change: Change::DefineSchema {
                    primary_key: Some("id".into()),
                    attributes: vec!["id".into(), "name".into()],
                },
            },
        ],
        version: Version { timestamp: 1_700_000_000_000_123, node: "node1".into() },
        user: "admin".into(),
    };
    // As JavaScript has it: numbers up to 2^53, beyond that BigInt.
    let big = |text: &str| json!({ "bigint": text });
    let map = |entries: Json| json!({ "map": entries });
    let float = |value: f64| describe(&Value::Float(value));
    let attribute = |name: &str, is_key: bool| {
        map(json!([["attribute", name], ["name", name], ["isPrimaryKey", is_key]]))
    };
    let nested = map(json!([
        ["list", [1, map(json!([["deep", [true, null]]]))]],
        ["empty", map(json!([]))],
    ]));
    let record = map(json!([
        ["id", 1],
        ["name", "Penny"],
        ["born", "2017-07-14T02:40:00.007Z"],
        ["large", 9_007_199_254_740_992_i64],
        ["larger", big("9007199254740993")],
        ["largest", big("18446744073709551615")],
        ["least", big("-9223372036854775808")],
        ["big", 1_099_511_627_776_i64],
        ["nested", nested],
        ["__createdtime__", float(1_700_000_000_000.5)],
    ]));
    let third = map(json!([
        ["operation", "define_schema"],
        ["schema", "dev"],
        ["table", "bird"],
        ["hash_attribute", "id"],
        ["attributes", [attribute("id", true), attribute("name", false)]],
    ]));
    let second = map(json!([
        ["operation", "delete"],
        ["schema", "dev"],
        ["table", "cat"],
        ["records", []],
        ["hash_values", ["tom", float(2.5)]],
        ["next", third],
    ]));
    let origin = map(json!([
        ["user", "admin"],
        ["timestamp", float(1_700_000_000_000.123)],
        ["node_name", "node1"],
    ]));
    let first = map(json!([
        ["operation", "upsert"],
        ["schema", "dev"],
        ["table", "dog"],
        ["records", [record]],
        ["hash_values", [1]],
        ["__origin", origin],
        ["next", second],
    ]));
    for read in read_by_msgpackr(&transaction.encode()) {
        assert_eq!(read, first);
    }
}

// covers: transaction.written-by-msgpackr
#[test]
fn what_a_harper_node_publishes_is_read() {
    let output = javascript::command("transactions.js").unwrap().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut cases = 0;
    for line in text.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let name = &case["name"];
        for form in ["records", "plain"] {
            let bytes = unhex(case[form].as_str().unwrap());
            let read = Transaction::decode(&bytes, &Limits::default());
            let read = read.unwrap_or_else(|error| panic!("{name}, {form}: {error}"));
            assert_eq!(read.version.timestamp, 1_700_000_000_000_123, "{name}");
            assert_eq!((&*read.version.node, &*read.user), ("node2", "admin"), "{name}");
            let parts: Vec<_> = read.parts.iter().map(shown).collect();
            assert_eq!(Json::from(parts), whole(case["parts"].clone()), "{name}, {form}");
        }
        cases += 1;
    }
    assert!(cases >= 10, "{cases} cases");
}

/// A part as `tests/peers/transactions.js` says what it expects.
fn shown(part: &Part) -> Json {
    let mut shown = json!({ "database": part.table.database, "table": part.table.table });
    let more = match &part.change {
        Change::Rows { rows, ids, partial } => {
            json!({ "rows": rows, "ids": ids, "partial": partial })
        }
        Change::Deleted(keys) => json!({ "deleted": keys }),
        Change::DefineSchema { primary_key, attributes } => {
            json!({ "primary_key": primary_key, "attributes": attributes })
        }
    };
    shown.as_object_mut().unwrap().extend(row(more));
    shown
}

/// JavaScript writes no integer beyond 2^53 into JSON without a detour.
fn whole(json: Json) -> Json {
    match json {
        Json::Array(items) => items.into_iter().map(whole).collect(),
        Json::Object(object) => match object.get("bigint").and_then(Json::as_str) {
            Some(digits) => serde_json::from_str(digits).unwrap(),
            None => object.into_iter().map(|(key, value)| (key, whole(value))).collect(),
        },
        other => other,
    }
}
