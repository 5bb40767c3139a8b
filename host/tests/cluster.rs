//! `harper-host run` with clustering on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "cli/clustered.rs"]
mod clustered;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use clustered::CLUSTERED;

/// Nothing here takes longer.
const DEADLINE: Duration = Duration::from_secs(60);

fn command(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_harper-host"));
    command.args(["run", "--rootpath"]).arg(root);
    let admin = [("HDB_ADMIN_USERNAME", "admin"), ("HDB_ADMIN_PASSWORD", "s3cret-of-the-test")];
    command.envs(admin).envs(CLUSTERED);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running node, killed when the test is over.
struct Node(Child);

impl Node {
    fn start(root: &Path) -> Self {
        Self::by(command(root))
    }

    fn by(mut command: Command) -> Self {
        let mut node = Self(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(node.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if !line.starts_with("harper-host is ready at ") {
            let mut said = String::new();
            node.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("{line:?}: {said}");
        }
        node
    }

    /// The process ids of its nats-servers.
    fn servers(&self) -> Vec<u32> {
        let is_child = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1));
            stat.contains("(nats-server)") && parent == Some(&self.0.id().to_string())
        };
        let all = fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(is_child).collect()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Its exit code and standard error.
    fn ended(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        // Its servers have none of their own, so that this ends with it.
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.0.wait().unwrap().code(), said)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn runs(pid: &u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn metrics(root: &Path) -> String {
    get(root, "/metrics")
}

fn get(root: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(root.join("operations-server")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

// covers: clustering.run
#[test]
fn a_node_in_a_cluster_runs_two_servers_and_ends_the_leaf_before_the_hub() {
    let root = tempfile::tempdir().unwrap();
    // The second start finds what the first has made.
    for _ in 0..2 {
        let node = Node::start(root.path());
        let servers = node.servers();
        assert_eq!(servers.len(), 2);
        let metrics = metrics(root.path());
        for line in [
            "harper_nats_server_up{server=\"hub\"} 1",
            "harper_nats_server_up{server=\"leaf\"} 1",
            "harper_nats_server_restarts_total{server=\"hub\"} 0",
        ] {
            assert!(metrics.contains(line), "{line}: {metrics}");
        }
        node.signal(Signal::TERM);
        let (code, said) = node.ended();
        assert_eq!(code, Some(0), "{said}");
        // What each says of losing the other is no error when both are to end.
        let is_bad = |line: &str| line.contains("ERROR") || line.contains("nats-server: ");
        assert!(!said.lines().any(is_bad), "{said}");
        assert!(!servers.iter().any(runs));
        let ended: Vec<_> =
            said.lines().filter(|line| line.contains("nats-server has ended")).collect();
        assert!(
            matches!(*ended, [leaf, hub] if leaf.contains("leaf") && hub.contains("hub")),
            "{said}"
        );
    }
}

#[test]
fn a_node_that_is_killed_leaves_no_server() {
    let root = tempfile::tempdir().unwrap();
    let node = Node::start(root.path());
    let servers = node.servers();
    node.signal(Signal::KILL);
    node.ended();
    let deadline = Instant::now() + DEADLINE;
    while servers.iter().any(runs) {
        assert!(Instant::now() < deadline, "{servers:?} run still");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

// covers: clustering.hung
#[test]
fn a_node_whose_own_server_hangs_says_so_and_heals() {
    let root = tempfile::tempdir().unwrap();
    let node = Node::start(root.path());
    let ready = || get(root.path(), "/ready");
    assert!(ready().starts_with("HTTP/1.1 200"), "{}", ready());
    let mut servers = node.servers();
    // The hub is started first.
    servers.sort_unstable();
    for (server, hung) in ["hub", "leaf"].into_iter().zip(servers) {
        let frozen = Instant::now();
        kill_process(Pid::from_raw(hung as i32).unwrap(), Signal::STOP).unwrap();
        let told = format!("this node's NATS {server} server does not answer");
        eventually("it is told", || ready().contains(&told));
        let took = frozen.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}");
        let down = format!("harper_nats_server_up{{server=\"{server}\"}} 0");
        assert!(metrics(root.path()).contains(&down));
        eventually("it is ready again", || ready().starts_with("HTTP/1.1 200"));
        let restarts = format!("harper_nats_server_restarts_total{{server=\"{server}\"}} 1");
        assert!(metrics(root.path()).contains(&restarts));
        assert!(!runs(&hung));
    }
    let servers = node.servers();
    assert_eq!(servers.len(), 2);
    node.signal(Signal::TERM);
    let (code, said) = node.ended();
    assert_eq!(code, Some(0), "{said}");
    let why = "nats-server has ended and is restarted: it had not answered for 6s, and was killed";
    assert_eq!(said.matches(why).count(), 2, "{said}");
    assert!(!servers.iter().any(runs));
}

// covers: replication-status.run
#[test]
fn a_node_tells_how_far_replication_is() {
    let root = tempfile::tempdir().unwrap();
    let node = Node::start(root.path());
    let output = Command::new(env!("CARGO_BIN_EXE_harper-host"))
        .args(["replication", "--rootpath"])
        .arg(root.path())
        .output()
        .unwrap();
    let (said, failed) = (String::from_utf8(output.stdout).unwrap(), output.stderr);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&failed));
    let own =
        "Own changes: 0 published, 0 waiting for 0.0 s, 0 failures, 0 lost to the log, 0 refused\n";
    let nobody = "This node subscribes to no table.\n\nNobody reads tables of this node.\n";
    assert_eq!(said, format!("{nobody}\n{own}"));
    let metrics = metrics(root.path());
    assert!(metrics.contains("harper_replication_outbox_changes 0.0"), "{metrics}");
    node.signal(Signal::TERM);
    let (code, said) = node.ended();
    assert_eq!(code, Some(0), "{said}");
}

fn said_by(root: &Path, change: impl FnOnce(&mut Command)) -> String {
    let mut command = command(root);
    change(&mut command);
    let node = Node::by(command);
    node.signal(Signal::TERM);
    node.ended().1
}

// covers: clustering.own-authority, clustering.log.fields
#[test]
fn a_start_says_what_it_makes_of_its_cluster_and_each_line_is_plain_json() {
    let root = tempfile::tempdir().unwrap();
    let own = "this node has begun a cluster of its own";
    // Once: the second start finds it.
    for times in [1, 0] {
        let said = said_by(root.path(), |_| {});
        assert_eq!(said.matches(own).count(), times, "{said}");
        let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let is_ready = |line: &Value| line["message"] == "the NATS servers are ready";
        let ready: Vec<_> = lines.filter(is_ready).collect();
        let [ready] = &ready[..] else { panic!("{said}") };
        for port in ["hub_cluster", "hub_leafnodes", "hub_clients", "leaf_clients"] {
            assert!(ready[port].as_u64().is_some_and(|port| port > 0), "{port}: {ready}");
        }
    }
}

// covers: cert.import.running
#[test]
fn whoever_imports_under_a_running_node_is_told_that_it_does_not_use_it_yet() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cert = |root: &Path, words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harper-host"));
        command.arg("cert").args(words).arg("--rootpath").arg(root);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        said
    };
    said_by(first.path(), |_| {});
    let bundle = first.path().join("node-2.json");
    let bundle = bundle.to_str().unwrap();
    cert(first.path(), &["issue", "node-2", "--out", bundle]);
    let node = Node::start(second.path());
    let said = cert(second.path(), &["import", "--force", bundle]);
    assert!(said.contains("the node runs: it uses what was imported when it is started again"));
    drop(node);
    let said = cert(second.path(), &["import", bundle]);
    assert!(!said.contains("the node runs"), "{said}");
}

fn refused(change: impl FnOnce(&mut Command)) -> String {
    let root = tempfile::tempdir().unwrap();
    let mut command = command(root.path());
    change(&mut command);
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]));
    String::from_utf8(output.stderr).unwrap()
}

// covers: clustering.node-name
#[test]
fn what_clustering_needs_is_named() {
    let said = refused(|command| {
        command.env_remove("CLUSTERING_NODENAME");
    });
    assert!(said.contains("'clustering.nodeName' is required"), "{said}");
    let said = refused(|command| {
        command.env("PATH", "");
    });
    assert!(said.contains("nats-server is not on PATH: install it"), "{said}");
}
