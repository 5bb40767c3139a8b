//! Operations on the same nodes at the same time: whatever the order, both sides agree in the end,
//! and nobody waits for ever.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harper_tests::nodes::{ClusterNode, Nodes};
use harper_tests::shared::{agreed, change, flowing, remove};
use serde_json::Value;

/// Longer than any operation may take.
const LONGEST: Duration = Duration::from_secs(35);

/// What is said: the message, or the error.
async fn said(node: &ClusterNode, request: Value) -> Result<String, String> {
    let reply = tokio::time::timeout(LONGEST, node.send(request)).await.expect("it ends");
    reply
        .map(|reply| reply["message"].as_str().unwrap_or_default().to_owned())
        .map_err(|error| error.message)
}

async fn two() -> Nodes {
    let cluster = Nodes::of(2).await.unwrap();
    for table in ["dev.dog", "dev.cat"] {
        cluster.nodes[0].make_table(table, &["id", "name"]).await.unwrap();
        cluster.nodes[1].make_table(table, &["id", "name"]).await.unwrap();
    }
    cluster
}

// covers: nodes.real.at-once.clients
#[tokio::test(flavor = "multi_thread")]
async fn of_clients_who_add_the_same_node_one_does() {
    let cluster = two().await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    for _ in 0..5 {
        let adds = (0..3).map(|_| said(first, change("add_node", "node-2", &[("dev.dog", "<>")])));
        let (done, refused): (Vec<_>, Vec<_>) =
            join_all(adds).await.into_iter().partition(Result::is_ok);
        assert_eq!(done, [Ok("Successfully added 'node-2' to manifest".to_owned())]);
        let known = "Node 'node-2' is already in the manifest: change it with update_node or \
                     set_node_replication";
        assert_eq!(refused, vec![Err(known.to_owned()); 2]);
        let seen = agreed(&[first, second]).await.unwrap();
        assert_eq!(seen[0].records["node-2"], flowing(&[("dev.dog", "<>")]));
        said(first, remove("node-2")).await.unwrap();
    }
    cluster.stop().await;
}

// covers: nodes.real.at-once.each-other
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_add_each_other_both_succeed() {
    let cluster = two().await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    for round in 0..20 {
        // The same, another table, and what contradicts.
        let (here, there) = [
            (("dev.dog", "<>"), ("dev.dog", "<>")),
            (("dev.dog", ">"), ("dev.cat", ">")),
            (("dev.dog", ">"), ("dev.dog", ">")),
        ][round % 3];
        let (one, other) = tokio::join!(
            said(first, change("set_node_replication", "node-2", &[here])),
            said(second, change("set_node_replication", "node-1", &[there])),
        );
        assert_eq!(one, Ok("Successfully updated 'node-2'".into()), "round {round}");
        assert_eq!(other, Ok("Successfully updated 'node-1'".into()), "round {round}");
        agreed(&[first, second]).await.unwrap();
        said(first, remove("node-2")).await.unwrap();
    }
    for round in 0..10 {
        let (one, other) = tokio::join!(
            said(first, change("add_node", "node-2", &[("dev.dog", "<>")])),
            said(second, change("add_node", "node-1", &[("dev.dog", "<>")])),
        );
        for added in [&one, &other] {
            let is_fine = match added {
                Ok(_) => true,
                Err(text) => text.contains("is already in the manifest"),
            };
            assert!(is_fine, "round {round}: {one:?} {other:?}");
        }
        assert!(one.is_ok() || other.is_ok(), "round {round}: {one:?} {other:?}");
        let seen = agreed(&[first, second]).await.unwrap();
        assert_eq!(seen[0].records["node-2"], flowing(&[("dev.dog", "<>")]));
        said(second, remove("node-1")).await.unwrap();
    }
    cluster.stop().await;
}

// covers: nodes.real.at-once.add-remove
#[tokio::test(flavor = "multi_thread")]
async fn adding_against_removing_ends_in_agreement() {
    let cluster = two().await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    for round in 0..70 {
        let add = |node| change("set_node_replication", node, &[("dev.dog", "<>")]);
        let round_began = Instant::now();
        let results = match round % 3 {
            0 => {
                let (one, other) =
                    tokio::join!(said(first, add("node-2")), said(second, remove("node-1")));
                [one, other]
            }
            1 => {
                let (one, other) =
                    tokio::join!(said(first, remove("node-2")), said(second, add("node-1")));
                [one, other]
            }
            _ => {
                let (one, other) =
                    tokio::join!(said(first, remove("node-2")), said(second, remove("node-1")));
                [one, other]
            }
        };
        slowest = slowest.max(round_began.elapsed());
        for text in results.iter().filter_map(|result| result.as_ref().err()) {
            // Who was faster has made it pointless, and that is said.
            let is_said =
                ["is not in the manifest", "was removed by an operation of its own meanwhile"];
            assert!(is_said.iter().any(|said| text.contains(said)), "round {round}: {results:?}");
        }
        if round % 7 == 0 {
            agreed(&[first, second]).await.unwrap();
        }
    }
    agreed(&[first, second]).await.unwrap();
    println!("70 rounds in {:?}, the slowest in {slowest:?}", began.elapsed());
    cluster.stop().await;
}
