//! Nodes that fall silent, freeze or lose their servers in the middle of an operation: in the end
//! both sides are as before, or as after.

use std::time::Duration;

use harper_host::nats::ServerKind;
use harper_tests::nats::{eventually, freeze, pid, signal};
use harper_tests::nodes::{ClusterNode, Nodes};
use harper_tests::shared::{Flows, agreed, change, flowing};
use rustix::process::Signal;
use serde_json::Value;

const LONGEST: Duration = Duration::from_secs(35);

async fn two() -> Nodes {
    let cluster = Nodes::of(2).await.unwrap();
    for table in ["dev.dog", "dev.cat"] {
        cluster.nodes[0].make_table(table, &["id", "name"]).await.unwrap();
    }
    cluster
}

/// Performs the request, and something else as soon as the record here is another.
async fn amid(
    node: &ClusterNode,
    other: &str,
    request: Value,
    then: impl AsyncFn(),
) -> Result<Value, String> {
    let before = node.store.node(other).await.unwrap().map(|record| record.revision);
    let changed = async {
        eventually("the record is another", async || {
            node.store.node(other).await.unwrap().map(|record| record.revision) != before
        })
        .await
        .unwrap();
        then().await;
    };
    let sent = async { tokio::time::timeout(LONGEST, node.send(request)).await.expect("it ends") };
    let (reply, ()) = tokio::join!(sent, changed);
    reply.map_err(|error| error.message)
}

/// Both agree, on one of two states: on that which the reply has promised.
async fn before_or_after(
    cluster: &Nodes,
    reply: &Result<Value, String>,
    before: Option<Flows>,
    after: Option<Flows>,
) {
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    let seen = agreed(&[first, second]).await.unwrap();
    let expected = if reply.is_ok() { after } else { before };
    assert_eq!(seen[0].records.get("node-2"), expected.as_ref(), "{reply:?}");
}

// covers: nodes.real.frozen
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_freezes_before_it_is_told() {
    let cluster = two().await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    for server in [ServerKind::Hub, ServerKind::Leaf] {
        freeze(pid(&second.servers.nats, server).unwrap()).await.unwrap();
    }
    let reply = first.send(change("add_node", "node-2", &[("dev.dog", "<>")])).await;
    let error = reply.unwrap_err().message;
    let silent = "add_node failed: node 'node-2' did not reply within 5000 ms";
    assert_eq!(error, silent);
    // Nothing was begun, so there is nothing to wait for.
    let seen = first.seen().await.unwrap();
    assert!(seen.records.is_empty() && seen.left.is_empty() && seen.streams.is_empty(), "{seen:?}");
    cluster.stop().await;
}

// covers: nodes.real.frozen
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_freezes_in_the_midst() {
    let cluster = two().await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    let dog = [("dev.dog", "<>")];
    let reply = amid(first, "node-2", change("add_node", "node-2", &dog), async || {
        for server in [ServerKind::Hub, ServerKind::Leaf] {
            signal(&second.servers.nats, server, Signal::STOP).unwrap();
        }
    })
    .await;
    if let Err(text) = &reply {
        assert!(text.starts_with("add_node failed: node 'node-2' "), "{text}");
    }
    for server in [ServerKind::Hub, ServerKind::Leaf] {
        // Its supervisor may have killed it and started another.
        let _ = signal(&second.servers.nats, server, Signal::CONT);
    }
    before_or_after(&cluster, &reply, None, Some(flowing(&dog))).await;
    cluster.stop().await;
}

/// A server of a node is killed in the midst of a change that the first node makes.
async fn server_dies(whose: usize, server: ServerKind) {
    let cluster = two().await;
    let first = &cluster.nodes[0];
    let node = &cluster.nodes[whose];
    let dog = [("dev.dog", "<>")];
    first.send(change("add_node", "node-2", &dog)).await.unwrap();
    let wanted = [("dev.dog", "<"), ("dev.cat", ">")];
    let killed = pid(&node.servers.nats, server).unwrap();
    let request = change("update_node", "node-2", &wanted);
    let reply = amid(first, "node-2", request, async || {
        signal(&node.servers.nats, server, Signal::KILL).unwrap();
    })
    .await;
    eventually("it runs again", async || {
        pid(&node.servers.nats, server).is_some_and(|pid| pid != killed)
    })
    .await
    .unwrap();
    before_or_after(&cluster, &reply, Some(flowing(&dog)), Some(flowing(&wanted))).await;
    cluster.stop().await;
}

// covers: nodes.real.servers-die
#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_dies_in_the_midst() {
    tokio::join!(server_dies(0, ServerKind::Leaf), server_dies(1, ServerKind::Leaf));
}

// covers: nodes.real.servers-die
#[tokio::test(flavor = "multi_thread")]
async fn a_hub_dies_in_the_midst() {
    tokio::join!(server_dies(0, ServerKind::Hub), server_dies(1, ServerKind::Hub));
}
