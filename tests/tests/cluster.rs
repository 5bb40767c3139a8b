//! A node among others that are not there: how long it takes, and what others ask of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use harper_host::testing::{Cluster, FakeNode, Peer, Server};
use harper_host::{Caller, ComponentSource, ErrorKind, Grants, Limits};
use harper_tests::{HOSTILE, Node};
use serde_json::{Value, json};

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

fn cluster(change: impl FnOnce(&mut Cluster)) -> Cluster {
    let mut cluster = Cluster { node_name: Some("node-a".into()), ..Cluster::default() };
    change(&mut cluster);
    cluster
}

async fn node(cluster: Cluster) -> Node {
    let fake = FakeNode::new(cluster);
    Node::with("", |host| fake.give_to(host)).await.unwrap()
}

/// What a node of that uptime answers.
fn success() -> Value {
    json!({ "status": "success", "message": { "uptime": "8s", "ports": { "clustering": 1 } } })
}

/// Other nodes of this many milliseconds each.
fn peers(after: impl IntoIterator<Item = u64>) -> Cluster {
    cluster(|cluster| {
        for (i, after) in after.into_iter().enumerate() {
            let name = format!("node-{i:03}");
            cluster.nodes.push(json!({ "name": name, "subscriptions": [] }));
            let peer = Peer { reply: Some(success()), after, ..Peer::default() };
            cluster.peers.insert(name, peer);
        }
    })
}

// covers: status.at-once
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_are_asked_at_the_same_time() {
    const SLOWEST: u64 = 1000;
    let peers = peers((0..100).map(|i| if i == 50 { SLOWEST } else { i * 5 }));
    let fake = FakeNode::new(peers.clone());
    let in_no_time = Node::with("", |host| fake.give_to(host)).await.unwrap();
    in_no_time.send(json!({ "operation": "cluster_status" })).await.unwrap();
    assert_eq!(fake.time().passed(), Duration::from_millis(SLOWEST));

    let fake = FakeNode::new(peers).in_real_time();
    let node = Node::with("", |host| fake.give_to(host)).await.unwrap();
    let started = Instant::now();
    let reply = node.send(json!({ "operation": "cluster_status" })).await.unwrap();
    let took = started.elapsed();
    let connections = reply["connections"].as_array().unwrap();
    assert_eq!(connections.len(), 100);
    assert!(connections.iter().all(|connection| connection["status"] == "open"));
    assert!(connections[50]["latency_ms"].as_u64().unwrap() >= SLOWEST);
    assert!(took >= Duration::from_millis(SLOWEST), "{took:?}");
    assert!(took <= Duration::from_millis(SLOWEST * 13 / 10), "{took:?}");
}

// covers: network.within-the-call
#[tokio::test]
async fn no_one_is_waited_for_longer_than_the_call_may_take() {
    let server = |name: &str, silent| Server {
        name: name.into(),
        response_time: 1,
        routes: Vec::new(),
        cluster_urls: Vec::new(),
        silent,
    };
    let fake = FakeNode::new(cluster(|cluster| {
        cluster.servers = vec![server("node-a-hub", false), server("node-b-hub", true)];
        cluster.nodes = vec![json!({ "name": "node-b" })];
        cluster.peers.insert("node-b".into(), Peer { silent: true, ..Peer::default() });
    }));
    let second = limits(|limits| limits.wall_clock = Duration::from_secs(1));
    let host = |host| fake.give_to(host).clustering_limits(second);
    let node = Node::with("", host).await.unwrap();
    let request = json!({ "operation": "cluster_network", "timeout": 3_600_000 });
    let reply = node.send(request).await.unwrap();
    assert_eq!(reply["nodes"].as_array().unwrap().len(), 1);
    let reply = node.send(json!({ "operation": "cluster_status" })).await.unwrap();
    assert_eq!(reply["connections"][0]["status"], "Timeout");
    let asked: Vec<_> = fake.calls();
    let asked: Vec<_> = asked
        .iter()
        .filter_map(|call| call.as_object()?.values().next()?.get("timeout")?.as_u64())
        .collect();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|timeout| (500..=900).contains(timeout)), "{asked:?}");
}

/// What comes back is bounded, whoever sends it.
#[tokio::test]
async fn a_large_answer_is_thrown_away() {
    let mut large = peers([0, 0]);
    let blown_up = json!({ "status": "success", "message": { "uptime": "x".repeat(100 << 10) } });
    large.peers.get_mut("node-000").unwrap().reply = Some(blown_up);
    let node = node(large).await;
    let reply = node.send(json!({ "operation": "cluster_status" })).await.unwrap();
    assert_eq!(reply["connections"][0]["status"], "closed");
    assert_eq!(reply["connections"][1]["status"], "open");
}

