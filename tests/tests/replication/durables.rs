//! Durable consumers on another node's streams.

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use harper_host::replication::StreamLimits;
use serde_json::json;

use crate::{durables, durables_become, nodes, publishes, subscribes, subscription};

const NAME: &str = "node-1-leaf_node-2";

// covers: replication.durables, replication.durables.start
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_has_a_durable_that_begins_where_the_record_says() {
    let cluster = nodes(2).await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    let tables = ["dev.now", "dev.anew", "dev.all", "dev.time", "dev.bare"];
    second.put("node-1", publishes(&tables)).await;
    second.settle("node-1").await.unwrap();
    for _ in 0..3 {
        second.publish("dev.now").await;
    }
    let created = second.created("dev.now").await;
    let from = |from| json!({ "from": from });
    let time = "2026-03-04T05:06:07.008Z";
    let subscriptions = json!([
        subscription("dev.now", false, true, from(json!({ "created": created, "sequence": 3 }))),
        // The stream that it was about is not that one.
        subscription("dev.anew", false, true, from(json!({ "created": created, "sequence": 3 }))),
        subscription("dev.all", true, true, from(json!({ "sequence": 0 }))),
        subscription("dev.time", false, true, json!({ "start_time": time })),
        subscription("dev.bare", false, true, json!({})),
        subscription("dev.none", true, false, json!({})),
    ]);
    first.put("node-2", subscriptions.clone()).await;
    first.settle("node-2").await.unwrap();
    let nats = &first.servers.nats;
    for (table, begins) in [
        ("dev.now", DeliverPolicy::ByStartSequence { start_sequence: 4 }),
        ("dev.anew", DeliverPolicy::All),
        ("dev.all", DeliverPolicy::All),
        ("dev.bare", DeliverPolicy::New),
    ] {
        let found = durables(nats, "node-2", table).await;
        assert_eq!(found.keys().collect::<Vec<_>>(), [NAME], "{table}");
        let durable = &found[NAME];
        assert_eq!(durable.durable_name.as_deref(), Some(NAME));
        assert_eq!((durable.deliver_policy, durable.ack_policy), (begins, AckPolicy::All));
        assert_eq!(durable.deliver_subject, None, "it is pulled from");
    }
    let found = durables(nats, "node-2", "dev.time").await;
    let DeliverPolicy::ByStartTime { start_time } = found[NAME].deliver_policy else {
        panic!("{:?}", found[NAME])
    };
    assert_eq!(start_time.unix_timestamp_nanos(), 1_772_600_767_008_000_000);
    let own = ["txn.dev.all.node-1-leaf", "txn.dev.none.node-1-leaf"];
    assert_eq!(first.subjects().await, own);

    // What is the same stays as it is, with what it has delivered; what is not begins anew.
    let context = nats.jetstream("node-2-leaf");
    let stream = context.get_stream(harper_wire::names::stream("dev", "now")).await.unwrap();
    let made = stream.consumer_info(NAME).await.unwrap().created;
    let mut changed = subscriptions;
    changed[1] = subscription("dev.anew", false, true, json!({ "start_time": time }));
    changed[2] = subscription("dev.all", true, false, json!({}));
    changed.as_array_mut().unwrap().remove(4);
    first.put("node-2", changed).await;
    first.settle("node-2").await.unwrap();
    assert_eq!(stream.consumer_info(NAME).await.unwrap().created, made);
    let anew = durables(nats, "node-2", "dev.anew").await[NAME].deliver_policy;
    assert!(matches!(anew, DeliverPolicy::ByStartTime { .. }), "{anew:?}");
    for table in ["dev.all", "dev.bare"] {
        assert!(durables(nats, "node-2", table).await.is_empty(), "{table}");
    }
    first.remove("node-2").await;
    first.settle("node-2").await.unwrap();
    for table in tables {
        assert!(durables(nats, "node-2", table).await.is_empty(), "{table}");
    }
    assert_eq!(first.subjects().await, [""; 0]);
}

// covers: replication.durables.remembered
#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_before_a_start_is_cleared_after_it() {
    let mut cluster = nodes(2).await;
    let (second, first) = (cluster.nodes.pop().unwrap(), cluster.nodes.pop().unwrap());
    let tables = ["dev.dog", "dev.cat", "dev.cow"];
    second.put("node-1", publishes(&tables)).await;
    second.settle("node-1").await.unwrap();
    first.put("node-2", subscribes(&tables)).await;
    first.settle("node-2").await.unwrap();
    // Somebody else's durable is none of ours.
    let context = second.servers.nats.jetstream("node-2-leaf");
    let stream = context.get_stream(harper_wire::names::stream("dev", "dog")).await.unwrap();
    let config = async_nats::jetstream::consumer::pull::Config {
        durable_name: Some("node-3-leaf".into()),
        ..Default::default()
    };
    stream.create_consumer(config).await.unwrap();

    // The record changes while nobody looks.
    let store = first.store.clone();
    drop(first.reconciler);
    let now = store.node("node-2").await.unwrap().unwrap().revision;
    store.remove_node("node-2", now).await.unwrap().unwrap();
    drop(store);
    let first = crate::Node {
        reconciler: harper_host::replication::Reconciler::start(
            first.store.clone(),
            first.servers.nats.clone(),
            StreamLimits::default(),
        )
        .await
        .unwrap()
        .0,
        ..first
    };
    let nats = &first.servers.nats;
    durables_become(nats, "node-2", "dev.dog", &["node-3-leaf"]).await;
    durables_become(nats, "node-2", "dev.cat", &[]).await;
    durables_become(nats, "node-2", "dev.cow", &[]).await;
}
