//! What goes out, and is not taken.

use super::*;

// covers: flow.being-made
#[tokio::test]
async fn a_stream_that_is_about_to_be_made_is_no_failure() {
    let pair = Pair::new(100).await;
    pair.network.state().fault = Fault::NotMade(3);
    pair.write(0..3).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (data, figures) = (pair.a.clone(), pair.figures.clone());
    let publishes = crate::flow::tasks::publish(data, pair.publisher, figures.clone(), stopped);
    let publishes = tokio::spawn(publishes);
    let is_published = async {
        while figures.snapshot().outbox.published < 4 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), is_published).await.unwrap();
    assert_eq!(figures.snapshot().outbox.failures, 0);
    stop.send_replace(true);
    publishes.await.unwrap();
}

// covers: flow.large
#[tokio::test]
async fn a_transaction_that_is_too_large_for_a_message_goes_out_in_several() {
    let mut pair = Pair::new(100).await;
    let row = |id: u64| Row::from_iter([("id".into(), id.into())]);
    pair.a.write(&dog(), Write::Upsert, (0..100).map(row).collect(), "admin").await.unwrap();
    let all = Arc::new(Figures::default());
    let publisher = Publisher::new(pair.a.clone(), pair.network.bus("a"), "a".into(), all);
    let mut publisher = publisher.with_largest(1000);
    while publisher.step().await.unwrap() == Published::Some {}
    while pair.ingest.step().await.unwrap() == Step::Some {}
    assert_eq!(pair.count().await, 100);
    assert!(pair.applied().await.unwrap() > 5);
    let key = |id: u64| Key::try_from(json!(id)).unwrap();
    pair.a.delete(&dog(), (0..100).map(key).collect(), "admin").await.unwrap();
    while publisher.step().await.unwrap() == Published::Some {}
    while pair.ingest.step().await.unwrap() == Step::Some {}
    assert_eq!(pair.count().await, 0);
}

// covers: flow.refused
#[tokio::test]
async fn what_no_stream_takes_is_passed_over_once_it_is_known_what_came_before() {
    let mut pair = Pair::new(100).await;
    pair.write(0..3).await;
    let text = "x".repeat(5000);
    let row = Row::from_iter([("id".into(), 99.into()), ("text".into(), text.into())]);
    pair.a.write(&dog(), Write::Upsert, vec![row], "admin").await.unwrap();
    pair.write(3..6).await;
    {
        let mut state = pair.network.state();
        (state.largest, state.fault) = (Some(1000), Fault::ReceiptsLost(2));
    }
    assert!(pair.publisher.step().await.is_err());
    assert_eq!(pair.figures.snapshot().outbox.unpublished, 0, "it is tried again");
    pair.network.state().fault = Fault::None;
    pair.publish().await;
    let outbox = pair.figures.snapshot().outbox;
    assert_eq!((outbox.unpublished, outbox.waiting), (1, 0));
    while pair.ingest.step().await.unwrap() == Step::Some {}
    assert_eq!(pair.count().await, 6);
}

// covers: flow.refused.moment, flow.refused.asked
#[tokio::test]
async fn a_stream_that_is_full_holds_no_other_table_up() {
    let mut pair = Pair::new(100).await;
    let cat = TableName { database: "dev".into(), table: "cat".into() };
    pair.network.state().make("a", &cat);
    pair.a.create_table(&cat, "id", &[], "admin").await.unwrap();
    pair.publish().await;
    pair.network.state().full.insert(cat.clone());
    let cats = async |a: &Data, ids: std::ops::Range<u64>| {
        for id in ids {
            let row = Row::from_iter([("id".into(), id.into())]);
            a.write(&cat, Write::Upsert, vec![row], "admin").await.unwrap();
        }
    };
    for round in 0..5 {
        cats(&pair.a, 10 * round..10 * round + 5).await;
        pair.write(10 * round..10 * round + 5).await;
        pair.publish().await;
    }
    while pair.ingest.step().await.unwrap() == Step::Some {}
    assert_eq!(pair.count().await, 25, "the other table goes on");
    // What waits stays in the log, also for a publisher that knows nothing.
    pair.publisher.trim().await.unwrap();
    let outbox = pair.figures.snapshot().outbox;
    assert!(outbox.waiting >= 25 && outbox.unpublished == 0, "{outbox:?}");
    let last = |pair: &Pair| pair.network.state().place("a", &cat).unwrap().1;
    assert_eq!(last(&pair), 1, "it tells of the table");
    let refused = |pair: &Pair| pair.network.state().refused;
    let (before, end) = (refused(&pair), std::time::Instant::now() + Duration::from_secs(20));
    while refused(&pair) == before {
        assert!(std::time::Instant::now() < end, "it is tried again");
        pair.publisher.step().await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(refused(&pair), before + 1, "one asks whether there is room, and not all");
    pair.network.state().full.clear();
    for is_new in [false, true] {
        if is_new {
            pair.network.state().make("a", &cat);
            let (a, bus) = (pair.a.clone(), pair.network.bus("a"));
            pair.publisher = Publisher::new(a, bus, "a".into(), pair.figures.clone());
        }
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while last(&pair) < 25 {
            assert!(std::time::Instant::now() < end, "{}", last(&pair));
            pair.publisher.step().await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(last(&pair), if is_new { 25 } else { 26 }, "each once");
    }
    pair.publish().await;
    pair.publisher.trim().await.unwrap();
    assert_eq!(pair.figures.snapshot().outbox.waiting, 0);
    assert_eq!(pair.a.changes(1, 100).await.unwrap().changes, []);
}

// covers: flow.large
#[tokio::test]
async fn what_takes_much_memory_goes_out_in_several() {
    let mut pair = Pair::new(100).await;
    // Of 50 kB, which take some 4 MiB when they are decoded.
    let values = vec![serde_json::Value::from(1); 50_000];
    let row = |id: u64| {
        Row::from_iter([("id".into(), id.into()), ("values".into(), values.clone().into())])
    };
    let rows = (0..40).map(row).collect();
    pair.a.write(&dog(), Write::Upsert, rows, "admin").await.unwrap();
    pair.publish().await;
    while pair.ingest.step().await.unwrap() == Step::Some {}
    assert_eq!(pair.count().await, 40);
    // One tells of the table.
    let messages = pair.applied().await.unwrap() - 1;
    assert!((2..=8).contains(&messages), "{messages} messages");
}
