//! `cluster_network` of three nodes through the sandbox, against the same question asked by a bare
//! NATS client until the last of the six servers has answered.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_nats::Client;
use futures_util::StreamExt;
use harper_tests::nodes::Nodes;
use serde_json::json;

use crate::samples::{Samples, in_turn};
use crate::table::{Floor, Row, Unit};

const ROUNDS: usize = 201;
const SERVERS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(10);

async fn bare(client: &Client) -> Result<f64> {
    let started = Instant::now();
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await?;
    client.publish_with_reply("$SYS.REQ.SERVER.PING", inbox, "".into()).await?;
    for _ in 0..SERVERS {
        tokio::time::timeout(PATIENCE, answers.next()).await?.context("the connection ended")?;
    }
    let took = started.elapsed().as_secs_f64();
    answers.unsubscribe().await?;
    Ok(took)
}

pub(crate) fn measure(rows: &mut Vec<Row>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let cluster = runtime.block_on(Nodes::of(3))?;
    let node = &cluster.nodes[0];
    let client = runtime.block_on(node.servers.system())?;
    let ours = async || {
        let started = Instant::now();
        let reply = node.send(json!({ "operation": "cluster_network" })).await?;
        let took = started.elapsed().as_secs_f64();
        ensure!(reply["nodes"].as_array().is_some_and(|nodes| nodes.len() == 3), "{reply}");
        Ok(took)
    };
    let [ours, theirs]: [Samples; 2] = in_turn(
        ROUNDS,
        [&mut || runtime.block_on(ours()), &mut || runtime.block_on(bare(&client))],
    )?;
    let floor = Some(Floor::AtMost(3.0));
    let what = "cluster_network, 3 nodes";
    rows.push(Row::against(
        what,
        &ours,
        "the last server's answer",
        &theirs,
        Unit::Microseconds,
        floor,
    ));
    runtime.block_on(cluster.stop());
    Ok(())
}
