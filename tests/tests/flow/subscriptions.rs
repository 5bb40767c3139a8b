//! What a change of the subscriptions does to rows: those that came stay, and others come no more.

use harper_tests::nodes::Nodes;
use harper_tests::rows::{dead_letters, dog};
use harper_tests::shared::{agreed, change, remove};
use serde_json::json;

use super::{flowing, from_first_to_second};

// covers: flow.define-schema
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_made_anew_is_made_there_too() {
    let cluster = from_first_to_second().await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    let drop_table = json!({ "operation": "drop_table", "database": "dev", "table": "dog" });
    for node in [first, second] {
        node.send(drop_table.clone()).await.unwrap();
    }
    first.make_table("dev.dog", &["id", "breed"]).await.unwrap();
    first.insert(0..3).await.unwrap();
    second.comes_to_have(0..3).await.unwrap();
    let attributes = second.attributes("dev.dog").await.unwrap().unwrap();
    assert_eq!(attributes[0], "id");
    assert!(attributes.contains(&"breed".to_owned()), "{attributes:?}");
    assert!(dead_letters(&second.data).await.unwrap().is_empty());

    // It learns attributes, and does not change its key.
    first.send(drop_table).await.unwrap();
    first.make_table("dev.dog", &["name", "age"]).await.unwrap();
    first.is_published().await.unwrap();
    harper_tests::nats::eventually("the definition is laid aside", async || {
        dead_letters(&second.data).await.unwrap().len() == 1
    })
    .await
    .unwrap();
    assert_eq!(second.attributes("dev.dog").await.unwrap().unwrap(), attributes);
    assert_eq!(second.ids().await.unwrap(), (0..3).collect());
    cluster.stop().await;
}

// covers: flow.other-key
#[tokio::test(flavor = "multi_thread")]
async fn tables_with_different_keys_are_not_shared() {
    let cluster = Nodes::with(2, flowing()).await.unwrap();
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    first.make_table("dev.dog", &["id"]).await.unwrap();
    second.make_table("dev.dog", &["name"]).await.unwrap();
    first.insert(0..3).await.unwrap();
    let refused = first.send(change("add_node", "node-2", &[("dev.dog", ">")])).await.unwrap_err();
    assert!(refused.message.contains("dev.dog"), "{refused}");
    for node in [first, second] {
        assert!(node.store.nodes().await.unwrap().is_empty());
    }
    assert_eq!(second.data.table(&dog()).await.unwrap().record_count, 0);
    cluster.stop().await;
}

// covers: flow.both-off
#[tokio::test(flavor = "multi_thread")]
async fn with_both_flags_off_nothing_comes_any_more() {
    let cluster = from_first_to_second().await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    first.insert(0..5).await.unwrap();
    second.comes_to_have(0..5).await.unwrap();
    first.send(change("update_node", "node-2", &[("dev.dog", "")])).await.unwrap();
    agreed(&[first, second]).await.unwrap();
    first.insert(5..10).await.unwrap();
    first.is_published().await.unwrap();
    assert_eq!(second.ids().await.unwrap(), (0..5).collect());
    second.figures_of("node-1").await.unwrap_err();

    // From now on, and no earlier.
    first.send(change("update_node", "node-2", &[("dev.dog", ">")])).await.unwrap();
    first.insert(10..15).await.unwrap();
    second.comes_to_have((0..5).chain(10..15)).await.unwrap();
    cluster.stop().await;
}

// covers: flow.removed
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_removed_gets_nothing_any_more() {
    let cluster = from_first_to_second().await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    first.insert(0..5).await.unwrap();
    second.comes_to_have(0..5).await.unwrap();
    first.send(remove("node-2")).await.unwrap();
    let seen = agreed(&[first, second]).await.unwrap();
    assert!(seen.iter().all(|node| node.streams.is_empty()), "{seen:?}");
    first.insert(5..10).await.unwrap();
    first.is_published().await.unwrap();
    assert_eq!(second.ids().await.unwrap(), (0..5).collect());

    // With the rows that were there in its way: it has them, whoever wrote them.
    first.send(change("add_node", "node-2", &[("dev.dog", "<>")])).await.unwrap();
    first.insert(10..15).await.unwrap();
    second.comes_to_have((0..5).chain(10..15)).await.unwrap();
    second.insert(20..25).await.unwrap();
    first.comes_to_have((0..15).chain(20..25)).await.unwrap();
    cluster.stop().await;
}

// covers: flow.removed-on-one-side
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_gone_on_one_side_alone_stops_that_side() {
    let cluster = from_first_to_second().await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    first.send(change("update_node", "node-2", &[("dev.dog", "<>")])).await.unwrap();
    first.insert(0..5).await.unwrap();
    second.comes_to_have(0..5).await.unwrap();
    second.insert(5..10).await.unwrap();
    first.comes_to_have(0..10).await.unwrap();

    // As an older database that was restored has it.
    let record = second.store.node("node-1").await.unwrap().unwrap();
    second.store.remove_node("node-1", record.revision).await.unwrap().unwrap();
    harper_tests::nats::eventually("nothing is read any more", async || {
        second.figures_of("node-1").await.is_err()
    })
    .await
    .unwrap();
    first.insert(10..15).await.unwrap();
    first.is_published().await.unwrap();
    assert_eq!(second.ids().await.unwrap(), (0..10).collect());
    // Said again, it is as it was, and what was not read before is: the first has kept its place.
    first.send(change("set_node_replication", "node-2", &[("dev.dog", "<>")])).await.unwrap();
    first.insert(15..20).await.unwrap();
    harper_tests::nats::eventually("it comes again", async || {
        second.ids().await.unwrap().contains(&19)
    })
    .await
    .unwrap();
    second.insert(20..25).await.unwrap();
    first.comes_to_have(0..25).await.unwrap();
    cluster.stop().await;
}
