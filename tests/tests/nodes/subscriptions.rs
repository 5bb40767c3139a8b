//! Nodes added, changed and removed between real nodes: records, tables, streams and durable
//! consumers on all of them.

use std::collections::BTreeSet;

use harper_tests::nodes::{ClusterNode, Nodes};
use harper_tests::shared::{agreed, change, flowing, remove};
use serde_json::{Value, json};

/// The only thing that a reply says.
pub(crate) async fn message(node: &ClusterNode, request: Value) -> String {
    let reply = node.send(request).await.unwrap();
    assert_eq!(reply.as_object().unwrap().len(), 1, "{reply}");
    reply["message"].as_str().unwrap().to_owned()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

// covers: nodes.real.shared, nodes.real.tables
#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_share_tables_and_then_no_longer() {
    let cluster = Nodes::of(3).await.unwrap();
    let [first, second, third] = &cluster.nodes[..] else { panic!("three nodes") };
    let all = [first, second, third];
    first.make_table("dev.dog", &["id", "name", "age"]).await.unwrap();
    second.make_table("dev.cat", &["key", "colour"]).await.unwrap();

    // One table of each, both ways.
    let both = [("dev.dog", "<>"), ("dev.cat", "<>")];
    let said = message(first, change("add_node", "node-2", &both)).await;
    assert_eq!(said, "Successfully added 'node-2' to manifest");
    // They are made where they are not, with all that is known of them.
    for node in [first, second] {
        let dog = node.attributes("dev.dog").await.unwrap().unwrap();
        assert_eq!(dog[0], "id");
        assert!(["age", "name"].iter().all(|one| dog.contains(&(*one).into())), "{dog:?}");
        let cat = node.attributes("dev.cat").await.unwrap().unwrap();
        assert_eq!(cat[0], "key");
        assert!(cat.contains(&"colour".into()), "{cat:?}");
    }
    assert_eq!(third.attributes("dev.dog").await.unwrap(), None);
    let seen = agreed(&all).await.unwrap();
    assert_eq!(seen[0].records["node-2"], flowing(&both));
    for (node, durable) in [(&seen[0], "node-2-leaf_node-1"), (&seen[1], "node-1-leaf_node-2")] {
        assert_eq!(node.streams.len(), 2);
        for durables in node.streams.values() {
            assert_eq!(*durables, set(&[durable]));
        }
    }
    // The state after is there when the reply is, and not some time later.
    assert_eq!(first.seen().await.unwrap(), seen[0]);

    // One is changed, one stays.
    let said = message(first, change("update_node", "node-2", &[("dev.dog", ">")])).await;
    assert_eq!(said, "Successfully updated 'node-2'");
    let seen = agreed(&all).await.unwrap();
    assert_eq!(seen[0].records["node-2"], flowing(&[("dev.dog", ">"), ("dev.cat", "<>")]));
    assert_eq!(seen[1].streams.keys().collect::<Vec<_>>(), ["dev.cat"]);
    // The third, by the second, of a table that the second has got.
    let said = message(second, change("set_node_replication", "node-3", &[("dev.dog", "<>")]));
    assert_eq!(said.await, "Successfully updated 'node-3'");
    assert_eq!(
        third.attributes("dev.dog").await.unwrap(),
        first.attributes("dev.dog").await.unwrap()
    );
    let seen = agreed(&all).await.unwrap();
    assert_eq!(seen[1].streams["dev.dog"], set(&["node-3-leaf_node-2"]));
    assert_eq!(seen[0].streams["dev.dog"], set(&["node-2-leaf_node-1"]));

    let status = second.send(json!({ "operation": "cluster_status" })).await.unwrap();
    let mut connections = status["connections"].as_array().unwrap().clone();
    connections.sort_by_key(|one| one["node_name"].to_string());
    let names: Vec<_> = connections.iter().map(|one| &one["node_name"]).collect();
    assert_eq!(names, ["node-1", "node-3"]);
    for (connection, expected) in connections
        .iter()
        .zip([&[("dev.dog", "<"), ("dev.cat", "<>")][..], &[("dev.dog", "<>")][..]])
    {
        assert_eq!(connection["status"], "open", "{connection}");
        let shown = harper_tests::shared::flows(connection).unwrap();
        assert_eq!(shown, flowing(expected), "{connection}");
    }

    let said = message(second, remove("node-1")).await;
    assert_eq!(said, "Successfully removed 'node-1' from manifest");
    let seen = agreed(&all).await.unwrap();
    assert_eq!(seen[0].streams.len(), 0);
    assert_eq!(seen[0].records.len(), 0);
    assert_eq!(seen[1].streams.keys().collect::<Vec<_>>(), ["dev.dog"], "the third has it still");
    message(third, remove("node-2")).await;
    let seen = agreed(&all).await.unwrap();
    assert!(seen.iter().all(|node| node.records.is_empty() && node.streams.is_empty()));
    // Tables stay.
    assert!(third.attributes("dev.dog").await.unwrap().is_some());
    cluster.stop().await;
}

// covers: nodes.real.refused
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_made_changes_nothing() {
    let cluster = Nodes::of(2).await.unwrap();
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    first.make_table("dev.dog", &["id"]).await.unwrap();
    second.make_table("dev.dog", &["key"]).await.unwrap();
    first.make_table("dev.cat", &["id"]).await.unwrap();
    let error = async |request| first.send(request).await.unwrap_err().message;
    let both = [("dev.cat", "<>"), ("dev.dog", "<>")];
    assert_eq!(
        error(change("add_node", "node-2", &both)).await,
        "Table 'dev.dog' has the primary key 'id' here and 'key' on node 'node-2'"
    );
    let started = std::time::Instant::now();
    assert_eq!(
        error(change("add_node", "node-9", &both)).await,
        "add_node failed: node 'node-9' is not listening"
    );
    assert!(started.elapsed().as_secs() < 2, "one that is not there is not waited for");
    let nowhere = first.send(change("add_node", "node-2", &[("dev.cow", "<>")])).await.unwrap();
    assert_eq!(
        nowhere["message"],
        "No subscription was made: the database or table exists on neither node"
    );
    let seen = agreed(&[first, second]).await.unwrap();
    assert!(seen.iter().all(|node| node.records.is_empty() && node.streams.is_empty()));
    assert_eq!(second.attributes("dev.cat").await.unwrap(), None);
    // What can be made of it is.
    let some = first.send(change("add_node", "node-2", &[("dev.cow", "<>"), ("dev.cat", ">")]));
    let some = some.await.unwrap();
    assert_eq!(some["added"][0]["table"], "cat");
    assert_eq!(some["skipped"][0]["table"], "cow");
    agreed(&[first, second]).await.unwrap();
    cluster.stop().await;
}
