//! `cluster_status` between nodes.

use std::time::{Duration, Instant};

use async_nats::Client;
use futures_util::StreamExt;
use harper_host::ErrorKind;
use harper_host::nats::{RequestError, ServerKind, ServerState};
use harper_tests::nats::{eventually, freeze, pid};
use harper_tests::nodes::{Nodes, Wanted};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const TIMEOUT: Duration = Duration::from_secs(2);

fn dog() -> Value {
    json!([{ "schema": "dev", "table": "dog", "publish": true, "subscribe": false }])
}

fn of<'a>(reply: &'a Value, name: &str) -> &'a Value {
    let connections = reply["connections"].as_array().unwrap();
    connections.iter().find(|connection| connection["node_name"] == name).unwrap()
}

/// Answers every request to this node after a while; not at all without an answer. Ends with the set.
async fn simulate(
    tasks: &mut JoinSet<()>,
    client: &Client,
    node: &str,
    after: Duration,
    answer: Option<Vec<u8>>,
) {
    let subject = format!("{node}.__request__");
    let mut requests = client.queue_subscribe(subject, node.to_owned()).await.unwrap();
    let client = client.clone();
    tasks.spawn(async move {
        let mut answers = JoinSet::new();
        while let Some(request) = requests.next().await {
            if let (Some(answer), Some(reply)) = (answer.clone(), request.reply) {
                let client = client.clone();
                answers.spawn(async move {
                    tokio::time::sleep(after).await;
                    client.publish(reply, answer.into()).await.unwrap();
                });
            }
        }
    });
}

fn success() -> Vec<u8> {
    harper_wire::encode(&harper_wire::Value::from(json!({
        "status": "success",
        "message": {
            "uptime": "30d 1h 18m 8s",
            "ports": { "clustering": 12345, "operations_api": 9925 },
        },
    })))
}

fn refusal() -> Vec<u8> {
    harper_wire::encode(&harper_wire::Value::from(json!({ "status": "error", "message": "no" })))
}

/// Between real nodes a status has every field of the document's.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_there_are_open() {
    let cluster = Nodes::of(2).await.unwrap();
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    first.remember("node-2", dog()).await.unwrap();
    let reply = first.send(json!({ "operation": "cluster_status" })).await.unwrap();
    assert_eq!(reply["node_name"], "node-1");
    assert_eq!(reply["is_enabled"], true);
    let connection = of(&reply, "node-2");
    assert_eq!(connection["status"], "open");
    assert_eq!(connection["ports"]["clustering"], second.servers.route().port);
    assert!(connection["latency_ms"].is_u64(), "{connection}");
    assert!(connection["uptime"].as_str().unwrap().ends_with('s'), "{connection}");
    assert_eq!(connection["subscriptions"], dog());
    cluster.stop().await;
}

/// Of a node that is there, one that refuses, one that is silent and one that is not there.
#[tokio::test(flavor = "multi_thread")]
async fn each_of_the_four_states() {
    let cluster =
        Nodes::with(2, Wanted { status_timeout: TIMEOUT, ..Wanted::default() }).await.unwrap();
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    let elsewhere = second.servers.on_hub().await.unwrap();
    let mut tasks = JoinSet::new();
    simulate(&mut tasks, &elsewhere, "silent", Duration::ZERO, None).await;
    simulate(&mut tasks, &elsewhere, "refusing", Duration::ZERO, Some(refusal())).await;
    elsewhere.flush().await.unwrap();
    for name in ["node-2", "silent", "refusing", "nobody"] {
        first.remember(name, dog()).await.unwrap();
    }
    // Interest in what the second node's clients subscribe to takes a moment to get here.
    let status = async || first.send(json!({ "operation": "cluster_status" })).await.unwrap();
    let mut reply = status().await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while of(&reply, "silent")["status"] != "Timeout"
        || of(&reply, "refusing")["status"] != "closed"
    {
        assert!(Instant::now() < deadline, "{reply:#}");
        reply = status().await;
    }
    assert_eq!(of(&reply, "node-2")["status"], "open");
    assert_eq!(of(&reply, "nobody")["status"], "NoResponders");
    for name in ["silent", "nobody"] {
        let connection = of(&reply, name);
        assert_eq!(connection["ports"], json!({}), "{connection}");
        assert_eq!(connection.get("latency_ms"), None, "{connection}");
        assert_eq!(connection.get("uptime"), None, "{connection}");
        assert_eq!(connection["subscriptions"], dog(), "{connection}");
    }
    // The silent one costs its time once, however many others are asked.
    let started = Instant::now();
    status().await;
    assert!(started.elapsed() >= TIMEOUT);
    cluster.stop().await;
}

