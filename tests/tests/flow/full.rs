//! A stream that takes nothing more, or not all.

use harper_wire::names;

use super::*;

/// Two nodes, of which the second has the first ten rows of the other.
async fn ten_have_come() -> Nodes {
    let cluster = nodes(2).await;
    let [a, b] = &cluster.nodes[..] else { panic!("two nodes") };
    make(a).await;
    share(a, "node-2", true, false).await;
    insert(&a.data, 0..10, "a").await;
    arrive(&b.data, 0..10, 10).await;
    cluster
}

// covers: flow.full.stream
#[tokio::test(flavor = "multi_thread")]
async fn while_a_stream_takes_nothing_writes_succeed_and_go_out_later() {
    let cluster = ten_have_come().await;
    let [a, b] = &cluster.nodes[..] else { panic!("two nodes") };
    // As a server without room answers: that it stores no more.
    let context = a.servers.nats.jetstream(&names::domain("node-1"));
    let mut stream = context.get_stream(names::stream("dev", "dog")).await.unwrap();
    let usual = stream.info().await.unwrap().config.clone();
    let mut full = usual.clone();
    full.discard = async_nats::jetstream::stream::DiscardPolicy::New;
    full.max_messages = 15;
    context.update_stream(&full).await.unwrap();
    insert(&a.data, 10..60, "a").await;
    eventually("it is full", async || {
        let mut stream = context.get_stream(names::stream("dev", "dog")).await.unwrap();
        stream.info().await.unwrap().state.messages == 15
    })
    .await
    .unwrap();
    assert!(values(&b.data, 0..60).await.len() <= 15);
    context.update_stream(&usual).await.unwrap();
    arrive(&b.data, 0..60, 60).await;
    cluster.stop().await;
}

// covers: flow.refused
#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_will_never_take_is_passed_over_and_counted() {
    let cluster = ten_have_come().await;
    let [a, b] = &cluster.nodes[..] else { panic!("two nodes") };
    let context = a.servers.nats.jetstream(&names::domain("node-1"));
    let mut stream = context.get_stream(names::stream("dev", "dog")).await.unwrap();
    let mut narrow = stream.info().await.unwrap().config.clone();
    narrow.max_message_size = 2000;
    context.update_stream(&narrow).await.unwrap();
    let large = json!([{ "id": 1000, "text": "x".repeat(3000) }]);
    let large = large.as_array().unwrap().iter().filter_map(|row| row.as_object().cloned());
    a.data.write(&dog(), Write::Insert, large.collect(), "admin").await.unwrap();
    insert(&a.data, 10..20, "a").await;
    arrive(&b.data, 0..20, 20).await;
    assert_eq!(b.data.table(&dog()).await.unwrap().record_count, 20);
    eventually("it is counted", async || {
        let status = a.send(json!({ "operation": "replication_status" })).await.unwrap();
        let outbox = &status["outbox"];
        (&outbox["unpublished"], &outbox["waiting"]) == (&json!(1), &json!(0))
    })
    .await
    .unwrap();
    cluster.stop().await;
}
