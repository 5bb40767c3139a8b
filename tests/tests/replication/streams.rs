//! This node's own streams.

use std::time::Duration;

use async_nats::jetstream::stream;
use harper_host::replication::StreamLimits;
use harper_host::{Replication, ReplicationError};
use harper_tests::nats::{Authority, NatsNode, eventually};
use harper_wire::names;
use serde_json::json;

use crate::{Node, PATIENCE, publishes, subscription, table};

async fn node(limits: StreamLimits) -> Node {
    let authority = Authority::new().unwrap();
    let servers = NatsNode::start(&authority, "node-1", |_| {}).await.unwrap();
    Node::on(servers, limits).await
}

// covers: replication.streams
#[tokio::test(flavor = "multi_thread")]
async fn a_table_has_a_stream_while_a_record_publishes_it() {
    let node = node(StreamLimits::default()).await;
    node.put("b", publishes(&["dev.dog", "dev.cat"])).await;
    node.put("c", publishes(&["dev.dog"])).await;
    node.settle("b").await.unwrap();
    node.settle("c").await.unwrap();
    let streams = node.streams().await;
    let subjects: Vec<_> = streams.keys().map(String::as_str).collect();
    assert_eq!(subjects, ["txn.dev.cat.node-1-leaf", "txn.dev.dog.node-1-leaf"]);
    let dog = &streams["txn.dev.dog.node-1-leaf"];
    assert_eq!(dog.name, "9d2969dfab3c9b5daa6f8d3d0b3ad347");
    assert_eq!(dog.storage, stream::StorageType::File);
    assert_eq!(dog.retention, stream::RetentionPolicy::Limits);
    assert_eq!(dog.discard, stream::DiscardPolicy::Old);
    assert_eq!((dog.max_age, dog.max_bytes, dog.max_messages), (Duration::ZERO, -1, -1));
    assert_eq!(dog.duplicate_window, Duration::from_secs(120));

    node.publish("dev.dog").await;
    node.remove("b").await;
    node.settle("b").await.unwrap();
    assert_eq!(node.subjects().await, ["txn.dev.dog.node-1-leaf"], "c has it still");
    node.put("c", json!([subscription("dev.dog", false, false, json!({}))])).await;
    node.settle("c").await.unwrap();
    assert_eq!(node.subjects().await, [""; 0]);
}

// covers: replication.streams.limits
#[tokio::test(flavor = "multi_thread")]
async fn streams_keep_what_the_configuration_says() {
    let limits = StreamLimits {
        max_age: Some(Duration::from_secs(60)),
        max_bytes: Some(1 << 20),
        max_messages: Some(1000),
    };
    let node = node(limits).await;
    node.put("b", publishes(&["dev.dog"])).await;
    node.settle("b").await.unwrap();
    let dog = node.streams().await["txn.dev.dog.node-1-leaf"].clone();
    let kept = (dog.max_age, dog.max_bytes, dog.max_messages);
    assert_eq!(kept, (Duration::from_secs(60), 1 << 20, 1000));
    assert_eq!(dog.duplicate_window, Duration::from_secs(60), "no longer than what is kept");
    node.publish("dev.dog").await;
    let created = node.created("dev.dog").await;

    // A start with another configuration changes the streams that are there.
    let node = node.again(StreamLimits { max_messages: Some(5), ..StreamLimits::default() }).await;
    eventually("the new limits", async || {
        let dog = node.streams().await["txn.dev.dog.node-1-leaf"].clone();
        (dog.max_age, dog.max_bytes, dog.max_messages) == (Duration::ZERO, -1, 5)
    })
    .await
    .unwrap();
    assert_eq!(node.created("dev.dog").await, created, "it is the same stream");
}

