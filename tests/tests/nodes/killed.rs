//! A whole node that is killed in the midst of an operation, its own or the other node's: when it is
//! back, both are as before or as after.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use harper_host::nats::Tls;
use harper_tests::nodes::{ClusterNode, Nodes};
use harper_tests::shared::{Flows, Seen, agreed_by, change, configure, flowing, remove};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

/// Moments of an operation at which it is killed, as parts of the time that it takes.
const MOMENTS: [f64; 7] = [0.1, 0.3, 0.45, 0.6, 0.75, 0.9, 1.05];
const LONGEST: Duration = Duration::from_secs(35);

struct Killed {
    folder: TempDir,
    tls: Tls,
    port: u16,
}

struct Process {
    child: Child,
    pipes: Mutex<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
}

impl Killed {
    /// Node `node-2`, which joins this one.
    fn beside(cluster: &Nodes) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            tls: cluster.authority.issue("node-2", &["127.0.0.1"]).unwrap(),
            port: cluster.nodes[0].servers.route().port,
        }
    }

    /// Starts it, and waits until each can ask the other.
    async fn start(&self, other: &ClusterNode) -> Process {
        let files: [&PathBuf; 3] =
            [&self.tls.certificate, &self.tls.private_key, &self.tls.certificate_authority];
        let mut child = Command::new(env!("CARGO_BIN_EXE_whole-node"))
            .arg(self.folder.path())
            .args(["node-2", &self.port.to_string()])
            .args(files)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(output.next_line().await.unwrap().as_deref(), Some("\"begun\""));
        let process = Process { child, pipes: Mutex::new((input, output)) };
        let status = json!({ "operation": "cluster_status" });
        harper_tests::nats::eventually("each leaf is reached from each", async || {
            let api = "$JS.node-2-leaf.API.INFO";
            let second = Duration::from_secs(1);
            let asked = other.servers.nats.request(api, Vec::new().into(), second).await;
            let network = process.send(json!({ "operation": "cluster_network" })).await;
            asked.is_ok()
                && network.is_ok_and(|reply| {
                    reply["nodes"].as_array().is_some_and(|nodes| nodes.len() == 2)
                })
        })
        .await
        .unwrap();
        process.send(status).await.unwrap();
        process
    }
}

impl Process {
    async fn say(&self, line: &Value) -> Result<Value> {
        let mut pipes = self.pipes.lock().await;
        pipes.0.write_all(format!("{line}\n").as_bytes()).await?;
        let answer = pipes.1.next_line().await?.context("it has ended")?;
        Ok(serde_json::from_str(&answer)?)
    }

    async fn send(&self, request: Value) -> Result<Value> {
        let mut answer = self.say(&request).await?;
        match answer["error"].as_str() {
            Some(error) => bail!("{error}"),
            None => Ok(answer["reply"].take()),
        }
    }

    async fn seen(&self) -> Result<Seen> {
        let mut answer = self.say(&json!({ "see": true })).await?;
        match answer["error"].as_str() {
            Some(error) => bail!("{error}"),
            None => Ok(serde_json::from_value(answer["seen"].take())?),
        }
    }

    async fn kill(mut self) {
        self.child.start_kill().unwrap();
        self.child.wait().await.unwrap();
    }
}

/// Waits until both agree, and returns what the one that is not killed has of the other.
async fn agree(node: &ClusterNode, process: &Process) -> Option<Flows> {
    let seen =
        agreed_by(async || Ok(vec![node.seen().await?, process.seen().await?])).await.unwrap();
    seen[0].records.get("node-2").cloned()
}