/// A plugin says how large an answer it takes; what it takes is charged.
#[tokio::test]
async fn answers_are_charged() {
    let fake = FakeNode::new(cluster(|cluster| {
        let peer = Peer { bytes: Some(vec![b'x'; 600]), ..Peer::default() };
        cluster.peers.insert("orders.eu.new".into(), peer);
    }));
    let mut granted = Grants::default();
    granted.nats.request.push("orders.eu.new".parse().unwrap());
    let small = limits(|limits| {
        limits.exchanged_bytes = 10_000;
        limits.host_calls = 100;
    });
    let plugin = ComponentSource::bytes(HOSTILE);
    let give = |host| fake.give_to(host).plugin("hostile", plugin, granted, small);
    let node = Node::with("", give).await.unwrap();
    let send = |amount: u64, payload: usize, largest: u32| {
        node.send(json!({
            "operation": "hostile_nats_request_together",
            "subject": "orders.eu.new",
            "payload": "x".repeat(payload),
            "amount": amount,
            "largest": largest,
        }))
    };
    let bytes = "it exchanged more than 10000 bytes with the host";
    send(15, 1, 600).await.unwrap();
    let error = send(17, 1, 600).await.unwrap_err();
    assert!(error.message.ends_with(bytes), "{error}");
    send(100, 1, 599).await.unwrap();
    let error = send(101, 1, 599).await.unwrap_err();
    assert!(error.message.ends_with("it made more than 100 calls to the host"), "{error}");
    let error = send(11, 1000, 599).await.unwrap_err();
    assert!(error.message.ends_with(bytes), "{error}");
    let request = json!({
        "operation": "hostile_nats_request",
        "subject": "orders.eu.new",
        "largest": 599,
    });
    let error = node.send(request).await.unwrap_err();
    let text = "Error::TooLarge(\"The answer has 600 bytes, and at most 599 are taken\")";
    assert_eq!(error.message, text);
}

/// The node asked in MessagePack, and its answer.
async fn ask(node: &Node, request: Vec<u8>) -> Value {
    let reply = node.host.answer_peer(request).await;
    harper_wire::decode(&reply, &harper_wire::Limits::default()).unwrap().into_json()
}

fn message(request: Value) -> Vec<u8> {
    harper_wire::encode(&request.into())
}

// covers: peers.cluster-status, peers.describe-all
#[tokio::test]
async fn others_are_answered() {
    let node = node(cluster(|cluster| {
        cluster.uptime = 30 * 86_400 + 8;
        cluster.tables.insert("dev.dog".into(), vec!["id".into(), "name".into()]);
    }))
    .await;
    let system_info =
        json!({ "hdb_version": "1.2.3", "node_version": "0.0.0", "platform": "linux" });
    let status = ask(&node, message(json!({ "operation": "cluster_status", "node_name": "b" })));
    assert_eq!(
        status.await,
        json!({
            "status": "success",
            "message": {
                "uptime": "30d 8s",
                "ports": { "clustering": 9932, "operations_api": 9925 },
                "system_info": system_info,
            },
            "system_info": system_info,
        })
    );
    let described = ask(&node, message(json!({ "operation": "describe_all" }))).await;
    assert_eq!(
        described["message"],
        json!({ "dev": { "dog": {
            "schema": "dev",
            "name": "dog",
            "hash_attribute": "id",
            "attributes": [{ "attribute": "id" }, { "attribute": "name" }],
        } } })
    );
}

// covers: peers.unknown, peers.broken
#[tokio::test]
async fn others_are_answered_whatever_they_send() {
    let node = node(cluster(|_| {})).await;
    let unknown = ask(&node, message(json!({ "operation": "drop_database" }))).await;
    assert_eq!(unknown["message"], "Operation 'drop_database' not found");
    let mut random = 1u32;
    let mut bytes = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 24) as u8
    };
    let nested = [vec![0x91; 100_000], vec![0xc0]].concat();
    let mut broken = vec![Vec::new(), b"hello".to_vec(), nested];
    broken.extend((0..200).map(|length| (0..length).map(|_| bytes()).collect()));
    for request in broken {
        let reply = ask(&node, request.clone()).await;
        assert_eq!(reply["status"], "error", "{request:?}");
        assert!(reply["message"].is_string(), "{reply}");
    }
    let reply = ask(&node, message(json!({ "operation": "cluster_status" }))).await;
    assert_eq!(reply["status"], "success");
}