// covers: replication.streams.strangers
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_stream_of_a_table_is_left_alone() {
    let node = node(StreamLimits::default()).await;
    let context = node.servers.nats.jetstream("node-1-leaf");
    let stream_of_dog = names::stream("dev", "dog");
    let others = [
        ("orders", "orders.>"),
        // Not the name of its subject, another node's, and more than a table's.
        ("mine", "txn.dev.cat.node-1-leaf"),
        (&*stream_of_dog, "txn.dev.dog.node-2-leaf"),
        (&*names::stream("dev", "hen"), "txn.dev.hen.more.node-1-leaf"),
    ];
    for (name, subject) in others {
        let config = stream::Config {
            name: name.into(),
            subjects: vec![subject.into()],
            ..stream::Config::default()
        };
        context.create_stream(config).await.unwrap();
    }
    node.put("b", publishes(&["dev.cow"])).await;
    node.settle("b").await.unwrap();
    node.remove("b").await;
    node.settle("b").await.unwrap();
    let mut subjects: Vec<_> = others.iter().map(|(_, subject)| (*subject).to_owned()).collect();
    subjects.sort();
    assert_eq!(node.subjects().await, subjects);
    // One that stands in the way is said to.
    let Err(ReplicationError::Unavailable(text)) = node.ensure(&["dev.dog"]).await else {
        panic!("one is in the way")
    };
    assert!(text.starts_with("The stream of 'dev.dog' could not be made: "), "{text}");
}

// covers: replication.ensure
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_asked_for_are_there_before_a_record_is() {
    let node = node(StreamLimits::default()).await;
    let held = node.ensure(&["dev.dog", "dev.cat"]).await.unwrap();
    let both = ["txn.dev.cat.node-1-leaf", "txn.dev.dog.node-1-leaf"];
    assert_eq!(node.subjects().await, both);
    // What happens meanwhile does not take them away.
    node.put("b", publishes(&["dev.cow"])).await;
    node.settle("b").await.unwrap();
    node.remove("b").await;
    node.settle("b").await.unwrap();
    assert_eq!(node.subjects().await, both);
    drop(node.ensure(&[]).await.unwrap());
    // Nor does another who needs them no longer.
    drop(node.ensure(&["dev.dog"]).await.unwrap());
    let many = (0..50).map(|n| format!("dev.t{n}")).collect::<Vec<_>>();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    // At the same time, as operations come.
    let ensured = many.chunks(5).map(|some| node.ensure(some));
    let ensured = futures_util::future::join_all(ensured).await;
    assert!(ensured.iter().all(Result::is_ok));
    assert_eq!(node.subjects().await.len(), 52);
    // What a record names by the end stays.
    node.put("b", publishes(&["dev.dog", "dev.t7"])).await;
    drop((held, ensured));
    eventually("the rest goes", async || {
        node.subjects().await == ["txn.dev.dog.node-1-leaf", "txn.dev.t7.node-1-leaf"]
    })
    .await
    .unwrap();

    for name in ["dev.*", "dev.a b", "system.hdb_user", "de>.dog", "dev."] {
        let refused = node.replicator.ensure_streams(vec![table(name)], PATIENCE).await;
        assert!(matches!(refused, Err(ReplicationError::InvalidRequest(_))), "{refused:?}");
    }
}

// covers: replication.ensure
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_record_is_written_in_time_is_never_made_anew() {
    let node = node(StreamLimits::default()).await;
    for n in 0..50 {
        let held = node.ensure(&["dev.dog"]).await.unwrap();
        let created = node.created("dev.dog").await;
        node.put("b", publishes(&["dev.dog"])).await;
        drop(held);
        node.settle("b").await.unwrap();
        assert_eq!(node.created("dev.dog").await, created, "round {n}");
        node.remove("b").await;
        node.settle("b").await.unwrap();
        assert_eq!(node.subjects().await, [""; 0]);
    }
}

// covers: replication.records.unreadable
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_takes_nothing_away() {
    let node = node(StreamLimits::default()).await;
    node.put("b", publishes(&["dev.dog"])).await;
    node.settle("b").await.unwrap();
    node.put("b", json!("all of them")).await;
    let settled = node.replicator.settle("b".into(), Duration::from_millis(500)).await;
    let text = "The record of node 'b' cannot be used".to_owned();
    assert_eq!(settled, Err(ReplicationError::Unsettled(text)));
    node.put("c", publishes(&["dev.cat"])).await;
    node.settle("c").await.unwrap();
    assert_eq!(node.subjects().await, ["txn.dev.cat.node-1-leaf", "txn.dev.dog.node-1-leaf"]);
    node.put("b", json!([])).await;
    node.settle("b").await.unwrap();
    assert_eq!(node.subjects().await, ["txn.dev.cat.node-1-leaf"]);
}
