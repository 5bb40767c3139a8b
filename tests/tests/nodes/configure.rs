//! `configure_cluster` on several nodes at the same time.

use harper_tests::nodes::Nodes;
use harper_tests::shared::{agreed, change, configure, flowing};

// covers: nodes.real.configure
#[tokio::test(flavor = "multi_thread")]
async fn a_setup_is_replaced() {
    let cluster = Nodes::of(3).await.unwrap();
    let [first, second, third] = &cluster.nodes[..] else { panic!("three nodes") };
    for table in ["dev.dog", "dev.cat"] {
        first.make_table(table, &["id"]).await.unwrap();
    }
    first.send(change("add_node", "node-2", &[("dev.dog", "<>"), ("dev.cat", ">")])).await.unwrap();
    first.send(change("add_node", "node-3", &[("dev.dog", "<>")])).await.unwrap();
    let all = [first, second, third];
    agreed(&all).await.unwrap();

    // One is changed, the other removed.
    let reply = first.send(configure(&[("node-2", &[("dev.cat", "<")])])).await.unwrap();
    assert_eq!(reply["message"], "Cluster successfully configured.");
    let seen = agreed(&all).await.unwrap();
    assert_eq!(seen[0].records.len(), 1);
    assert_eq!(seen[0].records["node-2"], flowing(&[("dev.cat", "<")]));
    assert_eq!(seen[2].records.len(), 0);

    // One is there, one is not.
    let wanted: [(&str, &[_]); 2] =
        [("node-9", &[("dev.dog", "<>")]), ("node-3", &[("dev.dog", "<>")])];
    let reply = first.send(configure(&wanted)).await.unwrap();
    assert_eq!(reply["failed_nodes"], serde_json::json!(["node-9"]));
    let seen = agreed(&all).await.unwrap();
    assert_eq!(seen[0].records.keys().collect::<Vec<_>>(), ["node-3"]);
    // None is there: nothing changes.
    let error = first.send(configure(&wanted[..1])).await.unwrap_err();
    assert_eq!(error.message, "configure_cluster failed: node 'node-9' is not listening");
    assert_eq!(agreed(&all).await.unwrap(), seen);

    first.send(configure(&[])).await.unwrap();
    let seen = agreed(&all).await.unwrap();
    assert!(seen.iter().all(|node| node.records.is_empty() && node.streams.is_empty()));
    cluster.stop().await;
}

// covers: nodes.real.configure.at-once
#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_replace_theirs_at_the_same_time() {
    let cluster = Nodes::of(3).await.unwrap();
    let [first, second, third] = &cluster.nodes[..] else { panic!("three nodes") };
    let all = [first, second, third];
    for node in all {
        for table in ["dev.dog", "dev.cat"] {
            node.make_table(table, &["id"]).await.unwrap();
        }
    }
    let full = [("dev.dog", "<>"), ("dev.cat", "<>")];
    for round in 0..5 {
        let (one, other, last) = tokio::join!(
            first.send(configure(&[("node-2", &full), ("node-3", &full)])),
            second.send(configure(&[("node-1", &full), ("node-3", &full)])),
            third.send(configure(&[("node-1", &full), ("node-2", &full)])),
        );
        for reply in [one, other, last] {
            let reply = reply.unwrap();
            assert_eq!(reply["message"], "Cluster successfully configured.", "{round}: {reply}");
        }
        let seen = agreed(&all).await.unwrap();
        for node in seen {
            assert_eq!(node.records.len(), 2);
            assert!(node.records.values().all(|flows| *flows == flowing(&full)), "{node:?}");
        }
        // What contradicts: the first wants nobody, the others each other.
        let (one, other, last) = tokio::join!(
            first.send(configure(&[])),
            second.send(configure(&[("node-3", &full[..1])])),
            third.send(configure(&[("node-2", &full[..1])])),
        );
        for reply in [one, other, last] {
            reply.unwrap();
        }
        let seen = agreed(&all).await.unwrap();
        assert_eq!(seen[0].records.len(), 0, "round {round}");
        assert_eq!(seen[1].records["node-3"], flowing(&full[..1]), "round {round}");
    }
    cluster.stop().await;
}
