use async_nats::HeaderMap;
use harper_wire::{DecodeError, Value, decode, encode};
use serde_json::{Value as Json, json};

use super::decode::LATEST;
use super::{Change, Field, Limits, Part, Passed, Transaction, TransactionError as Error};
use crate::capabilities::TableName;
use crate::data::{Key, KeyError, Row, Version};

fn dog() -> TableName {
    TableName { database: "dev".into(), table: "dog".into() }
}

fn row(json: Json) -> Row {
    match json {
        Json::Object(row) => row,
        _ => panic!("no row: {json}"),
    }
}

fn key(json: Json) -> Key {
    Key::try_from(json).unwrap()
}

/// A message as Harper's nodes send it, with these fields beside its origin.
fn message(json: Json) -> Vec<u8> {
    let mut message = row(json!({
        "schema": "dev",
        "table": "dog",
        "__origin": { "user": "admin", "timestamp": 1_700_000_000_000_i64, "node_name": "node2" },
    }));
    message.extend(row(json));
    encode(&Json::from(message).into())
}

fn read(json: Json) -> Result<Transaction, Error> {
    Transaction::decode(&message(json), &Limits::default())
}

fn one(json: Json) -> Change {
    let mut transaction = read(json).unwrap();
    assert_eq!(transaction.parts.len(), 1);
    transaction.parts.remove(0).change
}

fn sample(parts: Vec<Part>) -> Transaction {
    let version = Version { timestamp: 1_700_000_000_123_457, node: "node1".into() };
    Transaction { parts, version, user: "admin".into() }
}

fn rows(rows: Vec<Json>, ids: Vec<Json>, partial: bool) -> Change {
    let rows = rows.into_iter().map(row).collect();
    Change::Rows { rows, ids: ids.into_iter().map(key).collect(), partial }
}

fn part(change: Change) -> Part {
    Part { table: dog(), change }
}

fn again(transaction: &Transaction) -> Transaction {
    Transaction::decode(&transaction.encode(), &Limits::default()).unwrap()
}

#[test]
fn what_is_written_is_read() {
    let whole = json!({
        "id": 1, "name": "Penny", "__createdtime__": 1.5, "deep": { "of": [1, null, { "a": -0.5 }] },
        "large": 9_007_199_254_740_993_i64, "larger": u64::MAX, "small": i64::MIN, "next": "row",
    });
    let schema = |primary_key: Option<&str>, attributes: &[&str]| Change::DefineSchema {
        primary_key: primary_key.map(str::to_owned),
        attributes: attributes.iter().map(|&name| name.into()).collect(),
    };
    let all = sample(vec![
        part(rows(vec![whole], vec![json!(1)], false)),
        part(rows(vec![json!({ "name": "P" }), json!({})], vec![json!("a"), json!(2.5)], true)),
        part(rows(vec![json!({ "id": 7 })], vec![], false)),
        part(Change::Deleted(vec![key(json!("x")), key(json!(-3))])),
        part(Change::Deleted(vec![])),
        Part {
            table: TableName { database: "data".into(), table: "cat".into() },
            change: schema(Some("id"), &["id", "name"]),
        },
        part(schema(None, &[])),
    ]);
    assert_eq!(again(&all), all);
    for part in &all.parts {
        let alone = sample(vec![part.clone()]);
        assert_eq!(again(&alone), alone);
    }
}

// covers: transaction.version
#[test]
fn a_version_keeps_its_microseconds_and_others_are_rounded() {
    let mut transaction = sample(vec![part(Change::Deleted(vec![]))]);
    let step = 8_796_093_022_208_000 / 20_000;
    for timestamp in (0..20_000).map(|n| n * step + n % 1000).chain([8_796_093_022_208_000]) {
        transaction.version.timestamp = timestamp;
        assert_eq!(again(&transaction), transaction);
    }
    let at = |timestamp: Value| {
        let origin =
            Value::Map(vec![("timestamp".into(), timestamp), ("node_name".into(), "node2".into())]);
        let message = Value::Map(vec![
            ("operation".into(), "delete".into()),
            ("schema".into(), "dev".into()),
            ("table".into(), "dog".into()),
            ("hash_values".into(), Value::Array(vec![1_i64.into()])),
            ("__origin".into(), origin),
        ]);
        let read = Transaction::decode(&encode(&message), &Limits::default());
        read.map(|transaction| (transaction.version.timestamp, transaction.user))
    };
    let ok = |timestamp| Ok((timestamp, String::new()));
    assert_eq!(at(1_700_000_000_123_i64.into()), ok(1_700_000_000_123_000));
    assert_eq!(at(Value::Date(1_700_000_000_123)), ok(1_700_000_000_123_000));
    assert_eq!(at(Value::Float(1_700_000_000_123.456_8)), ok(1_700_000_000_123_457));
    assert_eq!(at(LATEST.into()), ok(8_796_093_022_208_000));
    let refused = Err(Error::Field { part: 0, field: Field::Timestamp });
    for bad in [
        Value::Null,
        "2023-11-14".into(),
        (-1_i64).into(),
        (LATEST + 0.5).into(),
        f64::NAN.into(),
        f64::INFINITY.into(),
        Value::BigInt(1_700_000_000_123),
    ] {
        assert_eq!(at(bad), refused);
    }
}

