//! A host that is killed, again and again, while it makes and clears.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harper_host::nats::Tls;
use harper_host::replication::StreamLimits;
use harper_host::store::Store;
use harper_tests::nats::{Authority, NatsNode, eventually};
use serde_json::{Value, json};

use crate::{Node, durables, publishes, subscribes};

const TABLES: usize = 30;
const NAME: &str = "node-1-leaf_node-2";

struct Killed {
    folder: tempfile::TempDir,
    tls: Tls,
    port: u16,
}

impl Killed {
    fn start(&self) -> Process {
        let mut process = Command::new(env!("CARGO_BIN_EXE_replicating-node"))
            .arg(self.folder.path())
            .args(["node-1", &self.port.to_string()])
            .args([&self.tls.certificate, &self.tls.private_key, &self.tls.certificate_authority])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "begun\n");
        Process(process)
    }
}

/// Killed when it is dropped, and waited for.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

async fn put(folder: &Path, subscriptions: Option<Value>) {
    let store = Store::open(folder).await.unwrap();
    let now = store.node("node-2").await.unwrap().map(|record| record.revision);
    match (subscriptions, now) {
        (Some(subscriptions), _) => {
            let record = json!({ "name": "node-2", "subscriptions": subscriptions });
            store.put_node("node-2", record, now).await.unwrap().unwrap();
        }
        (None, Some(now)) => store.remove_node("node-2", now).await.unwrap().unwrap(),
        (None, None) => {}
    }
}

// covers: replication.killed
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_at_any_moment_ends_with_what_the_records_say() {
    let authority = Authority::new().unwrap();
    let other = NatsNode::start(&authority, "node-2", |_| {}).await.unwrap();
    let other = Node::on(other, StreamLimits::default()).await;
    let tables: Vec<_> = (0..TABLES).map(|n| format!("dev.t{n}")).collect();
    let names: Vec<_> = tables.iter().map(String::as_str).collect();
    other.put("node-1", publishes(&names)).await;
    other.settle("node-1").await.unwrap();
    let killed = Killed {
        folder: tempfile::tempdir().unwrap(),
        tls: authority.issue("node-1", &["127.0.0.1"]).unwrap(),
        port: other.servers.route().port,
    };
    let folder = killed.folder.path();
    let count = async || {
        let mut found = 0;
        for name in &names {
            let all = durables(&other.servers.nats, "node-2", name).await;
            assert!(all.keys().all(|durable| durable == NAME), "{all:?}");
            found += all.len();
        }
        found
    };
    // Killed as soon as more, or fewer, are there; all are made and cleared twice.
    for _ in 0..2 {
        put(folder, Some(subscribes(&names))).await;
        for more in [1, TABLES / 2] {
            let process = killed.start();
            eventually("more are made", async || count().await >= more).await.unwrap();
            drop(process);
        }
        let process = killed.start();
        eventually("all are made", async || count().await == TABLES).await.unwrap();
        drop(process);
        put(folder, Some(subscribes(&names[..3]))).await;
        let process = killed.start();
        eventually("some are cleared", async || count().await < TABLES).await.unwrap();
        drop(process);
        put(folder, None).await;
        for most in [2, 0] {
            let process = killed.start();
            eventually("the rest is cleared", async || count().await <= most).await.unwrap();
            drop(process);
        }
        assert_eq!(count().await, 0);
    }
}
