//! Routes that the servers have while the node runs, changed by operations and by hand.

use std::time::{Duration, Instant};

use harper_host::nats::ServerKind;
use harper_tests::nats::{eventually, pid};
use harper_tests::nodes::{ClusterNode, Nodes};
use serde_json::{Value, json};

/// What the hub itself says of its routes.
async fn of_hub(node: &ClusterNode) -> Vec<String> {
    let found = node.servers.nats.servers(Duration::from_secs(5)).await.unwrap();
    let name = format!("{}-hub", node.name());
    let own = found.hubs.into_iter().find(|hub| hub.name == name).unwrap();
    own.cluster_urls
}

fn route(n: u16) -> Value {
    // Nobody listens there, and nothing leaves the machine.
    json!({ "host": "127.0.0.1", "port": n })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_has_what_the_operations_say() {
    let cluster = Nodes::of(1).await.unwrap();
    let [node] = &cluster.nodes[..] else { panic!("a node") };
    let hub = pid(&node.servers.nats, ServerKind::Hub);
    let set = json!({
        "operation": "cluster_set_routes", "server": "hub", "routes": [route(1), route(2)],
    });
    node.send(set).await.unwrap();
    eventually("the hub has them", async || of_hub(node).await == ["127.0.0.1:1", "127.0.0.1:2"])
        .await
        .unwrap();
    node.send(json!({ "operation": "cluster_delete_routes", "routes": [route(1)] })).await.unwrap();
    eventually("and no more", async || of_hub(node).await == ["127.0.0.1:2"]).await.unwrap();
    assert_eq!(pid(&node.servers.nats, ServerKind::Hub), hub, "it was not restarted");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn for_another_leaf_list_the_leaf_alone_is_restarted() {
    let cluster = Nodes::of(2).await.unwrap();
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    let pids =
        || [ServerKind::Hub, ServerKind::Leaf].map(|server| pid(&first.servers.nats, server));
    let [hub, leaf] = pids();
    let port = second.servers.nats.ports().hub_leafnodes;
    let set =
        json!({ "operation": "cluster_set_routes", "server": "leaf", "routes": [route(port)] });
    let started = Instant::now();
    first.send(set).await.unwrap();
    eventually("the leaf is another", async || pids()[1].is_some() && pids()[1] != leaf)
        .await
        .unwrap();
    let own = format!("$JS.{}-leaf.API.INFO", first.name());
    eventually("it answers", async || {
        first.servers.nats.request(&own, Vec::new().into(), Duration::from_secs(1)).await.is_ok()
    })
    .await
    .unwrap();
    println!("the leaf was away for less than {:?}", started.elapsed());
    assert_eq!(pids()[0], hub, "the hub is the same");
    // The second node's hub says that two leaves have joined it: its own, and the first node's.
    let system = second.servers.system().await.unwrap();
    eventually("the leaf has joined the other hub", async || {
        let subject = format!("$SYS.REQ.SERVER.{}.LEAFZ", system.server_info().server_id);
        let found = system.request(subject, "".into()).await.unwrap();
        String::from_utf8_lossy(&found.payload).contains("node-1-leaf")
    })
    .await
    .unwrap();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_have_what_a_hand_writes() {
    let cluster = Nodes::of(2).await.unwrap();
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    let port = second.servers.route().port;
    let write = |routes: &str| {
        let text = format!(
            "clustering:\n  enabled: true\n  nodeName: node-1\n  hubServer:\n    cluster:\n      network:\n        routes:{routes}\n"
        );
        std::fs::write(first.config_file(), text).unwrap();
    };
    write("\n          - { host: 127.0.0.1, port: 1 }");
    eventually("what was written", async || of_hub(first).await == ["127.0.0.1:1"]).await.unwrap();
    // An editor that is not done yet, or a mistake: the servers keep what they have.
    std::fs::write(first.config_file(), "clustering:\n  - [").unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(of_hub(first).await, ["127.0.0.1:1"]);
    write(&format!("\n          - {{ host: 127.0.0.1, port: {port} }}"));
    let url = format!("127.0.0.1:{port}");
    eventually("it is mended", async || of_hub(first).await == [url.as_str()]).await.unwrap();
    cluster.joined().await.unwrap();
    cluster.stop().await;
}
