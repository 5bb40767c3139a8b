//! A whole node that is killed in the midst of an operation, its own or the other node's: when it is
//! back, both are as before or as after.

use std::time::{Duration, Instant};

use anyhow::Result;
use harper_tests::nodes::{ClusterNode, Nodes};
use harper_tests::shared::{Flow, Flows, Seen, agreed_by, change, configure, flowing, remove};
use harper_tests::whole_node::{Process, WholeNode};
use serde_json::json;

const LONGEST: Duration = Duration::from_secs(35);

/// Starts it, and waits until each can ask the other.
async fn start(killed: &WholeNode, other: &ClusterNode) -> Process {
    let process = killed.start(&[]).await.unwrap();
    let status = json!({ "operation": "cluster_status" });
    harper_tests::nats::eventually("each leaf is reached from each", async || {
        let api = "$JS.node-2-leaf.API.INFO";
        let second = Duration::from_secs(1);
        let asked = other.servers.nats.request(api, Vec::new().into(), second).await;
        let network = process.send(json!({ "operation": "cluster_network" })).await;
        asked.is_ok()
            && network
                .is_ok_and(|reply| reply["nodes"].as_array().is_some_and(|nodes| nodes.len() == 2))
    })
    .await
    .unwrap();
    process.send(status).await.unwrap();
    process
}

async fn seen(process: &Process) -> Result<Seen> {
    let mut answer = process.say(&json!({ "see": true })).await?;
    Ok(serde_json::from_value(answer["seen"].take())?)
}

/// Waits until both agree, and returns what the one that is not killed has of the other.
async fn agree(node: &ClusterNode, process: &Process) -> Option<Flows> {
    let seen =
        agreed_by(async || Ok(vec![node.seen().await?, seen(process).await?])).await.unwrap();
    seen[0].records.get("node-2").cloned()
}

/// Which of the two performs the operation. The second is the one that is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    First,
    Second,
}

impl Asks {
    fn other(self) -> &'static str {
        match self {
            Self::First => "node-2",
            Self::Second => "node-1",
        }
    }

    /// The record of the first of them after a request of this one's.
    fn seen(self, tables: &[(&str, &str)]) -> Flows {
        let flows = flowing(tables).into_iter();
        let swap = |flow: Flow| Flow { publish: flow.subscribe, subscribe: flow.publish };
        match self {
            Self::First => flows.collect(),
            Self::Second => flows.map(|(table, flow)| (table, swap(flow))).collect(),
        }
    }
}

/// Both ways, and one way.
const SHARED: [(&str, &str); 2] = [("dev.dog", "<>"), ("dev.cat", ">")];

/// One kind of operation, killed at two moments.
async fn lane(asks: Asks, operation: &str, moments: [f64; 2]) {
    let cluster = Nodes::of(1).await.unwrap();
    let node = &cluster.nodes[0];
    for table in ["dev.dog", "dev.cat"] {
        node.make_table(table, &["id", "name"]).await.unwrap();
    }
    let killed = WholeNode::beside(&cluster, env!("CARGO_BIN_EXE_whole-node")).unwrap();
    let mut process = start(&killed, node).await;
    let other = asks.other();
    let (request, after) = match operation {
        "add_node" => (change("add_node", other, &SHARED), Some(asks.seen(&SHARED))),
        "update_node" => {
            let mut after = asks.seen(&SHARED);
            after.extend(asks.seen(&[("dev.dog", "<")]));
            (change("update_node", other, &[("dev.dog", "<")]), Some(after))
        }
        "remove_node" => (remove(other), None),
        _ => {
            let replaced = [("dev.cat", "<>")];
            (configure(&[(other, &replaced)]), Some(asks.seen(&replaced)))
        }
    };
    let before = (operation != "add_node").then(|| asks.seen(&SHARED));
    restore(node, &process, asks, before.as_ref()).await;
    // How long one takes that nobody disturbs.
    let began = Instant::now();
    match asks {
        Asks::First => drop(node.send(request.clone()).await.unwrap()),
        Asks::Second => drop(process.send(request.clone()).await.unwrap()),
    }
    let took = began.elapsed();
    assert_eq!(agree(node, &process).await, after);
    for moment in moments {
        restore(node, &process, asks, before.as_ref()).await;
        let kill_at = took.mul_f64(moment);
        let is_done = match asks {
            Asks::Second => {
                let reply = tokio::time::timeout(kill_at, process.send(request.clone())).await;
                process.kill().await.unwrap();
                // Nobody was told anything, if it was not done by then.
                reply.is_ok().then_some(true)
            }
            Asks::First => {
                let sent = async {
                    let sent = node.send(request.clone());
                    tokio::time::timeout(LONGEST, sent).await.expect("it ends")
                };
                let ended = async {
                    tokio::time::sleep(kill_at).await;
                    process.kill().await.unwrap();
                };
                let (reply, ()) = tokio::join!(sent, ended);
                println!("{operation}, {moment}: {reply:?}");
                // A node that could not be reached keeps its setup.
                Some(reply.is_ok_and(|reply| reply.get("failed_nodes").is_none()))
            }
        };
        process = start(&killed, node).await;
        let now = agree(node, &process).await;
        println!("{asks:?} asks, {operation}, {moment} of {took:?}: {}", now == after);
        match is_done {
            Some(true) => assert_eq!(now, after, "{operation}: it was said to be done"),
            Some(false) => assert_eq!(now, before, "{operation}: it was said to have failed"),
            None => assert!(now == before || now == after, "{operation}: {now:?}"),
        }
    }
    process.kill().await.unwrap();
    cluster.stop().await;
}

/// Undoes what was done, by operations that nobody disturbs.
async fn restore(node: &ClusterNode, process: &Process, asks: Asks, before: Option<&Flows>) {
    let now = node.seen().await.unwrap().records.get("node-2").cloned();
    let request = match before {
        _ if now.as_ref() == before => return,
        None => remove("node-2"),
        Some(_) => {
            let swapped = SHARED.map(|(table, sign)| (table, if sign == ">" { "<" } else { sign }));
            let shared = if asks == Asks::First { SHARED } else { swapped };
            change("set_node_replication", "node-2", &shared)
        }
    };
    // Beside what is wanted the record keeps what it has.
    node.send(request).await.unwrap();
    assert_eq!(agree(node, process).await.as_ref(), before);
}

// covers: nodes.real.killed
#[tokio::test(flavor = "multi_thread")]
async fn the_node_that_asks_is_killed() {
    tokio::join!(
        lane(Asks::Second, "add_node", [0.3, 0.8]),
        lane(Asks::Second, "update_node", [0.5, 0.9]),
        lane(Asks::Second, "remove_node", [0.2, 0.6]),
        lane(Asks::Second, "configure_cluster", [0.4, 0.8]),
    );
}

// covers: nodes.real.killed
#[tokio::test(flavor = "multi_thread")]
async fn the_node_that_is_asked_is_killed() {
    tokio::join!(
        lane(Asks::First, "add_node", [0.3, 0.6]),
        lane(Asks::First, "update_node", [0.4, 0.8]),
        lane(Asks::First, "configure_cluster", [0.3, 0.7]),
    );
}
