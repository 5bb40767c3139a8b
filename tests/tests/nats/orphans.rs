//! No server outlives its host, however that ends.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use harper_tests::nats::{eventually, runs};
use rustix::process::Signal;

use super::restarts::signal;

/// A host in a process of its own; its process id, and those of its servers.
fn host(ends: &str) -> (std::process::Child, Vec<u32>) {
    let mut host = Command::new(env!("CARGO_BIN_EXE_nats-node"))
        .arg(ends)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(host.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let pids: Vec<u32> = line.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2, "{line:?}");
    (host, pids)
}

// covers: nats.no-orphan
#[tokio::test]
async fn no_server_outlives_a_host_that_is_killed_exits_aborts_or_panics() {
    for ends in ["waits", "exits", "aborts", "panics"] {
        let (mut host, pids) = host(ends);
        assert!(pids.iter().all(|pid| runs(*pid)), "{ends}");
        if ends == "waits" {
            signal(host.id(), Signal::KILL);
        } else {
            // It does so when its input ends.
            drop(host.stdin.take());
        }
        host.wait().unwrap();
        let gone = async || !pids.iter().any(|pid| runs(*pid));
        eventually(&format!("a host that {ends} leaves nothing"), gone).await.unwrap();
    }
}
