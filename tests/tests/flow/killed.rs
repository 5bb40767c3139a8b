//! Servers and whole hosts that are killed while rows flow.

use std::time::Duration;

use harper_host::nats::ServerKind;
use harper_tests::nats::{pid, signal};
use harper_tests::whole_node::{Process, WholeNode};
use rustix::process::Signal;

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

/// Inserts rows until it is killed, and returns how many were acknowledged.
async fn insert_into(process: &Process, ids: Range<u64>) -> u64 {
    let mut acknowledged = 0;
    for id in ids {
        let request = json!({
            "operation": "insert", "database": "dev", "table": "dog",
            "records": [{ "id": id, "value": "b" }],
        });
        match process.send(request).await {
            Ok(reply) => {
                assert_eq!(reply["inserted_hashes"], json!([id]), "{reply}");
                acknowledged += 1;
            }
            Err(_) => break,
        }
    }
    acknowledged
}

// covers: flow.killed.host
#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_killed_again_and_again_and_no_acknowledged_row_is_lost() {
    let cluster = nodes(1).await;
    let [a] = &cluster.nodes[..] else { panic!("one node") };
    let killed = WholeNode::beside(&cluster, env!("CARGO_BIN_EXE_whole-node")).unwrap();
    make(a).await;
    let mut process = killed.start(&["flow"]).await.unwrap();
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
        let pid = process.id().unwrap();
        let acknowledged = {
            let write = insert_into(&process, from..from + 1000);
            let kill = async {
                insert(&a.data, ours..ours + 40, "a").await;
                let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
                rustix::process::kill_process(pid, Signal::KILL).unwrap();
            };
            let (acknowledged, ()) = tokio::join!(write, kill);
            acknowledged
        };
        assert!(acknowledged > 0, "round {round}: something was written before it was killed");
        process.kill().await.unwrap();
        insert(&a.data, ours + 40..ours + 60, "a").await;
        ours += 60;
        process = killed.start(&["flow"]).await.unwrap();
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
    process.kill().await.unwrap();
    cluster.stop().await;
}
