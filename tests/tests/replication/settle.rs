//! Whoever waits is told the truth.

use std::time::Duration;

use harper_host::{Replication, ReplicationError};
use serde_json::json;

use crate::many::{host, value};
use crate::{Node, durables, durables_become, eventually, nodes, publishes, subscribes};

/// For what will not be so.
const SHORT: Duration = Duration::from_millis(700);

async fn unsettled(node: &Node, other: &str) -> String {
    match node.replicator.settle(other.into(), SHORT).await {
        Err(ReplicationError::Unsettled(text)) => text,
        settled => panic!("{settled:?}"),
    }
}

// covers: replication.settle
#[tokio::test(flavor = "multi_thread")]
async fn it_is_settled_when_it_is_so_and_not_before() {
    let cluster = nodes(2).await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    // Nothing is wanted of a node that nobody knows.
    first.settle("node-9").await.unwrap();

    first.put("node-2", subscribes(&["dev.dog"])).await;
    let text = "The durable consumer of 'dev.dog' on node 'node-2' could not be made: the node has \
                no stream of this table";
    assert_eq!(unsettled(first, "node-2").await, text);
    // As soon as it can be.
    let _held = second.ensure(&["dev.dog"]).await.unwrap();
    first.settle("node-2").await.unwrap();
    durables_become(&first.servers.nats, "node-2", "dev.dog", &["node-1-leaf_node-2"]).await;

    // What somebody removes is found to be gone by whoever asks, and made anew.
    first.settle("node-2").await.unwrap();
    let context = second.servers.nats.jetstream("node-2-leaf");
    let stream = context.get_stream(harper_wire::names::stream("dev", "dog")).await.unwrap();
    stream.delete_consumer("node-1-leaf_node-2").await.unwrap();
    // It had matched a moment before.
    first.settle("node-2").await.unwrap();
    assert_eq!(durables(&first.servers.nats, "node-2", "dev.dog").await.len(), 1);

    first.put("node-9", subscribes(&["dev.dog"])).await;
    assert_eq!(unsettled(first, "node-9").await, "Node 'node-9' cannot be reached");
    first.remove("node-9").await;
    first.settle("node-9").await.unwrap();
    first.put("node-8", json!([{ "schema": "dev", "table": "a*", "subscribe": true }])).await;
    let text = "'dev.a*' is no table that nodes can share";
    assert_eq!(unsettled(first, "node-8").await, text);
}

// covers: replication.being-made
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_the_other_node_is_about_to_make_is_no_failure() {
    let cluster = nodes(2).await;
    let first = &cluster.nodes[0];
    let host = host(first).await;
    let failures = || value(&host.metrics(), "harper_replication_failures_total{of=\"durables\"}");
    first.put("node-2", subscribes(&["dev.dog"])).await;
    // It was tried, and whoever waits is told.
    assert!(unsettled(first, "node-2").await.ends_with("the node has no stream of this table"));
    assert_eq!(failures(), 0.0);
    // It takes too long.
    eventually("it is one", async || failures() > 0.0).await.unwrap();
}

// covers: replication.settle
#[tokio::test(flavor = "multi_thread")]
async fn many_who_wait_for_many_changes_all_see_theirs() {
    let cluster = nodes(2).await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    let tables: Vec<_> = (0..10).map(|n| format!("dev.t{n}")).collect();
    let names: Vec<_> = tables.iter().map(String::as_str).collect();
    second.put("node-1", publishes(&names)).await;
    second.settle("node-1").await.unwrap();
    let rounds = (0..10).map(async |n: usize| {
        // Each writes what is there by then and more, and sees at least its own.
        loop {
            let record = first.store.node("node-2").await.unwrap();
            let expected = record.as_ref().map(|record| record.revision);
            let mut subscriptions =
                record.map_or(json!([]), |record| record.record["subscriptions"].clone());
            let own = subscribes(&names[n..=n])[0].clone();
            subscriptions.as_array_mut().unwrap().push(own);
            let record = json!({ "name": "node-2", "subscriptions": subscriptions });
            if first.store.put_node("node-2", record, expected).await.unwrap().is_ok() {
                break;
            }
        }
        first.settle("node-2").await.unwrap();
        assert_eq!(durables(&first.servers.nats, "node-2", names[n]).await.len(), 1);
    });
    futures_util::future::join_all(rounds).await;
}
