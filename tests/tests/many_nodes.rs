//! A node with a record of each of a thousand others, and a hundred subscriptions in each: every
//! operation is within the budget that a call has by default.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use harper_tests::others::{NodeAmongOthers, Others, name, subscriptions_of};
use serde_json::{Value, json};

const NODES: usize = 1000;
/// Nodes of one `configure_cluster`: a host that is not optimised takes some 20 ms for each. What a
/// thousand take is measured, in `benches/many_nodes.rs`.
const CONFIGURED: usize = 200;
const TABLES: usize = 100;

// covers: nodes.many
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_nodes_with_a_hundred_subscriptions_each() {
    let folder = tempfile::tempdir().unwrap();
    let node = NodeAmongOthers::start(folder.path(), Others::after(Duration::ZERO)).await.unwrap();
    node.make_tables(TABLES).await.unwrap();
    node.remember(NODES, TABLES).await.unwrap();
    let send = async |what: &str, request: Value| {
        let began = Instant::now();
        let reply = node.send(request).await;
        println!("{what}: {:?}", began.elapsed());
        reply.unwrap_or_else(|error| panic!("{what}: {error}"))
    };
    let of = |operation: &str, node: &str| {
        json!({
            "operation": operation,
            "node_name": node,
            "subscriptions": subscriptions_of(TABLES),
        })
    };
    let status = send("cluster_status", json!({ "operation": "cluster_status" })).await;
    let connections = status["connections"].as_array().unwrap();
    assert_eq!(connections.len(), NODES);
    assert!(connections.iter().all(|one| one["status"] == "open"));
    send("add_node", of("add_node", "another")).await;
    send("update_node", of("update_node", "another")).await;
    send("set_node_replication", of("set_node_replication", &name(7))).await;
    send("remove_node", json!({ "operation": "remove_node", "node_name": "another" })).await;
    let purge = json!({ "operation": "purge_stream", "database": "dev", "table": "t0" });
    send("purge_stream", purge).await;
}

// covers: nodes.many
#[tokio::test(flavor = "multi_thread")]
async fn the_setup_of_many_nodes_is_replaced_and_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let node = NodeAmongOthers::start(folder.path(), Others::after(Duration::ZERO)).await.unwrap();
    node.make_tables(TABLES).await.unwrap();
    node.remember(CONFIGURED, TABLES).await.unwrap();
    let configure = async |connections: Value| {
        let began = Instant::now();
        let request = json!({ "operation": "configure_cluster", "connections": connections });
        let reply = node.send(request).await.unwrap();
        println!("configure_cluster: {:?}", began.elapsed());
        assert_eq!(reply, json!({ "message": "Cluster successfully configured." }));
    };
    // In all as many subscriptions as a request may have.
    let connection = |n| json!({ "node_name": name(n), "subscriptions": subscriptions_of(25) });
    configure((0..CONFIGURED).map(connection).collect()).await;
    let records = node.store.nodes().await.unwrap();
    assert_eq!(records.len(), CONFIGURED);
    for (_, record) in &records {
        assert_eq!(record.record["subscriptions"].as_array().unwrap().len(), 25);
    }
    let asked = node.others.asked();
    configure(json!([])).await;
    assert_eq!(node.store.nodes().await.unwrap(), []);
    assert_eq!(node.others.asked() - asked, CONFIGURED);
}