// covers: transaction.operations
#[test]
fn each_operation_is_read_as_what_it_does() {
    let records = json!([{ "id": 1, "name": "Penny" }]);
    for (operation, partial) in
        [("insert", false), ("upsert", false), ("put", false), ("update", true), ("patch", true)]
    {
        let expected = rows(vec![json!({ "id": 1, "name": "Penny" })], vec![json!(1)], partial);
        let said = json!({ "operation": operation, "records": records, "hash_values": [1] });
        assert_eq!(one(said), expected);
        let said = json!({ "operation": operation, "record": records[0], "id": 1 });
        assert_eq!(one(said), expected);
        let without = rows(vec![json!({ "id": 1, "name": "Penny" })], vec![], partial);
        assert_eq!(one(json!({ "operation": operation, "records": records })), without);
    }
    let deleted = Change::Deleted(vec![key(json!("a")), key(json!(2))]);
    let said = json!({ "operation": "delete", "hash_values": ["a", 2], "records": [] });
    assert_eq!(one(said), deleted);
    let deleted = Change::Deleted(vec![key(json!("a"))]);
    assert_eq!(one(json!({ "operation": "delete", "id": "a", "record": null })), deleted);
    let defined =
        |attributes: Json| one(json!({ "operation": "define_schema", "attributes": attributes }));
    let schema = |primary_key: Option<&str>| Change::DefineSchema {
        primary_key: primary_key.map(str::to_owned),
        attributes: vec!["id".into(), "name".into()],
    };
    assert_eq!(defined(json!(["id", "name"])), schema(None));
    let named = json!([{ "name": "id", "isPrimaryKey": true, "type": "ID" }, { "name": "name" }]);
    assert_eq!(defined(named), schema(Some("id")));
    let named = json!([{ "attribute": "id", "is_hash_attribute": true }, { "attribute": "name" }]);
    assert_eq!(defined(named), schema(Some("id")));
    let said = json!({
        "operation": "define_schema", "hash_attribute": "id", "attributes": ["id", "name"],
    });
    assert_eq!(one(said), schema(Some("id")));
}

// covers: transaction.chain
#[test]
fn a_chain_is_read_however_long_it_is() {
    let links = 20_000;
    let link = |at: usize| {
        let mut link = row(json!({ "operation": "put", "id": at, "record": { "n": at } }));
        if at == 0 {
            link.extend(row(json!({
                "schema": "dev", "table": "dog",
                "__origin": { "timestamp": 5, "node_name": "node2" },
            })));
        } else if at == 1 {
            link.insert("table".into(), "cat".into());
        }
        Value::from(Json::from(link))
    };
    let chain: Vec<Value> = (0..links).map(link).collect();
    let bytes = harper_wire::encode_chain(&chain, "next");
    let transaction = Transaction::decode(&bytes, &Limits::default()).unwrap();
    assert_eq!(transaction.parts.len(), links);
    let tables: Vec<_> = transaction.parts.iter().map(|part| &*part.table.table).collect();
    assert_eq!(tables[..3], ["dog", "cat", "dog"]);
    assert!(transaction.parts.iter().all(|part| part.table.database == "dev"));
    assert_eq!(transaction.parts[9].change, rows(vec![json!({ "n": 9 })], vec![json!(9)], false));
    assert_eq!(again(&transaction), transaction);
    // As it may end in JavaScript.
    for end in [Value::Null, Value::Undefined] {
        let ended = [&chain[..2], &[end]].concat();
        let bytes = harper_wire::encode_chain(&ended, "next");
        assert_eq!(Transaction::decode(&bytes, &Limits::default()).unwrap().parts.len(), 2);
    }
}

