//! Nodes that are down, frozen, or come back.

use std::time::Duration;

use harper_host::replication::StreamLimits;
use harper_host::{Replication, ReplicationError};
use harper_tests::nats::{Cluster, NatsNode, eventually, pid};
use rustix::process::Signal;
use serde_json::json;

use crate::{Node, durables_become, nodes, publishes, subscribes};

// covers: replication.away.frozen, replication.garbage
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_node_delays_nobody_and_is_cleared_when_it_is_back() {
    let cluster = nodes(3).await;
    let [first, second, third] = &cluster.nodes[..] else { panic!("three nodes") };
    let tables = ["dev.dog", "dev.cat"];
    for other in [second, third] {
        other.put("node-1", publishes(&tables)).await;
        other.settle("node-1").await.unwrap();
        first.put(other.name(), subscribes(&["dev.dog"])).await;
        first.settle(other.name()).await.unwrap();
    }
    third.signal(Signal::STOP);
    first.put("node-3", subscribes(&tables)).await;
    first.put("node-2", subscribes(&tables)).await;
    first.settle("node-2").await.unwrap();
    let settled = first.replicator.settle("node-3".into(), Duration::from_secs(4)).await;
    let text = "Node 'node-3' does not answer".to_owned();
    assert_eq!(settled, Err(ReplicationError::Unsettled(text.clone())));
    // It is removed while it is away.
    first.remove("node-3").await;
    let settled = first.replicator.settle("node-3".into(), Duration::from_secs(4)).await;
    assert_eq!(settled, Err(ReplicationError::Unsettled(text)));
    third.signal(Signal::CONT);
    durables_become(&third.servers.nats, "node-3", "dev.dog", &[]).await;
    durables_become(&third.servers.nats, "node-3", "dev.cat", &[]).await;
    first.settle("node-3").await.unwrap();
    durables_become(&first.servers.nats, "node-2", "dev.dog", &["node-1-leaf_node-2"]).await;
}

// covers: replication.away.down
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_later_gets_what_it_is_owed() {
    let mut cluster = Cluster::of(1).await.unwrap();
    let route = cluster.nodes[0].route();
    let first = Node::on(cluster.nodes.remove(0), StreamLimits::default()).await;
    first.put("node-2", subscribes(&["dev.dog"])).await;
    first.put("node-3", publishes(&["dev.dog"])).await;
    first.settle("node-3").await.unwrap();
    let settled = first.replicator.settle("node-2".into(), Duration::from_millis(500)).await;
    let text = "Node 'node-2' cannot be reached".to_owned();
    assert_eq!(settled, Err(ReplicationError::Unsettled(text)));

    let start = NatsNode::start(&cluster.authority, "node-2", |config| {
        config.hub_routes = vec![route];
    });
    let second = Node::on(start.await.unwrap(), StreamLimits::default()).await;
    second.put("node-1", publishes(&["dev.dog"])).await;
    second.settle("node-1").await.unwrap();
    durables_become(&second.servers.nats, "node-2", "dev.dog", &["node-1-leaf_node-2"]).await;
    first.settle("node-2").await.unwrap();
}

// covers: replication.away.own
#[tokio::test(flavor = "multi_thread")]
async fn the_own_leaf_may_die_at_any_time() {
    let cluster = nodes(2).await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    let tables: Vec<_> = (0..20).map(|n| format!("dev.t{n}")).collect();
    let names: Vec<_> = tables.iter().map(String::as_str).collect();
    second.put("node-1", publishes(&names)).await;
    second.settle("node-1").await.unwrap();
    for round in 1..=4 {
        let (some, server) = (
            &names[..round * 5],
            [harper_host::nats::ServerKind::Leaf, harper_host::nats::ServerKind::Hub][round % 2],
        );
        let both = some.iter().map(|name| {
            crate::subscription(name, true, true, json!({ "from": { "sequence": 0 } }))
        });
        first.put("node-2", both.collect()).await;
        let killed = pid(&first.servers.nats, server).unwrap();
        let raw = rustix::process::Pid::from_raw(killed.try_into().unwrap()).unwrap();
        rustix::process::kill_process(raw, Signal::KILL).unwrap();
        first.settle("node-2").await.unwrap();
        for name in some {
            durables_become(&second.servers.nats, "node-2", name, &["node-1-leaf_node-2"]).await;
        }
        eventually("its streams", async || {
            let context = first.servers.nats.jetstream("node-1-leaf");
            let names =
                futures_util::TryStreamExt::try_collect::<Vec<String>>(context.stream_names());
            names.await.is_ok_and(|names| names.len() == some.len())
        })
        .await
        .unwrap();
    }
}
