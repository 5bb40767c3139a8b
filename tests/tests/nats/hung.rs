//! Servers of a node's own that hang: they run, and answer nothing.

use std::time::Duration;

use harper_host::nats::{Nats, RequestError, ServerKind, ServerState, ServersError};
use harper_tests::nats::{Authority, Cluster, NatsNode, PATIENCE, eventually, pid, runs};
use rustix::process::Signal;
use tokio::time::Instant;

use super::restarts::{freeze, signal};

/// Within this the operator is told; what follows takes as long as it takes on this machine.
const TOLD: Duration = Duration::from_secs(10);

async fn is_silent(nats: &Nats, server: ServerKind) {
    eventually("it is said to be silent", async || {
        matches!(*nats.state(server).borrow(), ServerState::Silent { .. })
    })
    .await
    .unwrap();
}

// covers: nats.hung
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_told_killed_and_back() {
    let cluster = Cluster::of(2).await.unwrap();
    let nats = &cluster.nodes[0].nats;
    let elsewhere = "$JS.node-2-leaf.API.INFO";
    for server in [ServerKind::Hub, ServerKind::Leaf] {
        let hung = pid(nats, server).unwrap();
        let start = Instant::now();
        freeze(hung).await;
        is_silent(nats, server).await;
        // Nobody else is said to be silent.
        let asked = nats.request(elsewhere, "".into(), Duration::from_millis(500)).await;
        assert_eq!(asked, Err(RequestError::Silent(server)));
        if server == ServerKind::Hub {
            let asked = nats.servers(PATIENCE).await;
            assert!(matches!(asked, Err(ServersError::Silent)), "{asked:?}");
        }
        assert!(start.elapsed() < TOLD, "{:?}", start.elapsed());
        eventually("another process", async || pid(nats, server).is_some_and(|pid| pid != hung))
            .await
            .unwrap();
        assert!(start.elapsed() < 2 * TOLD, "{:?}", start.elapsed());
        eprintln!("the {server} was back after {:?}", start.elapsed());
        assert!(!runs(hung));
        assert_eq!(nats.restarts(server), 1);
        cluster.joined().await.unwrap();
        eventually("the other node is reached", async || {
            nats.request(elsewhere, "".into(), PATIENCE).await.is_ok()
        })
        .await
        .unwrap();
    }
    cluster.stop().await;
}

// covers: nats.hung.heals
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_on_in_time_is_left_alone() {
    let authority = Authority::new().unwrap();
    let node = NatsNode::start(&authority, "one", |_| {}).await.unwrap();
    for server in [ServerKind::Hub, ServerKind::Leaf] {
        let before = pid(&node.nats, server).unwrap();
        freeze(before).await;
        is_silent(&node.nats, server).await;
        signal(before, Signal::CONT);
        eventually("it answers", async || node.nats.state(server).borrow().is_up()).await.unwrap();
        assert_eq!((pid(&node.nats, server), node.nats.restarts(server)), (Some(before), 0));
    }
    node.nats.request("$JS.one-leaf.API.INFO", "".into(), PATIENCE).await.unwrap();
    node.stop().await;
}

/// As long as it takes a server that hangs to be killed, and all of it busy with large messages.
// covers: nats.hung.busy
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_busy_is_left_alone() {
    let authority = Authority::new().unwrap();
    let node = NatsNode::start(&authority, "one", |_| {}).await.unwrap();
    let servers = [ServerKind::Hub, ServerKind::Leaf];
    let before = servers.map(|server| pid(&node.nats, server));
    let mut all = node.nats.client().subscribe("large.>").await.unwrap();
    let end = Instant::now() + TOLD;
    let flood = |subject: &'static str| {
        let (nats, payload) = (node.nats.clone(), vec![7; 16 << 20]);
        async move {
            let mut sent = 0;
            while Instant::now() < end {
                let asked =
                    nats.request(subject, payload.clone().into(), Duration::from_millis(500));
                let _ = asked.await;
                sent += 1;
            }
            sent
        }
    };
    let read = async {
        let mut read = 0;
        while tokio::time::timeout_at(end, futures_util::StreamExt::next(&mut all)).await.is_ok() {
            read += 1;
        }
        read
    };
    let (one, two, three, read) =
        tokio::join!(flood("large.1"), flood("large.2"), flood("large.3"), read);
    eprintln!("{} messages of 16 MiB were sent, and {read} were read", one + two + three);
    assert!(read > 0);
    assert_eq!(servers.map(|server| pid(&node.nats, server)), before);
    assert_eq!(servers.map(|server| node.nats.restarts(server)), [0, 0]);
    node.stop().await;
}
