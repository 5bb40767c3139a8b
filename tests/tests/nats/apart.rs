//! Nodes that look joined and do not hear each other, as nats-server 2.9 leaves them now and then. A
//! reload of its configuration does so each time: it does not tell other hubs of a leaf that joins it
//! from then on.

use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use harper_host::nats::ServerKind;
use harper_tests::nats::{Authority, NatsNode, PASSWORD, USER, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::restarts::signal;
use super::strangers::{Stranger, files, login};

const GHOST: &str = "$JS.ghost-leaf.API.INFO";

/// The hub of a node `ghost` that joins `one`, and in which leaves may join.
fn hub(one: &NatsNode, files: &Value) -> Stranger {
    let route =
        format!("nats-route://{}127.0.0.1:{}", login(PASSWORD), one.nats.ports().hub_cluster);
    let user = json!({ "user": USER, "password": PASSWORD });
    Stranger::start(&json!({
        "server_name": "ghost-hub", "host": "127.0.0.1", "port": -1,
        "accounts": { "SYS": {}, "HDB": { "users": [user] } }, "system_account": "SYS",
        "cluster": {
            "name": "harperdb", "host": "127.0.0.1", "port": -1, "tls": files, "routes": [route],
        },
        "leafnodes": { "host": "127.0.0.1", "port": -1, "tls": files },
    }))
}

/// Its leaf, with the streams.
fn leaf(hub: &Stranger, files: &Value, streams: &std::path::Path) -> Stranger {
    let listens = hub.said().lines().find_map(|line| {
        Some(line.split_once("Listening for leafnode connections on 127.0.0.1:")?.1.to_owned())
    });
    let url = format!("tls://{}127.0.0.1:{}", login(PASSWORD), listens.expect("a port"));
    Stranger::start(&json!({
        "server_name": "ghost-leaf", "host": "127.0.0.1", "port": -1,
        "accounts": { "SYS": {}, "HDB": { "jetstream": "enabled" } }, "system_account": "SYS",
        "jetstream": { "domain": "ghost-leaf", "store_dir": streams },
        "leafnodes": { "reconnect": 1, "remotes": [{ "url": url, "account": "HDB", "tls": files }] },
    }))
}

async fn hears(one: &NatsNode) -> bool {
    one.nats.request(GHOST, "".into(), Duration::from_secs(1)).await.is_ok()
}

// covers: nats.apart
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_joined_and_not_heard_is_joined_anew() {
    let authority = Authority::new().unwrap();
    let one = NatsNode::start(&authority, "one", |_| {}).await.unwrap();
    let files = files(&authority.issue("ghost", &["127.0.0.1"]).unwrap());
    let streams = tempfile::tempdir().unwrap();
    let ghost = hub(&one, &files);
    ghost.says(&["Listening for leafnode connections"]).await;
    let first = leaf(&ghost, &files, streams.path());
    eventually("it is heard", async || hears(&one).await).await.unwrap();
    assert_eq!(one.nats.restarts(ServerKind::Hub), 0);

    signal(ghost.pid(), Signal::HUP);
    ghost.says(&["Reloaded server configuration"]).await;
    drop(first);
    eventually("its leaf is gone", async || !hears(&one).await).await.unwrap();
    let _second = leaf(&ghost, &files, streams.path());
    eventually("it is heard again", async || hears(&one).await).await.unwrap();
    assert_eq!(one.nats.restarts(ServerKind::Hub), 1);
    one.stop().await;
}

/// The leaf of a node may be down for long: that is no reason to leave the others again and again.
// covers: nats.apart.bounded
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_be_heard_costs_one_restart() {
    let authority = Authority::new().unwrap();
    let one = NatsNode::start(&authority, "one", |_| {}).await.unwrap();
    let files = files(&authority.issue("ghost", &["127.0.0.1"]).unwrap());
    let _ghost = hub(&one, &files);
    let restarts = || one.nats.restarts(ServerKind::Hub);
    eventually("the hub is restarted", async || restarts() == 1).await.unwrap();
    // Twice as long as it takes until a node counts as not heard.
    tokio::time::sleep(Duration::from_secs(16)).await;
    assert_eq!(restarts(), 1);
    one.stop().await;
}

/// How often nodes join: more in `make soak`.
fn rounds() -> usize {
    std::env::var("HARPER_JOIN_ROUNDS").map_or(2, |rounds| rounds.parse().expect("a number"))
}

// covers: nats.apart.at-once
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_get_their_routes_at_the_same_moment_hear_each_other() {
    for round in 0..rounds() {
        let authority = Authority::new().unwrap();
        let names = ["node-1", "node-2", "node-3"];
        let start = |name| NatsNode::start(&authority, name, |_| {});
        let nodes = try_join_all(names.map(start)).await.unwrap();
        let routes: Vec<_> = nodes.iter().map(NatsNode::route).collect();
        let began = Instant::now();
        let set = nodes.iter().enumerate().map(|(at, node)| {
            let mut others = routes.clone();
            others.remove(at);
            node.nats.set_routes(others, Vec::new())
        });
        try_join_all(set).await.unwrap();
        for node in &nodes {
            for other in names {
                let subject = format!("$JS.{other}-leaf.API.INFO");
                let what = format!("{} hears {other}", node.nats.node_name());
                let answer = async || {
                    node.nats.request(&subject, "".into(), Duration::from_secs(1)).await.is_ok()
                };
                eventually(&what, answer).await.unwrap();
            }
        }
        let restarts: u64 = nodes.iter().map(|node| node.nats.restarts(ServerKind::Hub)).sum();
        eprintln!("round {round}: {:?}, {restarts} joined anew", began.elapsed());
        join_all(nodes.into_iter().map(NatsNode::stop)).await;
    }
}
