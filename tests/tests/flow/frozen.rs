//! A node that stands still for a while, and goes on as if nothing had been.

use std::time::Duration;

use harper_host::nats::ServerKind;
use harper_tests::nats::signal;
use rustix::process::Signal;

use super::*;

// covers: flow.frozen
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_servers_stand_still_for_twenty_seconds_gets_every_row() {
    let cluster = nodes(2).await;
    let [a, b] = &cluster.nodes[..] else { panic!("two nodes") };
    make(a).await;
    share(a, "node-2", true, true).await;
    insert(&a.data, 0..10, "a").await;
    arrive(&b.data, 0..10, 10).await;
    let kinds = [ServerKind::Leaf, ServerKind::Hub];
    for kind in kinds {
        signal(&b.servers.nats, kind, Signal::STOP).unwrap();
    }
    let thaw = async {
        // It is the fault itself that takes so long. Its own host may have ended them meanwhile.
        tokio::time::sleep(Duration::from_secs(20)).await;
        for kind in kinds {
            let _ = signal(&b.servers.nats, kind, Signal::CONT);
        }
    };
    let write = async {
        insert(&a.data, 10..200, "a").await;
        insert(&b.data, 1000..1190, "b").await;
    };
    tokio::join!(thaw, write);
    for node in [a, b] {
        arrive(&node.data, 0..200, 390).await;
        arrive(&node.data, 1000..1190, 390).await;
    }
    cluster.stop().await;
}
