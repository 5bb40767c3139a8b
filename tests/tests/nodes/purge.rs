//! `purge_stream` on the stream of a table.

use std::time::Duration;

use harper_host::ErrorKind;
use harper_tests::nodes::{ClusterNode, Nodes};
use harper_tests::shared::{agreed, change};
use harper_wire::names;
use serde_json::{Value, json};

const MESSAGES: u64 = 20;

async fn publish(node: &ClusterNode, text: u64) -> u64 {
    let context = node.servers.nats.jetstream(&names::domain(node.name()));
    let subject = names::subject("dev", "dog", node.name());
    let published = context.publish(subject, text.to_string().into()).await.unwrap();
    published.await.unwrap().sequence
}

/// What is in the stream: sequences and texts, each asked for by its sequence.
async fn messages(node: &ClusterNode) -> Vec<(u64, String)> {
    let context = node.servers.nats.jetstream(&names::domain(node.name()));
    let stream = context.get_stream(names::stream("dev", "dog")).await.unwrap();
    let last = stream.get_info().await.unwrap().state.last_sequence;
    let mut found = Vec::new();
    for sequence in 1..=last {
        if let Ok(message) = stream.get_raw_message(sequence).await {
            found.push((sequence, String::from_utf8(message.payload.to_vec()).unwrap()));
        }
    }
    found
}

fn texts(sequences: impl Iterator<Item = u64>) -> Vec<(u64, String)> {
    sequences.map(|sequence| (sequence, sequence.to_string())).collect()
}

fn purge(options: Option<Value>) -> Value {
    let mut request = json!({ "operation": "purge_stream", "database": "dev", "table": "dog" });
    if let Some(options) = options {
        request["options"] = options;
    }
    request
}

// covers: nodes.real.purge
#[tokio::test(flavor = "multi_thread")]
async fn what_remains_is_what_was_asked_for() {
    let cluster = Nodes::of(2).await.unwrap();
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    let purged = async |options| {
        let reply = first.send(purge(options)).await.unwrap();
        assert_eq!(reply["message"], "Successfully purged table 'dev.dog'");
        assert_eq!(reply.as_object().unwrap().len(), 2, "{reply}");
        reply["purged"].as_u64().unwrap()
    };
    let error = async |request| {
        let error = first.send(request).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        error.message
    };
    assert_eq!(error(purge(None)).await, "database 'dev' does not exist");
    first.make_table("dev.cat", &["id"]).await.unwrap();
    assert_eq!(error(purge(None)).await, "Table 'dev.dog' does not exist");
    first.make_table("dev.dog", &["id"]).await.unwrap();
    assert_eq!(purged(None).await, 0, "nobody has subscribed to it yet");

    first.send(change("add_node", "node-2", &[("dev.dog", ">")])).await.unwrap();
    for sequence in 1..=MESSAGES {
        assert_eq!(publish(first, sequence).await, sequence);
    }
    assert_eq!(messages(first).await, texts(1..=20));
    for (options, text) in [
        (json!({ "keep": 1, "seq": 1 }), "'options' must not have both keep and seq"),
        (json!({}), "'options' must be an object with keep or seq"),
        (json!(null), "'options' must be an object with keep or seq"),
        (json!({ "keep": -1 }), "'options.keep' must be an integer greater than or equal to 0"),
        (json!({ "seq": 0 }), "'options.seq' must be an integer greater than or equal to 1"),
        (json!({ "sequence": 1 }), "'options.sequence' is not allowed"),
    ] {
        assert_eq!(error(purge(Some(options))).await, text);
    }
    assert_eq!(messages(first).await, texts(1..=20));

    assert_eq!(purged(Some(json!({ "seq": 4 }))).await, 3);
    assert_eq!(messages(first).await, texts(4..=20));
    assert_eq!(purged(Some(json!({ "seq": 4 }))).await, 0);
    assert_eq!(purged(Some(json!({ "keep": 10 }))).await, 7);
    assert_eq!(messages(first).await, texts(11..=20));
    assert_eq!(purged(Some(json!({ "keep": 100 }))).await, 0);
    assert_eq!(messages(first).await, texts(11..=20));
    assert_eq!(purged(None).await, 10);
    assert_eq!(messages(first).await, []);
    // Sequences go on, so that nobody takes new messages for old ones.
    assert_eq!(publish(first, 21).await, 21);
    assert_eq!(purged(Some(json!({ "keep": 0 }))).await, 1);
    assert_eq!(publish(first, 22).await, 22);
    // Beyond the last: all of them.
    assert_eq!(purged(Some(json!({ "seq": 1000 }))).await, 1);
    assert_eq!(messages(first).await, []);
    assert_eq!(publish(first, 23).await, 23, "and sequences go on from the last");
    assert_eq!(purged(Some(json!({ "seq": 1_u64 << 53 }))).await, 1);
    assert_eq!(publish(first, 24).await, 24);
    assert_eq!(purged(None).await, 1);
    // Stream and durable consumer are as before, and so is the other node.
    agreed(&[first, second]).await.unwrap();
    cluster.stop().await;
}

/// Another node's stream of the same table is none of this one's.
// covers: nodes.real.purge
#[tokio::test(flavor = "multi_thread")]
async fn only_this_nodes_own_stream_is_purged() {
    let cluster = Nodes::of(2).await.unwrap();
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    first.make_table("dev.dog", &["id"]).await.unwrap();
    first.send(change("add_node", "node-2", &[("dev.dog", "<>")])).await.unwrap();
    for sequence in 1..=3 {
        publish(first, sequence).await;
        publish(second, sequence).await;
    }
    let reply = tokio::time::timeout(Duration::from_secs(10), second.send(purge(None))).await;
    assert_eq!(reply.unwrap().unwrap()["purged"], 3);
    assert_eq!(messages(second).await, []);
    assert_eq!(messages(first).await, texts(1..=3));
    cluster.stop().await;
}