/// All are asked at the same time: 100 take about as long as the slowest of them, which is asked
/// alone meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_nodes_take_as_long_as_the_slowest() {
    let cluster = Nodes::of(1).await.unwrap();
    let [node] = &cluster.nodes[..] else { panic!("a node") };
    let others = node.servers.on_hub().await.unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..100 {
        let (name, after) = (format!("other-{n}"), Duration::from_millis(10 * n + 1010));
        simulate(&mut tasks, &others, &name, after, Some(success())).await;
        node.remember(&name, json!([])).await.unwrap();
    }
    // What the hub knows, the leaf knows a moment later, in the same order.
    let _last = others.subscribe("last").await.unwrap();
    let moment = Duration::from_millis(200);
    eventually("the leaf knows of all", async || {
        let asked = node.servers.nats.request("last", Vec::new().into(), moment).await;
        asked == Err(RequestError::Timeout(moment))
    })
    .await
    .unwrap();
    let started = Instant::now();
    let alone = async {
        node.servers
            .nats
            .request("other-99.__request__", Vec::new().into(), TIMEOUT * 5)
            .await
            .unwrap();
        started.elapsed()
    };
    let all = async {
        let reply = node.send(json!({ "operation": "cluster_status" })).await.unwrap();
        (reply, started.elapsed())
    };
    let (slowest, (reply, took)) = tokio::join!(alone, all);
    for connection in reply["connections"].as_array().unwrap() {
        assert_eq!(connection["status"], "open");
        assert_eq!(connection["uptime"], "30d 1h 18m 8s");
        assert_eq!(connection["ports"], json!({ "clustering": 12345, "operations_api": 9925 }));
    }
    assert_eq!(reply["connections"].as_array().unwrap().len(), 100);
    assert!(took <= slowest.mul_f64(1.3), "{took:?} against {slowest:?}");
    cluster.stop().await;
}

/// A server of the node's own that hangs is not taken for the silence of others.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_here_is_not_said_of_others() {
    let cluster = Nodes::of(2).await.unwrap();
    let [first, _] = &cluster.nodes[..] else { panic!("two nodes") };
    first.remember("node-2", dog()).await.unwrap();
    let status = async || first.send(json!({ "operation": "cluster_status" })).await;
    let network = async || first.send(json!({ "operation": "cluster_network" })).await;
    let is_well = async || {
        eventually("all is well", async || {
            status().await.is_ok_and(|reply| of(&reply, "node-2")["status"] == "open")
        })
        .await
        .unwrap();
    };
    is_well().await;
    for server in [ServerKind::Hub, ServerKind::Leaf] {
        let hung = pid(&first.servers.nats, server).unwrap();
        freeze(hung).await.unwrap();
        let started = Instant::now();
        let (status, network) = tokio::join!(status(), network());
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        let own = format!("this node's own {server} server ");
        let error = status.unwrap_err();
        assert!(error.message.contains(&own) && error.kind == ErrorKind::Failed, "{error:?}");
        if server == ServerKind::Hub {
            let error = network.unwrap_err();
            assert!(error.message.contains(&own), "{error}");
        } else {
            assert_eq!(network.unwrap()["nodes"].as_array().unwrap().len(), 2);
        }
        is_well().await;
    }
    // It is back before the other node's time is over.
    let nats = &first.servers.nats;
    freeze(pid(nats, ServerKind::Hub).unwrap()).await.unwrap();
    eventually("it is silent", async || {
        matches!(*nats.state(ServerKind::Hub).borrow(), ServerState::Silent { .. })
    })
    .await
    .unwrap();
    let error = status().await.unwrap_err();
    assert!(error.message.contains("this node's own hub server "), "{error}");
    cluster.stop().await;
}
