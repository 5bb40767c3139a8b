//! Servers that end by themselves, or are ended by somebody else.

use harper_host::nats::ServerKind;
use harper_tests::nats::{Cluster, PATIENCE, eventually, names, pid, runs};
use rustix::process::{Pid, Signal, kill_process};

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

pub(crate) async fn freeze(pid: u32) {
    harper_tests::nats::freeze(pid).await.unwrap();
}

// covers: nats.restart
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_is_back_with_its_ports_and_routes() {
    let cluster = Cluster::of(2).await.unwrap();
    let nats = &cluster.nodes[0].nats;
    let ports = nats.ports();
    for server in [ServerKind::Hub, ServerKind::Leaf] {
        let before = pid(nats, server).unwrap();
        signal(before, Signal::KILL);
        eventually("another process", async || pid(nats, server).is_some_and(|pid| pid != before))
            .await
            .unwrap();
        assert!(!runs(before));
        assert_eq!(nats.restarts(server), 1);
        assert_eq!(nats.ports(), ports);
        cluster.joined().await.unwrap();
        // Both ways through all four servers.
        for (node, other) in [(0, "node-2"), (1, "node-1")] {
            let subject = format!("$JS.{other}-leaf.API.INFO");
            eventually("the streams of the other node answer", async || {
                let nats = &cluster.nodes[node].nats;
                nats.request(&subject, "".into(), PATIENCE).await.is_ok()
            })
            .await
            .unwrap();
        }
    }
    let found = nats.servers(PATIENCE).await.unwrap();
    assert_eq!(names(&found), ["node-1-hub", "node-2-hub"]);
    let files = std::fs::read_dir(&cluster.nodes[0].config.folder).unwrap();
    assert_eq!(files.count(), 0);
    cluster.stop().await;
}
