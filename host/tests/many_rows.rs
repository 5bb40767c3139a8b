//! A table with many rows: what is read by key stays fast, what describes it reads no row, and no
//! search fills the memory.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use harper_host::TableName;
use harper_host::data::{Data, DataConfig, Key, Row, Search, Write};
use harper_host::store::Store;
use serde_json::{Value, json};

/// How many rows `make soak` writes.
const ROWS: &str = "HARPER_ROWS";
/// Rows of one request.
const BATCH: u64 = 1000;
/// The process's memory at its highest: redb's cache of 64 MiB, what a request and a chunk hold, and
/// this program.
const MOST_MEMORY: u64 = 256 << 20;

fn dog() -> TableName {
    TableName { database: "dev".into(), table: "dog".into() }
}

fn row(n: u64) -> Row {
    // In no order.
    let id = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let row = json!({ "id": format!("{id:016x}"), "n": n, "text": "x".repeat(150) });
    row.as_object().unwrap().clone()
}

async fn write(data: &Data, rows: std::ops::Range<u64>) {
    for from in rows.step_by(BATCH.try_into().unwrap()) {
        let rows = (from..from + BATCH).map(row).collect();
        data.write(&dog(), Write::Insert, rows, "admin").await.unwrap();
    }
}

/// The median time of `act`.
async fn median(times: u64, mut act: impl AsyncFnMut(u64)) -> Duration {
    let mut took = Vec::new();
    for n in 0..times {
        let started = Instant::now();
        act(n).await;
        took.push(started.elapsed());
    }
    took.sort();
    took[took.len() / 2]
}

async fn read_one(data: &Data, rows: u64) -> Duration {
    median(2000, async |n| {
        let row = row(n.wrapping_mul(7919) % rows);
        let key = Key::try_from(&row["id"]).unwrap();
        let found = data.get(&dog(), vec![key]).await.unwrap();
        assert_eq!(found[0]["n"], row["n"]);
    })
    .await
}

async fn describe(data: &Data, rows: u64) -> Duration {
    median(50, async |_| assert_eq!(data.table(&dog()).await.unwrap().record_count, rows)).await
}

fn highest_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

// covers: layer.many-rows
#[tokio::test]
async fn a_table_of_many_rows_costs_as_a_small_one() {
    let rows: u64 = std::env::var(ROWS).map_or(100_000, |rows| rows.parse().unwrap());
    let few = rows / 20;
    let root = tempfile::tempdir().unwrap();
    let data = Data::open(Store::open(root.path()).await.unwrap(), DataConfig::default());
    let data = data.await.unwrap();
    data.create_table(&dog(), "id", &[], "admin").await.unwrap();
    write(&data, 0..few).await;
    let (read_few, describe_few) = (read_one(&data, few).await, describe(&data, few).await);
    write(&data, few..rows).await;
    let (read_all, describe_all) = (read_one(&data, rows).await, describe(&data, rows).await);
    println!(
        "{rows} rows: get {read_few:?} -> {read_all:?}, describe {describe_few:?} -> {describe_all:?}"
    );
    // Pages that are in no cache are read from the system's.
    let slack = Duration::from_micros(200);
    assert!(read_all < read_few * 3 + slack, "{read_few:?} {read_all:?}");
    assert!(describe_all < describe_few * 3 + slack, "{describe_few:?} {describe_all:?}");

    let mut found = data.search(&dog(), Search::new("n", Value::from("*"))).await.unwrap();
    let (mut number, mut sum) = (0, 0);
    while let Some(chunk) = found.next().await {
        for row in chunk.unwrap() {
            number += 1;
            sum += row["n"].as_u64().unwrap();
        }
    }
    assert_eq!((number, sum), (rows, rows * (rows - 1) / 2));
    let highest = highest_memory();
    println!("memory at its highest: {} MiB", highest >> 20);
    assert!(highest < MOST_MEMORY, "{highest}");
    data.close().await;

    let started = Instant::now();
    let store = Store::open(root.path()).await.unwrap();
    let data = Data::open(store, DataConfig::default()).await.unwrap();
    println!("opened again in {:?}", started.elapsed());
    assert_eq!(data.table(&dog()).await.unwrap().record_count, rows);
    let started = Instant::now();
    data.drop_table(&dog()).await.unwrap();
    println!("dropped in {:?}", started.elapsed());
}
