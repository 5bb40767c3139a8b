//! The memory of a node, in a process of its own, that has a million rows to catch up with: at its
//! largest, code and the database's cache included.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harper_tests::nats::eventually;
use harper_tests::nodes::Nodes;
use harper_tests::whole_node::{Process, WholeNode};
use harper_wire::names;
use serde_json::json;

use crate::node::folder;
use crate::replication::{fill, flowing, now, table};
use crate::samples::Samples;
use crate::table::{Floor, Row, Unit};

const MESSAGES: u64 = 1_000_000;
/// For all of them to be applied.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn measure(rows: &mut Vec<Row>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(catch_up(rows))
}

async fn catch_up(rows: &mut Vec<Row>) -> Result<()> {
    let cluster = Nodes::with(1, flowing()).await?;
    let first = &cluster.nodes[0];
    let dog = table("dog");
    first.data.create_table(&dog, "id", &[], "bench").await?;
    // Somebody has the stream kept.
    let flow = json!({ "schema": "dev", "table": "dog", "publish": true, "subscribe": false });
    first.remember("another", json!([flow])).await?;
    let context = first.servers.nats.jetstream(&names::domain(first.name()));
    eventually("the stream is there", async || {
        context.get_stream(names::stream("dev", "dog")).await.is_ok()
    })
    .await?;
    fill(first, std::slice::from_ref(&dog), MESSAGES, &mut now()).await?;

    let node = WholeNode::in_folder(folder()?, &cluster, env!("CARGO_BIN_EXE_whole-node"))?;
    let second = start(&node).await?;
    let subscription = json!({
        "schema": "dev", "table": "dog", "publish": false, "subscribe": true,
        "start_time": "2020-01-01T00:00:00.000Z",
    });
    let begin = json!({
        "operation": "set_node_replication", "node_name": first.name(),
        "subscriptions": [subscription],
    });
    let before = most_memory(&second)?;
    let began = Instant::now();
    second.send(begin).await?;
    let describe = json!({ "operation": "describe_table", "database": "dev", "table": "dog" });
    loop {
        let found =
            second.send(describe.clone()).await?["record_count"].as_u64().unwrap_or_default();
        if found >= MESSAGES {
            break;
        }
        ensure!(began.elapsed() < PATIENCE, "{found} of {MESSAGES} rows have come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (mut rate, mut memory, mut ready) =
        (Samples::default(), Samples::default(), Samples::default());
    rate.push(MESSAGES as f64 / began.elapsed().as_secs_f64());
    memory.push(most_memory(&second)?);
    ready.push(before);
    rows.push(Row::of("rows applied of 1,000,000", &rate, Unit::PerSecond, None));
    rows.push(Row::of("memory before", &ready, Unit::Megabytes, None));
    let floor = Some(Floor::AtMost(256.0));
    rows.push(Row::of("memory at most, 1,000,000 rows", &memory, Unit::Megabytes, floor));
    second.kill().await?;
    cluster.stop().await;
    Ok(())
}

/// The node, once it has found the others.
async fn start(node: &WholeNode) -> Result<Process> {
    let process = node.start(&["flow"]).await?;
    let began = Instant::now();
    loop {
        let reached = process.send(json!({ "operation": "cluster_network" })).await?;
        if reached["nodes"].as_array().is_some_and(|nodes| nodes.len() == 2) {
            return Ok(process);
        }
        ensure!(began.elapsed() < PATIENCE, "the nodes do not find each other");
    }
}

/// Bytes of memory that it has had in use at most, as the kernel counts them.
fn most_memory(process: &Process) -> Result<f64> {
    let id = process.id().context("it runs")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024.0)
}
