//! From the start of a node's servers to their end.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use harper_host::nats::{RequestError, ServerKind};
use harper_tests::nats::{
    Authority, Cluster, NatsNode, PASSWORD, PATIENCE, eventually, names, pid, runs,
};
use tokio::time::Instant;

// covers: nats.ready, nats.stop, nats.file
#[tokio::test]
async fn servers_are_ready_when_they_have_started_and_gone_when_they_have_stopped() {
    let authority = Authority::new().unwrap();
    let node = NatsNode::start(&authority, "one", |_| {}).await.unwrap();
    let nats = node.nats.clone();
    assert_eq!(nats.node_name(), "one");
    // The streams answer at once, on the leaf and on the hub.
    let info = nats.request("$JS.one-leaf.API.INFO", "".into(), PATIENCE).await.unwrap();
    assert!(str::from_utf8(&info).unwrap().contains("one-leaf"));
    let on_hub = node.on_hub().await.unwrap();
    on_hub.request("$JS.one-leaf.API.INFO", "".into()).await.unwrap();
    let missing = nats.jetstream("one-leaf").get_stream("missing").await.unwrap_err();
    assert!(missing.to_string().contains("10059"), "{missing}");

    // What had the password in it is gone, and nobody else may look.
    let files: Vec<_> = std::fs::read_dir(&node.config.folder).unwrap().collect();
    assert!(files.is_empty(), "{files:?}");
    for folder in [&node.config.folder, &node.config.streams] {
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }

    let servers = [ServerKind::Hub, ServerKind::Leaf];
    let pids = servers.map(|server| pid(&nats, server).unwrap());
    for pid in pids {
        assert!(runs(pid));
        let read = |what: &str| std::fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap();
        assert!(!read("cmdline").contains(&PASSWORD[..6]));
        assert_eq!(read("environ"), "");
    }
    node.stop().await;
    assert!(!pids.into_iter().any(runs));
    for server in servers {
        assert!(!nats.state(server).borrow().is_up());
        assert_eq!(nats.restarts(server), 0);
    }
    let refused = nats.request("a", "".into(), PATIENCE).await;
    assert!(matches!(refused, Err(RequestError::Unavailable(ServerKind::Leaf))), "{refused:?}");
}

// covers: nats.requests
#[tokio::test]
async fn requests_end_in_a_reply_or_a_reason() {
    let authority = Authority::new().unwrap();
    let node = NatsNode::start(&authority, "one", |_| {}).await.unwrap();
    let ask =
        async |subject: &str, deadline| node.nats.request(subject, "x".into(), deadline).await;
    assert_eq!(ask("nobody.here", PATIENCE).await, Err(RequestError::NoResponders));
    let silent = node.nats.client().subscribe("silent").await.unwrap();
    let brief = Duration::from_millis(100);
    assert_eq!(ask("silent", brief).await, Err(RequestError::Timeout(brief)));
    for subject in ["", "a.", "a b", "a.*", ">", "a\r\nPUB b 0"] {
        assert_eq!(ask(subject, PATIENCE).await, Err(RequestError::Subject), "{subject:?}");
    }
    let large = |bytes| node.nats.request("nobody", vec![0; bytes].into(), PATIENCE);
    assert_eq!(large((64 << 20) + 1).await, Err(RequestError::TooLarge));
    assert_eq!(large(64 << 20).await, Err(RequestError::NoResponders));
    drop(silent);
}

// covers: nats.harness
#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_are_joined_in_little_time() {
    let start = Instant::now();
    let cluster = Cluster::of(3).await.unwrap();
    let took = start.elapsed();
    let found = cluster.nodes[1].nats.servers(PATIENCE).await.unwrap();
    assert_eq!(names(&found), ["node-1-hub", "node-2-hub", "node-3-hub"]);
    // From one node's leaf to another's, through both hubs.
    let subject = "$JS.node-3-leaf.API.INFO";
    eventually("the streams of another node answer", async || {
        cluster.nodes[0].nats.request(subject, "".into(), PATIENCE).await.is_ok()
    })
    .await
    .unwrap();
    let servers = [ServerKind::Hub, ServerKind::Leaf];
    let all =
        cluster.nodes.iter().flat_map(|node| servers.map(|one| pid(&node.nats, one).unwrap()));
    let pids: Vec<_> = all.collect();
    cluster.stop().await;
    assert!(!pids.into_iter().any(runs));
    // With nothing else on the machine it takes a second; the bound is for a busy one.
    assert!(took < PATIENCE / 2, "{took:?}");
    eprintln!("three nodes in {took:?}");
}

#[tokio::test]
async fn servers_that_are_dropped_are_killed() {
    let authority = Authority::new().unwrap();
    let node = NatsNode::start(&authority, "one", |_| {}).await.unwrap();
    let pids = [ServerKind::Hub, ServerKind::Leaf].map(|one| pid(&node.nats, one).unwrap());
    drop(node);
    eventually("no server runs", async || !pids.into_iter().any(runs)).await.unwrap();
}
