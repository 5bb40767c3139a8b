//! What happens to a stream under those who read it: it is made anew, purged, or holds what is no
//! transaction; or the reader has become younger.

use std::collections::BTreeSet;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use harper_host::data::{Key, Version};
use harper_host::transaction::{Change, Part, Transaction};
use harper_tests::nats::{NatsNode, eventually};
use harper_tests::nodes::{ClusterNode, Nodes};
use harper_tests::rows::{dead_letters, dog};
use harper_tests::shared::change;
use harper_wire::names;
use serde_json::json;

use super::{flowing, from_first_to_second};

/// The second node has rows 0 to 4 of the first, and was halted then: its servers.
async fn halted() -> (Nodes, NatsNode) {
    let mut cluster = from_first_to_second().await;
    let second = cluster.nodes.pop().unwrap();
    cluster.nodes[0].insert_each(0..5).await.unwrap();
    second.comes_to_have(0..5).await.unwrap();
    let servers = second.halt().await.unwrap();
    (cluster, servers)
}

// covers: flow.stream-anew
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_made_anew_is_read_from_its_beginning() {
    let cluster = from_first_to_second().await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    first.insert_each(0..10).await.unwrap();
    second.comes_to_have(0..10).await.unwrap();
    let before = second.figures_of("node-1").await.unwrap();

    let context = first.servers.nats.jetstream(&names::domain("node-1"));
    context.delete_stream(names::stream("dev", "dog")).await.unwrap();
    first.insert_each(10..20).await.unwrap();
    second.comes_to_have(0..20).await.unwrap();
    second.is_current("node-1").await.unwrap();
    let after = second.figures_of("node-1").await.unwrap();
    let applied = |figures: &serde_json::Value| figures["applied"].as_u64().unwrap();
    assert_eq!(applied(&after) - applied(&before), 10, "once each: {after}");
    assert_eq!(after["gap"], 0, "{after}");
    cluster.stop().await;
}

// covers: flow.acks-all
#[tokio::test(flavor = "multi_thread")]
async fn a_durable_consumer_that_wants_each_message_acknowledged_is_made_anew() {
    let (mut cluster, servers) = halted().await;
    let first = &cluster.nodes[0];

    let context = first.servers.nats.jetstream(&names::domain("node-1"));
    let stream = context.get_stream(names::stream("dev", "dog")).await.unwrap();
    let name = names::durable("node-2", "node-1");
    stream.delete_consumer(&name).await.unwrap();
    let explicit = pull::Config {
        durable_name: Some(name.clone()),
        ack_policy: AckPolicy::Explicit,
        ..pull::Config::default()
    };
    stream.create_consumer(explicit).await.unwrap();
    first.insert_each(5..10).await.unwrap();
    let second = ClusterNode::on(servers, flowing()).await.unwrap();
    second.comes_to_have(0..10).await.unwrap();
    second.is_current("node-1").await.unwrap();
    let consumer = stream.consumer_info(&name).await.unwrap();
    assert_eq!(consumer.config.ack_policy, AckPolicy::All);
    let figures = second.figures_of("node-1").await.unwrap();
    assert_eq!(figures["applied"], 5, "once each: {figures}");
    cluster.nodes.push(second);
    cluster.stop().await;
}