/// What the operation in this round is, when this is shared; and what is shared after it.
fn next(
    asks: &str,
    present: Option<&Flows>,
    round: usize,
) -> (Value, Option<Flows>) {
    let other = if asks == "node-1" { "node-2" } else { "node-1" };
    let add = [("dev.dog", "<>"), ("dev.cat", ">")];
    let seen = |flows: Flows| {
        // As the first node has it.
        let swap = |flow: harper_tests::shared::Flow| harper_tests::shared::Flow {
            publish: flow.subscribe,
            subscribe: flow.publish,
        };
        match asks {
            "node-1" => flows,
            _ => flows.into_iter().map(|(table, flow)| (table, swap(flow))).collect(),
        }
    };
    match (present, round % 3) {
        (None, _) => (change("add_node", other, &add), Some(seen(flowing(&add)))),
        (Some(_), 0) => (remove(other), None),
        (Some(_), 1) => {
            let replaced = [("dev.cat", "<>")];
            (configure(&[(other, &replaced)]), Some(seen(flowing(&replaced))))
        }
        (Some(present), _) => {
            let mut after = present.clone();
            after.extend(seen(flowing(&[("dev.dog", "<")])));
            (change("update_node", other, &[("dev.dog", "<")]), Some(after))
        }
    }
}

async fn cluster() -> (Nodes, Killed) {
    let cluster = Nodes::of(1).await.unwrap();
    for table in ["dev.dog", "dev.cat"] {
        cluster.nodes[0].make_table(table, &["id", "name"]).await.unwrap();
    }
    let killed = Killed::beside(&cluster);
    (cluster, killed)
}

// covers: nodes.real.killed
#[tokio::test(flavor = "multi_thread")]
async fn the_node_that_asks_is_killed() {
    let (cluster, killed) = cluster().await;
    let node = &cluster.nodes[0];
    let mut process = killed.start(node).await;
    // How long one takes that nobody disturbs.
    let (request, _) = next("node-2", None, 0);
    let began = Instant::now();
    process.send(request).await.unwrap();
    let took = began.elapsed();
    let mut present = agree(node, &process).await;
    for (round, moment) in MOMENTS.into_iter().enumerate() {
        let (request, after) = next("node-2", present.as_ref(), round);
        let reply = tokio::time::timeout(took.mul_f64(moment), process.send(request.clone())).await;
        process.kill().await;
        process = killed.start(node).await;
        let now = agree(node, &process).await;
        assert!(now == present || now == after, "{moment} of {took:?}, {request}: {now:?}");
        if reply.is_ok() {
            assert_eq!(now, after, "it was done already");
        }
        println!("{moment}: {} is {}", request["operation"], if now == after { "done" } else { "undone" });
        present = now;
    }
    process.kill().await;
    cluster.stop().await;
}

// covers: nodes.real.killed
#[tokio::test(flavor = "multi_thread")]
async fn the_node_that_is_asked_is_killed() {
    let (cluster, killed) = cluster().await;
    let node = &cluster.nodes[0];
    let mut process = killed.start(node).await;
    let (request, _) = next("node-1", None, 0);
    let began = Instant::now();
    node.send(request).await.unwrap();
    let took = began.elapsed();
    let mut present = agree(node, &process).await;
    for (round, moment) in MOMENTS.into_iter().enumerate() {
        let (request, after) = next("node-1", present.as_ref(), round);
        let sent = async {
            let sent = node.send(request.clone());
            tokio::time::timeout(LONGEST, sent).await.expect("it ends")
        };
        let ended = async {
            tokio::time::sleep(took.mul_f64(moment)).await;
            process.kill().await;
        };
        let (reply, ()) = tokio::join!(sent, ended);
        process = killed.start(node).await;
        let now = agree(node, &process).await;
        let expected = if reply.is_ok() { after.as_ref() } else { present.as_ref() };
        // One that could not be reached, for all that is known, is removed in any case.
        let partly = reply.as_ref().is_ok_and(|reply| reply.get("failed_nodes").is_some());
        let expected = if partly { present.as_ref() } else { expected };
        assert_eq!(now.as_ref(), expected, "{moment} of {took:?}, {request}: {reply:?}");
        println!("{moment}: {} {reply:?}", request["operation"]);
        present = now;
    }
    process.kill().await;
    cluster.stop().await;
}