// covers: peers.limits
#[tokio::test]
async fn an_answer_has_a_budget_of_its_own() {
    let fake = FakeNode::new(cluster(|_| {}));
    let small = limits(|limits| limits.request_bytes = 1000);
    let node = Node::with("", |host| fake.give_to(host).peer_limits(small)).await.unwrap();
    let padded = |size: usize| {
        message(json!({ "operation": "cluster_status", "padding": "x".repeat(size) }))
    };
    assert_eq!(ask(&node, padded(900)).await["status"], "success");
    let system_info =
        json!({ "hdb_version": "1.2.3", "node_version": "0.0.0", "platform": "linux" });
    let error = |message: &str| json!({ "status": "error", "message": message, "system_info": system_info });
    let refused = error("The request is over the limit of 1000 bytes");
    assert_eq!(ask(&node, padded(1000)).await, refused);

    // A megabyte that takes many to be read: its answer is an error, in whichever way it ends.
    let small = limits(|limits| limits.memory = 4 << 20);
    let node = Node::with("", |host| fake.give_to(host).peer_limits(small)).await.unwrap();
    let many = message(json!({ "operation": "cluster_status", "x": vec![json!([]); 400_000] }));
    let reply = ask(&node, many).await;
    let stopped = "The request was stopped: it needed more than 4194304 bytes of memory";
    assert_eq!(reply, error(stopped));
    assert_eq!(ask(&node, padded(10)).await["status"], "success");

    let none = limits(|limits| limits.cpu = Duration::ZERO);
    let node = Node::with("", |host| fake.give_to(host).peer_limits(none)).await.unwrap();
    let slow = message(json!({ "operation": "cluster_status", "x": vec![json!([]); 300_000] }));
    let reply = ask(&node, slow).await;
    let stopped = "The request was stopped: it used more than 0 ms of processor time";
    assert_eq!(reply, error(stopped));

    let huge = limits(|limits| limits.memory = (1 << 30) + 1);
    let error = Node::with("", |host| fake.give_to(host).peer_limits(huge)).await.err().unwrap();
    assert!(error.to_string().contains("memory limit must be at most"), "{error}");
}

// covers: peers.places
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_go_on_however_much_others_ask() {
    let node = node(cluster(|_| {})).await;
    let request = message(json!({ "operation": "cluster_status", "x": vec![json!([]); 100_000] }));
    let flood: Vec<_> = (0..500)
        .map(|_| {
            let (host, request) = (node.host.clone(), request.clone());
            tokio::spawn(async move { host.answer_peer(request).await })
        })
        .collect();
    for _ in 0..10 {
        let reply = node.send(json!({ "operation": "cluster_get_routes" }));
        let reply = tokio::time::timeout(Duration::from_secs(10), reply).await.unwrap();
        assert_eq!(reply, Ok(json!({ "hub": [], "leaf": [] })));
    }
    let (mut answered, mut busy) = (0, 0);
    for answer in flood {
        let reply = answer.await.unwrap();
        let reply = harper_wire::decode(&reply, &harper_wire::Limits::default()).unwrap();
        let reply = reply.into_json();
        match reply["message"].as_str() {
            None => answered += 1,
            Some(text) => {
                assert_eq!(text, "The node is busy: try again later");
                busy += 1;
            }
        }
    }
    assert_eq!(answered + busy, 500);
    assert!(answered >= 72, "those that had a place, and those that waited for one: {answered}");
    assert!(busy > 0, "nobody waits for long");
    let metrics = node.host.metrics();
    assert!(metrics.contains(&format!("harper_peer_requests_total{{outcome=\"ok\"}} {answered}")));
    let reply = ask(&node, message(json!({ "operation": "cluster_status" }))).await;
    assert_eq!(reply["status"], "success");
}

/// Without a network of its own a host has the operations, and they say what is missing.
#[tokio::test]
async fn a_host_without_clustering_says_so() {
    let node = Node::with_config("clustering: { nodeName: node-a }").await.unwrap();
    let status = node.send(json!({ "operation": "cluster_status" })).await;
    let off = json!({ "node_name": "node-a", "is_enabled": false, "connections": [] });
    assert_eq!(status, Ok(off));
    let error = node.send(json!({ "operation": "cluster_network" })).await.unwrap_err();
    let text = "Clustering is not enabled: set clustering.enabled to true in harperdb-config.yaml";
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Invalid, text));
    let reply = ask(&node, message(json!({ "operation": "describe_all" }))).await;
    assert_eq!(reply["message"], "This host keeps no tables");
    let caller = Caller::new("dev", harper_host::Role::Named("dev".into()));
    for operation in ["cluster_status", "cluster_network"] {
        let refused = node.host.dispatch(&caller, json!({ "operation": operation })).await;
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Forbidden);
    }
}
