//! `cluster_network` between nodes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use harper_host::nats::ServerKind;
use harper_tests::nats::{eventually, pid};
use harper_tests::nodes::Nodes;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

fn names(list: &Value) -> BTreeSet<&str> {
    let names: Vec<_> =
        list.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let distinct: BTreeSet<_> = names.iter().copied().collect();
    assert_eq!(names.len(), distinct.len(), "twice in {list}");
    distinct
}

fn node<'a>(reply: &'a Value, name: &str) -> &'a Value {
    reply["nodes"].as_array().unwrap().iter().find(|node| node["name"] == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_tells_of_every_node() {
    let cluster = Nodes::of(3).await.unwrap();
    let all = BTreeSet::from(["node-1", "node-2", "node-3"]);
    for (i, asked) in cluster.nodes.iter().enumerate() {
        let reply = asked.send(json!({ "operation": "cluster_network" })).await.unwrap();
        let found: Vec<_> =
            reply["nodes"].as_array().unwrap().iter().map(|node| node["name"].clone()).collect();
        assert_eq!(names(&json!(found)), all);
        for (j, other) in cluster.nodes.iter().enumerate() {
            let other_name = other.name();
            let told = node(&reply, other_name);
            assert!(told["response_time"].is_u64(), "{told}");
            let connected = &all - &BTreeSet::from([other_name]);
            assert_eq!(names(&told["connected_nodes"]), connected, "{told}");
            // This node's from its file, in their order; others' from what their hub says, in its.
            let (mut routes, mut expected) = (told["routes"].clone(), cluster.routes_to_others(j));
            if i != j {
                for list in [&mut routes, &mut expected] {
                    list.as_array_mut().unwrap().sort_by_key(|route| route["port"].as_u64());
                }
            }
            assert_eq!(routes, expected, "asked of {i}: {told}");
        }
        let short = json!({
            "operation": "cluster_network", "connected_nodes": true, "routes": true,
        });
        let reply = asked.send(short).await.unwrap();
        let keys: Vec<_> = node(&reply, asked.name()).as_object().unwrap().keys().collect();
        assert_eq!(keys, ["name", "response_time"]);
    }
    cluster.stop().await;
}

/// A node that hangs is still in the network: it is waited for, until the time that the request
/// gives and no longer. Once it goes on it is there again.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hangs_costs_the_timeout_and_no_more() {
    let cluster = Nodes::of(3).await.unwrap();
    let [first, _, third] = &cluster.nodes[..] else { panic!("three nodes") };
    let hub = pid(&third.servers.nats, ServerKind::Hub).and_then(|pid| Pid::from_raw(pid as i32));
    let hub = hub.unwrap();
    kill_process(hub, Signal::STOP).unwrap();
    let started = Instant::now();
    let request = json!({ "operation": "cluster_network", "timeout": 700 });
    let reply = first.send(request).await.unwrap();
    let took = started.elapsed();
    kill_process(hub, Signal::CONT).unwrap();
    let found: Vec<_> =
        reply["nodes"].as_array().unwrap().iter().map(|node| node["name"].clone()).collect();
    assert_eq!(names(&json!(found)), BTreeSet::from(["node-1", "node-2"]));
    assert!(took >= Duration::from_millis(700), "{took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    eventually("it is there again", async || {
        let reply = first.send(json!({ "operation": "cluster_network" })).await.unwrap();
        reply["nodes"].as_array().unwrap().len() == 3
    })
    .await
    .unwrap();
    cluster.stop().await;
}

/// Connections and subscriptions at the hub, as it says itself.
async fn held(node: &harper_tests::nodes::ClusterNode) -> (u64, u64) {
    let client = node.servers.system().await.unwrap();
    let servers = node.servers.nats.servers(Duration::from_secs(5)).await.unwrap();
    assert_eq!(servers.hubs.len(), 1);
    let subject = format!("$SYS.REQ.SERVER.{}.VARZ", client.server_info().server_id);
    let reply = client.request(subject, "".into()).await.unwrap();
    let reply: Value = serde_json::from_slice(&reply.payload).unwrap();
    let of = |key: &str| reply["data"][key].as_u64().unwrap();
    (of("connections"), of("subscriptions"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_calls_leave_nothing_behind() {
    let cluster = Nodes::of(1).await.unwrap();
    let [node] = &cluster.nodes[..] else { panic!("a node") };
    let before = held(node).await;
    for _ in 0..1000 {
        let reply = node.send(json!({ "operation": "cluster_network" })).await.unwrap();
        assert_eq!(reply["nodes"].as_array().unwrap().len(), 1);
    }
    // What is given back is not always back at once.
    eventually("what was taken is given back", async || held(node).await == before).await.unwrap();
    cluster.stop().await;
}
