//! The plugin in Rust, `tests/plugins/cluster_health`.

use harper_host::testing::{Cluster, FakeNode, Server};
use harper_host::{ComponentSource, Grants, Host, Limits, ThisNode};
use harper_tests::CLUSTER_HEALTH;
use harper_tests::nats::{eventually, freeze, pid};
use harper_tests::nodes::Nodes;
use serde_json::{Value, json};

use crate::{asked, imports_nothing_else, send};

fn hub(node: &str, response_time: u64, routes: &[&str]) -> Server {
    let routes = routes.iter().map(|route| format!("{route}-hub")).collect();
    Server { name: format!("{node}-hub"), response_time, routes, ..Server::default() }
}

async fn host(node: &FakeNode, grants: Grants) -> Host {
    let component = ComponentSource::bytes(CLUSTER_HEALTH);
    node.host_with("health", component, grants, Limits::default()).await.unwrap()
}

fn request() -> Value {
    json!({ "operation": "cluster_health" })
}

#[tokio::test]
async fn it_imports_nothing_but_ours() {
    imports_nothing_else(CLUSTER_HEALTH).await;
}

// covers: examples.rust
#[tokio::test]
async fn nodes_that_answer_and_nodes_that_do_not() {
    let node = FakeNode::new(Cluster {
        node_name: Some("a".into()),
        servers: vec![
            hub("a", 1, &["b", "frozen"]),
            hub("b", 4, &["a", "frozen"]),
            Server { name: "a-leaf".into(), ..Server::default() },
            Server { name: "frozen-hub".into(), silent: true, ..Server::default() },
        ],
        tables: [("ops.nodes".into(), vec!["name".into()])].into(),
        records: [("ops.nodes".into(), vec![json!({ "name": "b" }), json!({ "name": "gone" })])]
            .into(),
        ..Cluster::default()
    });
    let host = host(&node, asked(CLUSTER_HEALTH).await).await;
    let reply = send(&host, request()).await.unwrap();
    let expected = json!({
        "healthy": false,
        "node": "a",
        "not_answering": ["frozen", "gone"],
        "nodes": [
            { "name": "a", "answers": true, "response_time": 1, "seen_by": ["b"], "listed": false },
            { "name": "b", "answers": true, "response_time": 4, "seen_by": ["a"], "listed": true },
            { "name": "frozen", "answers": false, "seen_by": ["a", "b"], "listed": false },
            { "name": "gone", "answers": false, "seen_by": [], "listed": true },
        ],
    });
    assert_eq!(reply, expected);
    assert_eq!(node.time().passed().as_millis(), 2000, "the silent one was waited for");
    let error = send(&host, json!({ "operation": "cluster_health", "timeout": 0 })).await;
    assert_eq!(error.unwrap_err().message, "'timeout' must be an integer from 1 to 20000");
}

#[tokio::test]
async fn each_of_its_grants_is_needed() {
    let node = FakeNode::new(Cluster { servers: vec![hub("a", 1, &[])], ..Cluster::default() });
    let all = asked(CLUSTER_HEALTH).await;
    assert_eq!(send(&host(&node, all.clone()).await, request()).await.unwrap()["healthy"], true);
    let mut no_table = all.clone();
    no_table.tables.read.clear();
    let error = send(&host(&node, no_table).await, request()).await.unwrap_err();
    assert!(error.message.contains("not granted to read the table 'ops.nodes'"), "{error}");
    let mut no_servers = all;
    no_servers.nats.servers = false;
    let error = send(&host(&node, no_servers).await, request()).await.unwrap_err();
    assert_eq!(error.message, "The plugin is not granted to know who is in the network");
}

/// Between real nodes, one of which freezes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_real_nodes() {
    let nodes = Nodes::of(2).await.unwrap();
    let [first, second] = nodes.nodes.as_slice() else { panic!("two nodes") };
    let nats = first.servers.nats.clone();
    let component = ComponentSource::bytes(CLUSTER_HEALTH);
    let grants = asked(CLUSTER_HEALTH).await;
    let host = Host::builder()
        .root_path(first.folder())
        .node(ThisNode::clustered("node-1", nats.ports().hub_cluster))
        .servers(nats)
        .tables(first.data.clone())
        .plugin("health", component, grants, Limits::default())
        .build()
        .await
        .unwrap();
    let reply = send(&host, request()).await.unwrap();
    assert_eq!(reply["healthy"], true, "{reply}");
    assert_eq!(reply["node"], "node-1");
    let names: Vec<_> = reply["nodes"].as_array().unwrap().iter().map(|n| &n["name"]).collect();
    assert_eq!(names, ["node-1", "node-2"]);

    freeze(pid(&second.servers.nats, harper_host::nats::ServerKind::Hub).unwrap()).await.unwrap();
    eventually("a frozen node is told", async || {
        let request = json!({ "operation": "cluster_health", "timeout": 300 });
        let reply = send(&host, request).await.unwrap();
        reply["healthy"] == false && reply["not_answering"] == json!(["node-2"])
    })
    .await
    .unwrap();
}
