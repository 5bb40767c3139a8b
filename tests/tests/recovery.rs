//! When the plugin is asked to finish or undo what its calls have left.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use harper_host::recovery::Recovery;
use harper_host::{Caller, Limits};
use harper_tests::Node;
use harper_tests::nats::eventually;
use serde_json::json;

/// How often the plugin was called, for whatever.
fn calls(node: &Node) -> u64 {
    let series = "harper_plugin_memory_bytes_count{plugin=\"clustering\"} ";
    let metrics = node.host.metrics();
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    line.map_or(0, |count| count.parse().unwrap())
}

async fn calls_become(node: &Node, expected: u64) {
    eventually(&format!("{expected} calls"), async || calls(node) >= expected).await.unwrap();
    assert_eq!(calls(node), expected);
}

async fn node(limits: Limits) -> Node {
    Node::with("", |host| host.clustering_limits(limits)).await.unwrap()
}

// covers: recovery.start, recovery.stopped
#[tokio::test]
async fn it_is_called_at_the_start_and_after_a_call_that_was_stopped() {
    let mut limits = Limits::default();
    limits.host_calls = 0;
    let node = node(limits).await;
    let _recovery = Recovery::start(node.host.clone());
    calls_become(&node, 1).await;
    assert!(node.host.metrics().contains("\nharper_operations_left 0\n"));

    // What only looks leaves nothing.
    let look = json!({ "operation": "cluster_get_routes" });
    assert!(node.send(look).await.unwrap_err().message.contains("was stopped"));
    calls_become(&node, 2).await;
    let routes = json!([{ "host": "a", "port": 1 }]);
    let change = json!({ "operation": "cluster_set_routes", "server": "hub", "routes": routes });
    assert!(node.send(change).await.unwrap_err().message.contains("was stopped"));
    calls_become(&node, 4).await;
    // Neither does one that was refused, or that did not begin.
    let refused = json!({ "operation": "cluster_set_routes", "server": "x" });
    node.send(refused).await.unwrap_err();
    calls_become(&node, 5).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(calls(&node), 5);
}

// covers: recovery.stopped
#[tokio::test]
async fn it_is_called_after_a_call_that_was_given_up() {
    let node = node(Limits::default()).await;
    let _recovery = Recovery::start(node.host.clone());
    calls_become(&node, 1).await;
    let routes = json!([{ "host": "a", "port": 1 }]);
    let change = json!({ "operation": "cluster_set_routes", "server": "hub", "routes": routes });
    let caller = Caller::super_user("admin");
    let mut call = Box::pin(node.host.dispatch(&caller, change));
    // It has begun, and waits for the file.
    tokio::select! {
        biased;
        _ = &mut call => panic!("it is done already"),
        () = std::future::ready(()) => {}
    }
    drop(call);
    eventually("it is called", async || calls(&node) >= 2).await.unwrap();
}

// covers: recovery.stopped
#[tokio::test]
async fn it_is_called_after_an_answer_that_was_stopped() {
    let mut limits = Limits::default();
    limits.host_calls = 0;
    let node = Node::with("", |host| host.peer_limits(limits)).await.unwrap();
    let _recovery = Recovery::start(node.host.clone());
    calls_become(&node, 1).await;
    let request = json!({ "operation": "cluster_status" });
    let request = harper_wire::encode(&harper_wire::Value::from(request));
    node.host.answer_peer(request).await;
    calls_become(&node, 3).await;
}