/// nats-server 2.9 counts from 0 to what is acknowledged with all before it: here for an hour.
// covers: flow.acks-far
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_goes_on_from_far_away_keeps_its_server_not_busy() {
    let mut cluster = from_first_to_second().await;
    let second = cluster.nodes.pop().unwrap();
    let first = &cluster.nodes[0];
    first.insert_each(0..5).await.unwrap();
    second.comes_to_have(0..5).await.unwrap();
    let context = first.servers.nats.jetstream(&names::domain("node-1"));
    let mut stream = context.get_stream(names::stream("dev", "dog")).await.unwrap();
    stream.purge().sequence(1 << 39).await.unwrap();
    let name = names::durable("node-2", "node-1");
    let mut second = second;
    for round in 1..=3 {
        // While it is read, by a durable consumer that is made there, and by that one again.
        if round > 1 {
            let servers = second.halt().await.unwrap();
            if round == 2 {
                stream.delete_consumer(&name).await.unwrap();
            }
            second = ClusterNode::on(servers, flowing()).await.unwrap();
        }
        first.insert_each(round * 5..round * 5 + 5).await.unwrap();
        second.comes_to_have(0..round * 5 + 5).await.unwrap();
        let last = stream.info().await.unwrap().state.last_sequence;
        assert!(last > 1 << 39);
        eventually("all is acknowledged", async || {
            let consumer = stream.consumer_info(&name).await;
            consumer.is_ok_and(|consumer| consumer.ack_floor.stream_sequence == last)
        })
        .await
        .unwrap();
    }
    let policy = stream.consumer_info(&name).await.unwrap().config.ack_policy;
    assert_eq!(policy, AckPolicy::Explicit);
    let figures = second.figures_of("node-1").await.unwrap();
    assert_eq!(figures["dead_lettered"], 0, "{figures}");
    cluster.nodes.push(second);
    cluster.stop().await;
}

// covers: flow.purge-unread
#[tokio::test(flavor = "multi_thread")]
async fn a_purge_of_what_was_not_read_loses_just_that_and_says_so() {
    let (mut cluster, servers) = halted().await;
    let first = &cluster.nodes[0];

    first.insert_each(5..15).await.unwrap();
    first.is_published().await.unwrap();
    let purge = json!({
        "operation": "purge_stream", "database": "dev", "table": "dog", "options": { "keep": 4 },
    });
    first.send(purge).await.unwrap();
    let second = ClusterNode::on(servers, flowing()).await.unwrap();
    second.comes_to_have((0..5).chain(11..15)).await.unwrap();
    second.is_current("node-1").await.unwrap();
    let figures = second.figures_of("node-1").await.unwrap();
    assert_eq!(figures["gap"], 6, "{figures}");
    assert_eq!(figures["applied"], 4, "{figures}");
    // It goes on.
    first.insert([15]).await.unwrap();
    second.comes_to_have((0..5).chain(11..16)).await.unwrap();
    cluster.nodes.push(second);
    cluster.stop().await;
}

// covers: flow.restored
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_older_database_gets_again_what_it_has_lost() {
    let mut cluster = from_first_to_second().await;
    let second = cluster.nodes.pop().unwrap();
    let first = &cluster.nodes[0];
    first.insert_each(0..10).await.unwrap();
    second.comes_to_have(0..10).await.unwrap();

    let servers = second.halt().await.unwrap();
    let file = servers.folder().join("database/harper.redb");
    let kept = servers.folder().join("kept.redb");
    std::fs::copy(&file, &kept).unwrap();
    let second = ClusterNode::on(servers, flowing()).await.unwrap();
    first.insert_each(10..20).await.unwrap();
    second.comes_to_have(0..20).await.unwrap();

    let servers = second.halt().await.unwrap();
    std::fs::copy(&kept, &file).unwrap();
    let second = ClusterNode::on(servers, flowing()).await.unwrap();
    second.comes_to_have(0..20).await.unwrap();
    let figures = second.figures_of("node-1").await.unwrap();
    assert_eq!((&figures["applied"], &figures["gap"]), (&json!(10), &json!(0)), "{figures}");
    first.insert([20]).await.unwrap();
    second.comes_to_have(0..21).await.unwrap();
    cluster.nodes.push(second);
    cluster.stop().await;
}

