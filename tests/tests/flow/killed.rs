//! Servers and whole hosts that are killed while rows flow.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use harper_host::nats::{ServerKind, Tls};
use harper_tests::nats::{pid, signal};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::*;

/// Kills a server, and waits until there is another.
async fn kill(node: &ClusterNode, kind: ServerKind) {
    let before = pid(&node.servers.nats, kind).unwrap();
    signal(&node.servers.nats, kind, Signal::KILL).unwrap();
    eventually("the server is up again", async || {
        pid(&node.servers.nats, kind).is_some_and(|now| now != before)
    })
    .await
    .unwrap();
}

// covers: flow.killed.servers
#[tokio::test(flavor = "multi_thread")]
async fn servers_are_killed_and_every_row_arrives() {
    let cluster = nodes(2).await;
    let [a, b] = &cluster.nodes[..] else { panic!("two nodes") };
    make(a).await;
    share(a, "node-2", true, true).await;
    insert(&a.data, 0..10, "a").await;
    arrive(&b.data, 0..10, 10).await;
    let write = async || {
        for n in 0..60 {
            insert(&a.data, 10 + n * 5..15 + n * 5, "a").await;
            insert(&b.data, 1000 + n * 5..1005 + n * 5, "b").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let kill_all = async {
        for (node, kind) in [
            (a, ServerKind::Leaf),
            (b, ServerKind::Leaf),
            (a, ServerKind::Hub),
            (b, ServerKind::Hub),
        ] {
            kill(node, kind).await;
        }
    };
    tokio::join!(write(), kill_all);
    for node in [a, b] {
        arrive(&node.data, 0..310, 610).await;
        arrive(&node.data, 1000..1300, 610).await;
    }
    cluster.stop().await;
}

/// A whole node, of which nothing but its folder stays.
struct Killed {
    folder: TempDir,
    tls: Tls,
    port: u16,
}

struct Process {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Killed {
    fn beside(cluster: &Nodes) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            tls: cluster.authority.issue("node-2", &["127.0.0.1"]).unwrap(),
            port: cluster.nodes[0].servers.route().port,
        }
    }

    async fn start(&self) -> Process {
        let files: [&PathBuf; 3] =
            [&self.tls.certificate, &self.tls.private_key, &self.tls.certificate_authority];
        let mut child = Command::new(env!("CARGO_BIN_EXE_whole-node"))
            .arg(self.folder.path())
            .args(["node-2", &self.port.to_string()])
            .args(files)
            .arg("flow")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(output.next_line().await.unwrap().as_deref(), Some("\"begun\""));
        Process { child, input, output }
    }
}

impl Process {
    async fn send(&mut self, request: Value) -> Result<Value> {
        self.input.write_all(format!("{request}\n").as_bytes()).await?;
        let answer = self.output.next_line().await?.context("it has ended")?;
        let mut answer: Value = serde_json::from_str(&answer)?;
        match answer["error"].as_str() {
            Some(error) => bail!("{error}"),
            None => Ok(answer["reply"].take()),
        }
    }

    async fn kill(mut self) {
        self.child.start_kill().unwrap();
        self.child.wait().await.unwrap();
    }

    /// Inserts rows until it is killed, and returns which were acknowledged.
    async fn insert(&mut self, ids: Range<u64>) -> u64 {
        let mut acknowledged = 0;
        for id in ids {
            let request = json!({
                "operation": "insert", "database": "dev", "table": "dog",
                "records": [{ "id": id, "value": "b" }],
            });
            match self.send(request).await {
                Ok(reply) => {
                    assert_eq!(reply["inserted_hashes"], json!([id]), "{reply}");
                    acknowledged += 1;
                }
                Err(_) => break,
            }
        }
        acknowledged
    }
}

// covers: flow.killed.host
#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_killed_again_and_again_and_no_acknowledged_row_is_lost() {
    let cluster = nodes(1).await;
    let [a] = &cluster.nodes[..] else { panic!("one node") };
    let killed = Killed::beside(&cluster);
    make(a).await;
    let mut process = killed.start().await;
    eventually("the other node can be asked", async || {
        let request = json!({
            "operation": "set_node_replication",
            "node_name": "node-2",
            "subscriptions": [
                { "database": "dev", "table": "dog", "publish": true, "subscribe": true },
            ],
        });
        a.send(request).await.is_ok()
    })
    .await
    .unwrap();
    let (mut from, mut ours) = (100_000, 0);
    for round in 0..4 {
        let pid = process.child.id().unwrap();
        let acknowledged = {
            let write = process.insert(from..from + 1000);
            let kill = async {
                insert(&a.data, ours..ours + 40, "a").await;
                let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
                rustix::process::kill_process(pid, Signal::KILL).unwrap();
            };
            let (acknowledged, ()) = tokio::join!(write, kill);
            acknowledged
        };
        assert!(acknowledged > 0, "round {round}: something was written before it was killed");
        process.kill().await;
        insert(&a.data, ours + 40..ours + 60, "a").await;
        ours += 60;
        process = killed.start().await;
        // What was acknowledged arrives; one more may have been written that was not.
        eventually("all that was acknowledged arrives", async || {
            values(&a.data, from..from + acknowledged).await.len() as u64 == acknowledged
        })
        .await
        .unwrap();
        from += 1000;
    }
    let mut there = 0;
    for _ in 0..6000 {
        let request = json!({
            "operation": "describe_table", "database": "dev", "table": "dog",
        });
        let described = process.send(request).await.unwrap();
        there = described["record_count"].as_u64().unwrap();
        if there == a.data.table(&dog()).await.unwrap().record_count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(there, a.data.table(&dog()).await.unwrap().record_count, "both have the same");
    assert_eq!(values(&a.data, 0..ours).await.len() as u64, ours);
    process.kill().await;
    cluster.stop().await;
}
