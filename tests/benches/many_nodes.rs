//! `configure_cluster` of 50 nodes, against `add_node` of one; and every operation on a node that has
//! records of 1,000 others with 100 subscriptions each. The others answer at once, but for what a
//! network takes, so that these are the node's own costs.

use std::time::{Duration, Instant};

use anyhow::Result;
use harper_tests::others::{NodeAmongOthers, Others, name, subscriptions_of};
use serde_json::{Value, json};

use crate::node::folder;
use crate::samples::{Samples, in_turn};
use crate::table::{Floor, Row, Unit};

const ROUNDS: usize = 21;
const FEW: usize = 50;
const MANY: usize = 1000;
const TABLES: usize = 100;
/// There and back, between machines of one site.
const NETWORK: Duration = Duration::from_millis(1);

fn change(operation: &str, node: &str, tables: usize) -> Value {
    let subscriptions = subscriptions_of(tables);
    json!({ "operation": operation, "node_name": node, "subscriptions": subscriptions })
}

fn remove(node: &str) -> Value {
    json!({ "operation": "remove_node", "node_name": node })
}

fn configure(nodes: usize, tables: usize) -> Value {
    let one = |n| json!({ "node_name": name(n), "subscriptions": subscriptions_of(tables) });
    let connections: Value = (0..nodes).map(one).collect();
    json!({ "operation": "configure_cluster", "connections": connections })
}

async fn timed(node: &NodeAmongOthers, request: Value) -> Result<f64> {
    let began = Instant::now();
    node.send(request).await?;
    Ok(began.elapsed().as_secs_f64())
}

pub(crate) fn measure(rows: &mut Vec<Row>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async { few(rows).await })?;
    runtime.block_on(async { many(rows).await })
}

/// Fifty nodes cost little more than one: all are asked at the same time.
async fn few(rows: &mut Vec<Row>) -> Result<()> {
    let root = folder()?;
    let node = NodeAmongOthers::start(root.path(), Others::after(NETWORK)).await?;
    node.make_tables(1).await?;
    let ours = async || {
        let took = timed(&node, configure(FEW, 1)).await?;
        node.send(configure(0, 0)).await?;
        Ok(took)
    };
    let theirs = async || {
        let took = timed(&node, change("add_node", &name(0), 1)).await?;
        node.send(remove(&name(0))).await?;
        Ok(took)
    };
    let handle = tokio::runtime::Handle::current();
    let block = |work: &dyn Fn() -> Result<f64>| tokio::task::block_in_place(work);
    let [ours, theirs]: [Samples; 2] = in_turn(
        ROUNDS,
        [&mut || block(&|| handle.block_on(ours())), &mut || block(&|| handle.block_on(theirs()))],
    )?;
    let floor = Some(Floor::AtMost(6.0));
    let what = "configure_cluster, 50 nodes";
    rows.push(Row::against(what, &ours, "add_node, one node", &theirs, Unit::Milliseconds, floor));
    Ok(())
}

async fn many(rows: &mut Vec<Row>) -> Result<()> {
    let root = folder()?;
    let node = NodeAmongOthers::start(root.path(), Others::after(Duration::ZERO)).await?;
    node.make_tables(TABLES).await?;
    node.remember(MANY, TABLES).await?;
    let mut all: [(&str, Samples); 8] = [
        "cluster_status",
        "add_node",
        "update_node",
        "set_node_replication",
        "remove_node",
        "purge_stream",
        "configure_cluster",
        "configure_cluster, none",
    ]
    .map(|what| (what, Samples::default()));
    for _ in 0..3 {
        let requests = [
            json!({ "operation": "cluster_status" }),
            change("add_node", "another", TABLES),
            change("update_node", "another", TABLES),
            change("set_node_replication", &name(7), TABLES),
            remove("another"),
            json!({ "operation": "purge_stream", "database": "dev", "table": "t0" }),
            // As many subscriptions as a request may have.
            configure(MANY, 5),
            configure(0, 0),
        ];
        for ((_, samples), request) in all.iter_mut().zip(requests) {
            samples.push(timed(&node, request).await?);
        }
        node.remember(MANY, TABLES).await?;
    }
    for (what, samples) in &all {
        let what = format!("{what}, 1,000 nodes");
        rows.push(Row::of(&what, samples, Unit::Milliseconds, Some(Floor::AtMost(1000.0))));
    }
    Ok(())
}
