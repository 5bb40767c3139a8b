//! Routes that the servers have while the node runs, changed by operations and by hand.

use std::time::{Duration, Instant};

use harper_host::nats::ServerKind;
use harper_tests::nats::{eventually, pid};
use harper_tests::nodes::{ClusterNode, Nodes};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(1);

/// What the hub itself says of its routes; nothing while it is restarted.
async fn of_hub(node: &ClusterNode) -> Vec<String> {
    let found = node.servers.nats.servers(PATIENCE).await.unwrap_or_default();
    let name = format!("{}-hub", node.name());
    let own = found.hubs.into_iter().find(|hub| hub.name == name);
    own.map(|own| own.cluster_urls).unwrap_or_default()
}

fn route(n: u16) -> Value {
    // Nobody listens there, and nothing leaves the machine.
    json!({ "host": "127.0.0.1", "port": n })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_has_what_the_operations_say() {
    let cluster = Nodes::of(1).await.unwrap();
    let [node] = &cluster.nodes[..] else { panic!("a node") };
    let leaf = pid(&node.servers.nats, ServerKind::Leaf);
    let set = json!({
        "operation": "cluster_set_routes", "server": "hub", "routes": [route(1), route(2)],
    });
    node.send(set).await.unwrap();
    eventually("the hub has them", async || of_hub(node).await == ["127.0.0.1:1", "127.0.0.1:2"])
        .await
        .unwrap();
    node.send(json!({ "operation": "cluster_delete_routes", "routes": [route(1)] })).await.unwrap();
    eventually("and no more", async || of_hub(node).await == ["127.0.0.1:2"]).await.unwrap();
    assert_eq!(pid(&node.servers.nats, ServerKind::Leaf), leaf, "the leaf is the same");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn for_another_leaf_list_the_leaf_alone_is_restarted() {
    let cluster = Nodes::of(2).await.unwrap();
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    // A leaf that joins a hub which its own is joined with would be a loop, and is refused by it.
    for (i, node) in cluster.nodes.iter().enumerate() {
        let routes = cluster.routes_to_others(i);
        node.send(json!({ "operation": "cluster_delete_routes", "routes": routes })).await.unwrap();
    }
    eventually("the hubs have parted", async || {
        let found = first.servers.nats.servers(Duration::from_secs(5)).await.unwrap_or_default();
        found.hubs.len() == 1 && found.silent.is_empty()
    })
    .await
    .unwrap();
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
    // The second node's hub says that two leaves have joined it in each account: its own, and the
    // first node's. nats-server 2.9 does not say their names.
    let system = second.servers.system().await.unwrap();
    eventually("the leaf has joined the other hub", async || {
        let subject = format!("$SYS.REQ.SERVER.{}.LEAFZ", system.server_info().server_id);
        let Ok(reply) = system.request(subject, "".into()).await else { return false };
        let reply: Value = serde_json::from_slice(&reply.payload).unwrap();
        reply["data"]["leafnodes"] == 4
    })
    .await
    .unwrap();
    cluster.stop().await;
}

/// A hub that was reloaded did not tell others of a leaf that came after that.
#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_is_restarted_after_routes_were_set_is_reached_from_elsewhere() {
    let cluster = Nodes::of(2).await.unwrap();
    for (restarted, from) in [(0, 1), (1, 0)] {
        let (restarted, from) = (&cluster.nodes[restarted], &cluster.nodes[from]);
        let killed = pid(&restarted.servers.nats, ServerKind::Leaf).unwrap();
        kill_process(Pid::from_raw(killed as i32).unwrap(), Signal::KILL).unwrap();
        eventually("it runs again", async || {
            pid(&restarted.servers.nats, ServerKind::Leaf).is_some_and(|pid| pid != killed)
        })
        .await
        .unwrap();
        let domain = format!("$JS.{}-leaf.API.INFO", restarted.name());
        eventually("it is reached", async || {
            let asked = from.servers.nats.request(&domain, Vec::new().into(), PATIENCE);
            asked.await.is_ok()
        })
        .await
        .unwrap();
    }
    cluster.stop().await;
}

/// All nodes are given their routes at the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_routed_at_once_are_joined() {
    for _ in 0..4 {
        let cluster = Nodes::of(3).await.unwrap();
        cluster.stop().await;
    }
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
