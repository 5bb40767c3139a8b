//! Who is in the network.

use std::time::Duration;

use harper_host::nats::{ServerKind, ServersError};
use harper_tests::nats::{Authority, Cluster, NatsNode, PATIENCE, eventually, names, pid};
use rustix::process::Signal;
use serde_json::Value;
use tokio::time::Instant;

use super::restarts::{freeze, signal};

// covers: nats.network.exact-end
#[tokio::test(flavor = "multi_thread")]
async fn all_are_found_with_their_routes_and_nobody_is_waited_for() {
    let cluster = Cluster::of(3).await.unwrap();
    let start = Instant::now();
    let found = cluster.nodes[0].nats.servers(PATIENCE).await.unwrap();
    assert!(start.elapsed() < PATIENCE / 10, "{:?}", start.elapsed());
    assert_eq!(names(&found), ["node-1-hub", "node-2-hub", "node-3-hub"]);
    assert_eq!(found.silent, [""; 0]);
    assert_eq!(found.hubs[0].routes, ["node-2-hub", "node-3-hub"]);
    let mut urls = found.hubs[0].cluster_urls.clone();
    urls.sort();
    let mut expected: Vec<_> = cluster.others(0).iter().map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(urls, expected);
    assert!(found.hubs.iter().all(|hub| !hub.response_time.is_zero()));
}

// covers: nats.network.frozen
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_node_costs_the_timeout_and_no_more_and_a_killed_one_nothing() {
    let mut cluster = Cluster::of(3).await.unwrap();
    let frozen = pid(&cluster.nodes[2].nats, ServerKind::Hub).unwrap();
    let patience = Duration::from_millis(300);
    freeze(frozen).await;
    let start = Instant::now();
    let found = cluster.nodes[0].nats.servers(patience).await.unwrap();
    let took = start.elapsed();
    assert_eq!(names(&found), ["node-1-hub", "node-2-hub"]);
    assert_eq!(found.silent, ["node-3-hub"]);
    assert!(took >= patience && took < patience + Duration::from_secs(2), "{took:?}");
    signal(frozen, Signal::CONT);
    cluster.joined().await.unwrap();
    // Killed while it is frozen.
    freeze(frozen).await;
    drop(cluster.nodes.pop());
    eventually("the killed one is known to be gone", async || {
        let found = cluster.nodes[0].nats.servers(patience).await.unwrap();
        found.silent.is_empty() && names(&found) == ["node-1-hub", "node-2-hub"]
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_of_ones_own_that_is_frozen_or_gone_is_told() {
    let authority = Authority::new().unwrap();
    let node = NatsNode::start(&authority, "one", |_| {}).await.unwrap();
    let hub = pid(&node.nats, ServerKind::Hub).unwrap();
    freeze(hub).await;
    let patience = Duration::from_millis(200);
    let refused = node.nats.servers(patience).await;
    assert!(matches!(refused, Err(ServersError::Timeout(_))), "{refused:?}");
    signal(hub, Signal::KILL);
    eventually("it is back", async || node.nats.servers(PATIENCE / 10).await.is_ok())
        .await
        .unwrap();
}

// covers: nats.network.no-leak
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_questions_leave_nothing_behind() {
    let authority = Authority::new().unwrap();
    let node = NatsNode::start(&authority, "one", |_| {}).await.unwrap();
    let system = node.system().await.unwrap();
    let id = system.server_info().server_id;
    // What the server itself counts: connections, and subscriptions of all of them.
    let count = async || {
        let subject = format!("$SYS.REQ.SERVER.{id}.CONNZ");
        let reply = system.request(subject, r#"{"subscriptions":true}"#.into()).await.unwrap();
        let reply: Value = serde_json::from_slice(&reply.payload).unwrap();
        let connections = reply["data"]["connections"].as_array().unwrap();
        let subscriptions = connections.iter().map(|one| one["subscriptions"].as_u64().unwrap());
        (connections.len(), subscriptions.sum::<u64>())
    };
    node.nats.servers(PATIENCE).await.unwrap();
    // The first request of a connection subscribes for all later ones.
    count().await;
    let before = count().await;
    assert!(before.0 >= 2, "{before:?}");
    for _ in 0..100 {
        let asked = (0..9).map(|_| node.nats.servers(PATIENCE));
        futures_util::future::try_join_all(asked).await.unwrap();
        // Who asks may go away at any time.
        let brief = Duration::from_micros(200);
        let _ = tokio::time::timeout(brief, node.nats.servers(PATIENCE)).await;
    }
    eventually("as before", async || count().await == before).await.unwrap();
}
