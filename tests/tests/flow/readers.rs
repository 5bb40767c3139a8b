//! How far other nodes are, as the one sees it whose tables they read.

use harper_host::Host;
use harper_tests::nats::eventually;
use harper_tests::nodes::ClusterNode;
use serde_json::{Value, json};

use super::{flowing, from_first_to_second};

async fn stream(node: &ClusterNode) -> Value {
    let status = node.send(json!({ "operation": "replication_status" })).await.unwrap();
    status["streams"][0].clone()
}

fn metric(host: &Host, name: &str) -> Option<String> {
    let of = r#"{node="node-2",database="dev",table="dog"} "#;
    let line = format!("harper_replication_{name}{of}");
    host.metrics().lines().find_map(|one| one.strip_prefix(&line)).map(str::to_owned)
}

// covers: replication.readers
#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_sees_how_far_its_readers_are() {
    let mut cluster = from_first_to_second().await;
    let second = cluster.nodes.pop().unwrap();
    let first = &cluster.nodes[0];
    first.insert_each(0..5).await.unwrap();
    second.comes_to_have(0..5).await.unwrap();
    eventually("all of it is acknowledged", async || {
        let stream = stream(first).await;
        stream["readers"][0]["acknowledged"] == stream["last_sequence"]
    })
    .await
    .unwrap();
    let before = stream(first).await;
    assert_eq!(before["readers"][0]["pending"], 0, "{before}");
    assert_eq!(before["readers"][0]["node_name"], "node-2", "{before}");

    // It is away, and is seen to fall behind.
    let servers = second.halt().await.unwrap();
    first.insert_each(5..12).await.unwrap();
    first.is_published().await.unwrap();
    let behind = stream(first).await;
    let reader = json!({
        "node_name": "node-2", "acknowledged": before["last_sequence"], "pending": 7,
    });
    assert_eq!(behind["readers"], json!([reader]), "{behind}");
    let last = before["last_sequence"].as_u64().unwrap() + 7;
    assert_eq!((&behind["last_sequence"], &behind["messages"]), (&json!(last), &json!(last)));

    let second = ClusterNode::on(servers, flowing()).await.unwrap();
    second.comes_to_have(0..12).await.unwrap();
    eventually("it has caught up", async || {
        let stream = stream(first).await;
        stream["readers"][0]["pending"] == 0 && stream["readers"][0]["acknowledged"] == last
    })
    .await
    .unwrap();
    first.host.look_for_metrics().await;
    assert_eq!(metric(&first.host, "reader_pending").as_deref(), Some("0.0"));
    assert_eq!(metric(&first.host, "reader_acknowledged"), Some(format!("{last}.0")));
    cluster.nodes.push(second);
    cluster.stop().await;
}