// covers: transaction.values
#[test]
fn what_json_does_not_have_becomes_what_it_would_have() {
    let fields = [
        ("id", Value::BigInt(7)),
        ("date", Value::Date(1_700_000_000_123)),
        ("bytes", Value::Binary(b"foo".to_vec())),
        ("nothing", Value::Undefined),
        ("big", Value::BigUint(u64::MAX)),
        ("infinite", f64::INFINITY.into()),
    ];
    let record = Value::Map(fields.into_iter().map(|(name, value)| (name.into(), value)).collect());
    let mut message =
        decode(&message(json!({ "operation": "put" })), &harper_wire::Limits::default()).unwrap();
    let Value::Map(entries) = &mut message else { panic!() };
    entries.push(("record".into(), record));
    entries.push(("id".into(), Value::BigInt(7)));
    let read = Transaction::decode(&encode(&message), &Limits::default()).unwrap();
    let expected = json!({
        "id": 7, "date": "2023-11-14T22:13:20.123Z", "bytes": "Zm9v", "big": u64::MAX,
        "infinite": null,
    });
    assert_eq!(read.parts[0].change, rows(vec![expected], vec![json!(7)], false));
}

// covers: transaction.refused
#[test]
fn what_is_no_transaction_is_refused_and_the_part_named() {
    let field = |part, field| Err(Error::Field { part, field });
    let records = json!([{ "id": 1 }]);
    let with = |name: &str, value: Json| {
        let mut said = row(json!({ "operation": "upsert", "records": records }));
        said.insert(name.to_owned(), value);
        read(said.into())
    };
    let long = "x".repeat(251);
    for (name, value, named) in [
        ("operation", json!(null), Field::Operation),
        ("operation", json!(1), Field::Operation),
        ("schema", json!(null), Field::Schema),
        ("schema", json!(long), Field::Schema),
        ("table", json!(""), Field::Table),
        ("table", json!(["dog"]), Field::Table),
        ("records", json!(null), Field::Records),
        ("records", json!({}), Field::Records),
        ("records", json!([1]), Field::Records),
        ("hash_values", json!("a"), Field::HashValues),
        ("__origin", json!(null), Field::Origin),
        ("__origin", json!("a"), Field::Timestamp),
        ("__origin", json!({ "timestamp": 1 }), Field::NodeName),
        ("__origin", json!({ "timestamp": 1, "node_name": "" }), Field::NodeName),
        ("__origin", json!({ "timestamp": 1, "node_name": "a\nb" }), Field::NodeName),
        ("__origin", json!({ "timestamp": 1, "node_name": long }), Field::NodeName),
    ] {
        assert_eq!(with(name, value.clone()), field(0, named), "{name}: {value}");
    }
    assert_eq!(with("operation", json!("drop_table")), Err(Error::Operation { part: 0 }));
    assert_eq!(with("operation", json!("delete")), field(0, Field::HashValues));
    assert_eq!(with("hash_values", json!([1, 2])), Err(Error::Uneven { part: 0 }));
    for (id, problem) in [(json!([1]), KeyError::Kind), (json!(u64::MAX), KeyError::Integer)] {
        assert_eq!(with("hash_values", json!([id])), Err(Error::Key { part: 0, problem }));
    }
    let attributes = |value| read(json!({ "operation": "define_schema", "attributes": value }));
    for bad in [json!("a"), json!([1]), json!([{}])] {
        assert_eq!(attributes(bad), field(0, Field::Attributes));
    }
    assert_eq!(with("next", json!(3)), Err(Error::NoMap { part: 1 }));
    assert_eq!(with("next", json!({ "id": 1 })), field(1, Field::Operation));
    let empty = Transaction::decode(&[], &Limits::default());
    assert_eq!(empty, Err(Error::Message(DecodeError::Truncated { at: 0 })));
    let number = Transaction::decode(&[1], &Limits::default());
    assert_eq!(number, Err(Error::NoMap { part: 0 }));
}

