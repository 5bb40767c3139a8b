//! What it takes to read a transaction, whoever has made it up. Memory is counted for the whole
//! process, so that this is one test.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use harper_host::transaction::{Change, Limits, Transaction, TransactionError};
use harper_wire::{Value, encode};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;

/// Reads it; the most that this takes, beside the bytes, must be below so many MiB.
fn read(bytes: &[u8], most: usize) -> Result<usize, TransactionError> {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let read = Transaction::decode_measured(bytes, &Limits::default());
    let taken = MEMORY.peak_usage().saturating_sub(before) / MIB;
    assert!(taken < most, "{taken} MiB for {} bytes: {:?}", bytes.len(), read.err());
    let decoded = read?;
    let kept = MEMORY.current_usage().saturating_sub(before);
    let is_near = decoded.memory * 4 / 3 + MIB >= kept;
    assert!(is_near, "{kept} bytes are kept, and {} were counted", decoded.memory);
    let rows = |change: &Change| match change {
        Change::Rows { rows, .. } => rows.len(),
        _ => 0,
    };
    Ok(decoded.transaction.parts.iter().map(|part| rows(&part.change)).sum())
}

fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

/// A transaction whose `records` are these bytes.
fn transaction(records: &[u8]) -> Vec<u8> {
    let origin = map([("timestamp", 1_700_000_000_000_i64.into()), ("node_name", "a".into())]);
    let head = map([
        ("operation", "upsert".into()),
        ("schema", "dev".into()),
        ("table", "dog".into()),
        ("__origin", origin),
    ]);
    let mut bytes = encode(&head);
    // One entry more.
    bytes[0] += 1;
    bytes.extend_from_slice(b"\xa7records");
    bytes.extend_from_slice(records);
    bytes
}

/// One row, whose only attribute is an array of so many values.
fn row_of(count: u32, values: &[u8]) -> Vec<u8> {
    let head = [0x91, 0x81, 0xa1, b'a', 0xdd];
    transaction(&[&head, &count.to_be_bytes()[..], values].concat())
}

/// So many records of one shape, whose keys are so long and which have a byte of each value.
fn records(count: u32, keys: usize, length: usize) -> Vec<u8> {
    let shape = [0xd4, b'r', 0x40, 0xdc, 0, u8::try_from(keys).unwrap()];
    let mut bytes = [&[0xdd][..], &count.to_be_bytes(), &shape].concat();
    for key in 0..keys {
        bytes.extend([&[0xda][..], &u16::try_from(length).unwrap().to_be_bytes()].concat());
        bytes.extend(format!("{key:0>length$}").as_bytes());
    }
    let values = vec![1; keys];
    bytes.extend(&values);
    let one = [&[0x40][..], &values].concat();
    bytes.extend(one.repeat(count as usize - 1));
    bytes
}

// covers: transaction.memory
#[test]
fn reading_a_message_takes_bounded_memory() {
    // What is made up. The first of these once took 2.7 GB.
    let within = |count: u32, keys, length| {
        let records = records(count, keys, length);
        row_of(1, &records)
    };
    for (what, bytes) in [
        ("a key of 5 KB, repeated", transaction(&records(100_000, 1, 5000))),
        ("a key of 5 KB, repeated within a row", within(600_000, 1, 5000)),
        ("a key of 250 bytes, repeated", transaction(&records(100_000, 10, 250))),
        ("a key of 250 bytes, repeated within a row", within(600_000, 1, 250)),
        ("many short keys, repeated within a row", within(20_000, 60, 3)),
        ("records without a key", within(1_200_000, 0, 0)),
        ("a short key, repeated within a row", within(600_000, 1, 1)),
        ("nothing, a million times", row_of(1_200_000, &[0xc0; 1_200_000])),
        ("nothing, thirty million times", row_of(8_000_000, &[0xc0; 8_000_000])),
        ("empty arrays", row_of(1_200_000, &[0x90; 1_200_000])),
        ("empty maps", row_of(1_200_000, &[0x80; 1_200_000])),
        ("arrays of one", row_of(600_000, &[0x91, 1].repeat(600_000))),
        ("texts of one byte", row_of(600_000, &[0xa1, b'x'].repeat(600_000))),
        ("maps of one", row_of(400_000, &[0x81, 0xa0, 1].repeat(400_000))),
    ] {
        if let Err(error) = read(&bytes, 448) {
            assert!(error.is_limit(), "{what}: {error}");
        }
    }

    // The largest that nodes write are read.
    let text = |length: usize| Value::String("x".repeat(length));
    let rows = |count: i64, more: &dyn Fn(i64) -> Vec<(&'static str, Value)>| {
        let row = |id: i64| map([("id", id.into())].into_iter().chain(more(id)));
        transaction(&encode(&Value::Array((0..count).map(row).collect())))
    };
    let names: Vec<&'static str> =
        (0..40).map(|at| &*format!("attribute{at}").leak()).collect();
    let short = |at: i64| names.iter().map(|name| (*name, at.into())).collect::<Vec<_>>();
    for (bytes, count) in [
        (rows(31, &|_| vec![("text", text(MIB))]), 31),
        (rows(100_000, &|_| vec![("text", text(270))]), 100_000),
        (rows(24_000, &short), 24_000),
        (transaction(&records(100_000, 10, 10)), 100_000),
    ] {
        assert_eq!(read(&bytes, 448).unwrap(), count);
    }
}
