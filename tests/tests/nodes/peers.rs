//! What other nodes may send to a node's subject.

use std::time::Duration;

use futures_util::future::join_all;
use harper_host::nats::{RequestError, ServerKind};
use harper_tests::nats::{eventually, pid};
use harper_tests::nodes::{ClusterNode, Nodes};
use harper_wire::Limits;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

fn encoded(value: &Value) -> Vec<u8> {
    harper_wire::encode(&harper_wire::Value::from(value))
}

async fn ask(from: &ClusterNode, to: &ClusterNode, body: Vec<u8>) -> Result<Value, RequestError> {
    let subject = format!("{}.__request__", to.name());
    let reply = from.servers.nats.request(&subject, body.into(), PATIENCE).await?;
    Ok(harper_wire::decode(&reply, &Limits::default()).unwrap().into_json())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_is_answered_and_the_next_request_too() {
    let cluster = Nodes::of(2).await.unwrap();
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    let mut deep = vec![0x91; 1 << 20];
    deep.push(0xc0);
    let hostile: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("no message", b"{\"operation\": \"cluster_status\"}".to_vec()),
        ("a list that claims to be long", vec![0xdd, 0xff, 0xff, 0xff, 0xff]),
        ("a text that claims to be long", vec![0xdb, 0xff, 0xff, 0xff, 0xff, b'x']),
        ("a nest", deep),
        ("a record that is not there", vec![0x40]),
        ("no object", encoded(&json!(["cluster_status"]))),
        ("no operation", encoded(&json!({ "node_name": "node-1" }))),
        ("an operation that is none", encoded(&json!({ "operation": 1 }))),
        ("an unknown operation", encoded(&json!({ "operation": "drop_database" }))),
        (
            "one of ours that is not for nodes",
            encoded(&json!({ "operation": "cluster_set_routes" })),
        ),
        ("a large one", vec![0xc4; 8 << 20]),
    ];
    for (what, body) in hostile {
        let reply =
            ask(first, second, body).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(reply["status"], "error", "{what}: {reply}");
        assert!(reply["message"].as_str().is_some_and(|text| !text.is_empty()), "{what}: {reply}");
        let good = json!({ "operation": "cluster_status", "node_name": "node-1" });
        let reply = ask(first, second, encoded(&good)).await.unwrap();
        assert_eq!(reply["status"], "success", "after {what}: {reply}");
    }
    cluster.stop().await;
}

/// More than nats-server lets wait for a client by itself.
#[tokio::test(flavor = "multi_thread")]
async fn large_requests_at_the_same_time_are_answered() {
    let cluster = Nodes::of(2).await.unwrap();
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    let answers = join_all((0..4).map(|_| ask(first, second, vec![0xc4; 40 << 20]))).await;
    for answer in answers {
        assert_eq!(answer.unwrap()["status"], "error");
    }
    cluster.stop().await;
}

/// Each gets an answer, or a timeout; afterwards all is as before, and meanwhile operations are
/// performed.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_stops_nothing() {
    let cluster = Nodes::of(1).await.unwrap();
    let [node] = &cluster.nodes[..] else { panic!("a node") };
    let body = encoded(&json!({ "operation": "describe_all", "node_name": "node-9" }));
    let flood = (0..5_000).map(|_| ask(node, node, body.clone()));
    let operations = async {
        for _ in 0..50 {
            node.send(json!({ "operation": "cluster_get_routes" })).await.unwrap();
        }
    };
    let (answers, ()) = tokio::join!(join_all(flood), operations);
    let answered = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(answered > 1_000, "{answered}");
    for answer in answers {
        match answer {
            Ok(reply) => assert_eq!(reply["status"], "success"),
            Err(error) => assert!(matches!(error, RequestError::Timeout(_)), "{error}"),
        }
    }
    let good = json!({ "operation": "cluster_status" });
    assert_eq!(ask(node, node, encoded(&good)).await.unwrap()["status"], "success");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_again_after_a_server_was_killed() {
    let cluster = Nodes::of(2).await.unwrap();
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    for server in [ServerKind::Leaf, ServerKind::Hub] {
        let killed = pid(&second.servers.nats, server).unwrap();
        kill_process(Pid::from_raw(killed as i32).unwrap(), Signal::KILL).unwrap();
        eventually("it runs again", async || {
            pid(&second.servers.nats, server).is_some_and(|pid| pid != killed)
        })
        .await
        .unwrap();
        let good = encoded(&json!({ "operation": "cluster_status" }));
        eventually("it answers", async || ask(first, second, good.clone()).await.is_ok())
            .await
            .unwrap();
    }
    cluster.stop().await;
}

/// What is told of tables: none of the node's own.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_of_system_tables() {
    let cluster = Nodes::of(1).await.unwrap();
    let [node] = &cluster.nodes[..] else { panic!("a node") };
    let reply = ask(node, node, encoded(&json!({ "operation": "describe_all" }))).await.unwrap();
    assert_eq!(reply["status"], "success");
    assert_eq!(reply["message"], json!({}));
    let info = &reply["system_info"];
    assert!(info["hdb_version"].is_string() && info["platform"] == "linux", "{reply}");
    cluster.stop().await;
}