// covers: transaction.limits
#[test]
fn each_limit_binds() {
    let limits = Limits { parts: 2, rows: 3, ..Limits::default() };
    let read = |json| Transaction::decode(&message(json), &limits);
    let put = |next: Json| json!({ "operation": "put", "id": 1, "record": {}, "next": next });
    let delete = |ids: Json| json!({ "operation": "delete", "hash_values": ids });
    assert!(read(put(delete(json!([1])))).is_ok());
    let refused = read(put(delete(json!([1, 2]))));
    assert_eq!(refused, Err(Error::TooManyRows { limit: 3 }));
    let mut two = delete(json!([]));
    two["next"] = delete(json!([]));
    assert!(read(two.clone()).is_ok());
    two["next"]["next"] = delete(json!([]));
    assert_eq!(read(two), Err(Error::TooManyParts { limit: 2 }));
    let names = json!({ "operation": "define_schema", "attributes": ["a", "b", "c", "d"] });
    assert_eq!(read(names), Err(Error::TooManyRows { limit: 3 }));
    let wire = harper_wire::Limits { length: 8, ..harper_wire::Limits::transaction() };
    let refused = Transaction::decode(&[0; 9], &Limits { wire, ..limits.clone() });
    assert_eq!(refused, Err(Error::Message(DecodeError::TooLong { limit: 8 })));
    let all = json!([{ "id": 1, "text": "x".repeat(2000) }]);
    let said = json!({ "operation": "upsert", "records": all, "hash_values": [1] });
    let decoded = Transaction::decode_measured(&message(said.clone()), &Limits::default()).unwrap();
    assert!((2000..3000).contains(&decoded.memory), "{}", decoded.memory);
    let with = |memory| Limits { memory, ..Limits::default() };
    assert!(Transaction::decode(&message(said.clone()), &with(decoded.memory)).is_ok());
    let refused = Transaction::decode(&message(said.clone()), &with(2000)).unwrap_err();
    assert_eq!(refused, Error::TooMuchMemory { limit: 2000 });
    assert!(refused.is_limit() && refused.is_memory());
    let little = Limits::default().with_memory(1000);
    let refused = Transaction::decode(&message(said), &little).unwrap_err();
    assert_eq!(refused, Error::Message(DecodeError::TooMuchMemory { limit: 1000 }));
    assert!(refused.is_memory());
    let named = json!([{ "id": 1, "k".repeat(251): 2 }]);
    let refused = read(json!({ "operation": "upsert", "records": named })).unwrap_err();
    let long = |error| matches!(error, Error::Message(DecodeError::LongKey { limit: 250, .. }));
    assert!(refused.is_limit() && !refused.is_memory() && long(refused));
    let user = "ä".repeat(200);
    let origin = json!({ "user": user, "timestamp": 1, "node_name": "a" });
    let mut said = delete(json!([]));
    said["__origin"] = origin;
    assert_eq!(read(said).unwrap().user, "ä".repeat(128));
}

/// Bytes of a message that were changed here and there: read or refused, and what is read is the
/// same when it is written and read again.
#[test]
fn changed_bytes_do_no_harm() {
    let records = json!([{ "id": 1, "a": [1.5, true] }, { "id": "x", "large": u64::MAX }]);
    let messages = [
        message(json!({ "operation": "upsert", "records": records, "hash_values": [1, "x"] })),
        message(json!({
            "operation": "put", "id": 1, "record": { "a": 1 },
            "next": { "operation": "delete", "table": "cat", "id": 2 },
        })),
        message(json!({ "operation": "define_schema", "attributes": [{ "name": "id" }] })),
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |end: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % end
    };
    let mut read = 0;
    for _ in 0..20_000 {
        let mut bytes = messages[next(messages.len())].clone();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            match next(3) {
                0 => bytes[at] = u8::try_from(next(256)).unwrap(),
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, u8::try_from(next(256)).unwrap()),
            }
        }
        if let Ok(transaction) = Transaction::decode(&bytes, &Limits::default()) {
            read += 1;
            assert_eq!(again(&transaction), transaction);
        }
    }
    assert!((200..19_000).contains(&read), "{read} of 20000 could be read");
}

// covers: transaction.headers
#[test]
fn headers_say_who_has_applied_it() {
    let passed =
        Passed { origin: "node1".into(), transacted: vec!["node1".into(), "nöde 2".into()] };
    let mut headers = HeaderMap::new();
    passed.put_into(&mut headers);
    assert_eq!(headers.get_all("transacted_nodes").count(), 2);
    assert_eq!(Passed::from_headers(&headers), passed);
    assert!(passed.includes("node1") && passed.includes("nöde 2") && !passed.includes("node3"));
    assert_eq!(Passed::from_headers(&HeaderMap::new()), Passed::default());
    // A line break would begin another header.
    let broken = Passed { origin: "a\r\nb".into(), transacted: vec!["a\nb".into()] };
    let mut headers = HeaderMap::new();
    broken.put_into(&mut headers);
    assert!(headers.is_empty());
}

#[test]
fn what_passed_on_is_too_long_for_headers_is_cut() {
    let mut headers = async_nats::HeaderMap::new();
    for node in 0..1000 {
        headers.append("transacted_nodes", format!("node-{node}-{}", "x".repeat(40)));
    }
    let Passed { transacted, .. } = Passed::from_headers(&headers);
    assert!((100..1000).contains(&transacted.len()), "{}", transacted.len());
    let bytes: usize =
        transacted.iter().map(|name| "transacted_nodes: \r\n".len() + name.len()).sum();
    assert!(bytes <= 32 << 10, "{bytes}");
}