// covers: flow.dead-letters
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_applied_is_laid_aside_as_it_came_and_keeps_nothing_back() {
    let cluster = from_first_to_second().await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    let garbage = b"\xc1 no transaction".to_vec();
    // Of a table that nobody has subscribed to, and that is not to be written by others.
    let mut foreign = Transaction {
        parts: vec![Part {
            table: harper_host::TableName { database: "system".into(), table: "hdb_nodes".into() },
            change: Change::Deleted(vec![Key::try_from("node-1").unwrap()]),
        }],
        version: Version { timestamp: 1_700_000_000_000_000, node: "node-9".into() },
        user: "mallory".into(),
    };
    let stranger = foreign.encode();
    // One part of it may be applied.
    let row = json!({ "id": 100, "n": 100 });
    foreign.parts.push(Part {
        table: dog(),
        change: Change::Rows {
            rows: vec![row.as_object().unwrap().clone()],
            ids: Vec::new(),
            partial: false,
        },
    });
    let mixed = foreign.encode();

    first.insert([0]).await.unwrap();
    first.is_published().await.unwrap();
    for bytes in [&garbage, &stranger, &mixed] {
        first.publish_bytes(bytes.clone()).await.unwrap();
    }
    first.insert([1]).await.unwrap();
    second.comes_to_have([0, 1, 100]).await.unwrap();
    second.is_current("node-1").await.unwrap();
    let figures = second.figures_of("node-1").await.unwrap();
    assert_eq!(figures["dead_lettered"], 3, "{figures}");
    let letters = dead_letters(&second.data).await.unwrap();
    let payloads: Vec<_> = letters.iter().map(|letter| letter.payload.clone()).collect();
    assert_eq!(payloads, [garbage, stranger, mixed]);
    assert!(letters.iter().all(|letter| letter.source == "node-1"), "{letters:?}");
    // The record of the other node is still there.
    assert!(second.store.node("node-1").await.unwrap().is_some());
    cluster.stop().await;
}

// covers: flow.start-time
#[tokio::test(flavor = "multi_thread")]
async fn a_start_time_in_the_past_brings_what_came_after_it() {
    let cluster = Nodes::with(3, flowing()).await.unwrap();
    let [first, second, third] = &cluster.nodes[..] else { panic!("three nodes") };
    first.make_table("dev.dog", &["id", "n"]).await.unwrap();
    // Somebody has the stream kept.
    first.send(change("add_node", "node-2", &[("dev.dog", ">")])).await.unwrap();
    first.insert_each(0..5).await.unwrap();
    first.is_published().await.unwrap();
    second.comes_to_have(0..5).await.unwrap();
    // The next millisecond but one: what is published from then on is later for sure.
    let between = milliseconds() + 1;
    eventually("the clock is past it", async || milliseconds() > between).await.unwrap();
    first.insert_each(5..10).await.unwrap();
    first.is_published().await.unwrap();

    let time = iso(between);
    third
        .send(json!({
            "operation": "add_node",
            "node_name": "node-1",
            "subscriptions": [{
                "schema": "dev", "table": "dog", "publish": false, "subscribe": true,
                "start_time": time,
            }],
        }))
        .await
        .unwrap();
    third.comes_to_have(5..10).await.unwrap();
    first.insert([10]).await.unwrap();
    third.comes_to_have(5..11).await.unwrap();
    cluster.stop().await;
}

fn milliseconds() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// As requests have a time.
fn iso(milliseconds: u64) -> String {
    let date = harper_wire::Value::Date(i64::try_from(milliseconds).unwrap());
    date.into_json().as_str().unwrap().to_owned()
}

// covers: flow.too-large
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_too_large_is_refused_and_the_largest_goes_through() {
    let cluster = from_first_to_second().await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    let insert = async |ids: std::ops::Range<u64>| {
        let text = "x".repeat(1_000_000);
        let records: Vec<_> = ids.map(|id| json!({ "id": id, "text": text })).collect();
        let request = json!({
            "operation": "insert", "database": "dev", "table": "dog", "records": records,
        });
        first.send(request).await
    };
    let refused = insert(0..64).await.unwrap_err();
    assert_eq!(refused.kind, harper_host::ErrorKind::TooLarge, "{refused}");
    assert_eq!(first.ids().await.unwrap(), BTreeSet::new());
    insert(100..160).await.unwrap();
    // In several messages: one of 60 MB the file store of nats-server 2.9 would lose.
    second.comes_to_have(100..160).await.unwrap();
    let figures = second.figures_of("node-1").await.unwrap();
    assert_eq!(figures["dead_lettered"], 0, "{figures}");
    // Nor is there anybody else's.
    let context = first.servers.nats.jetstream(&names::domain("node-1"));
    let subject = names::subject("dev", "dog", "node-1");
    let sent = context.publish(subject, vec![0; 32 << 20].into()).await.unwrap();
    assert!(sent.await.is_err());
    cluster.stop().await;
}
