//! What has come, and cannot be applied at once.

use super::*;

// covers: flow.batch
#[tokio::test]
async fn no_more_messages_are_applied_together_than_there_may() {
    let mut pair = Pair::new(3).await;
    pair.write(0..10).await;
    pair.publish().await;
    // The first message tells of the table.
    for (applied, count) in [(3, 2), (6, 5), (9, 8), (11, 10)] {
        assert_eq!(pair.ingest.step().await, Ok(Step::Some));
        assert_eq!((pair.applied().await, pair.count().await), (Some(applied), count));
    }
    assert_eq!(pair.ingest.step().await, Ok(Step::Nothing));
}

// covers: flow.future
#[tokio::test]
async fn a_message_from_the_future_waits_for_the_clock() {
    let mut pair = Pair::new(100).await;
    let first = pair.transaction(59_000_000, &["dog"]);
    let second = pair.transaction(90_000_000, &["dog"]);
    let third = pair.transaction(1, &["dog"]);
    for transaction in [first, second, third] {
        pair.send(transaction.encode(), from("c", &["c", "a"])).await;
    }
    assert_eq!(pair.ingest.step().await, Ok(Step::Some));
    assert_eq!((pair.applied().await, pair.count().await), (Some(1), 1));
    let Ok(Step::Held(wait)) = pair.ingest.step().await else { panic!("it is held") };
    assert!(wait > Duration::from_secs(29) && wait <= Duration::from_secs(30), "{wait:?}");
    assert_eq!(pair.figures().state, State::Held);
    pair.time.fetch_add(30_000_000, Relaxed);
    assert_eq!(pair.ingest.step().await, Ok(Step::Some));
    assert_eq!((pair.applied().await, pair.count().await), (Some(3), 3));
    assert_eq!(pair.figures().state, State::Current);
    assert_eq!(pair.b.dead_letters(0, 10).await.unwrap(), []);
}

// covers: flow.future
#[tokio::test]
async fn what_there_is_nothing_to_do_about_does_not_wait_for_the_clock() {
    let mut pair = Pair::new(100).await;
    let not_ours = pair.transaction(90_000_000, &["cat"]);
    let mut own = pair.transaction(90_000_000, &["dog"]);
    own.version.node = "b".into();
    let mut empty = pair.transaction(90_000_000, &["dog", "dog"]);
    let nothing = Change::Rows { rows: Vec::new(), ids: Vec::new(), partial: false };
    empty.parts[0].change = nothing;
    empty.parts[1].change = Change::Deleted(Vec::new());
    for transaction in [not_ours, own, empty, pair.transaction(1, &["dog"])] {
        pair.send(transaction.encode(), from("c", &["c"])).await;
    }
    assert_eq!(pair.ingest.step().await, Ok(Step::Some));
    assert_eq!((pair.applied().await, pair.count().await), (Some(4), 1));
    assert_eq!(pair.b.dead_letters(0, 10).await.unwrap().len(), 1);
}

// covers: flow.future.purged
#[tokio::test]
async fn a_message_that_is_held_holds_nothing_once_it_is_purged() {
    let mut pair = Pair::new(100).await;
    let far = pair.transaction(90_000_000_000, &["dog"]);
    pair.send(far.encode(), from("c", &["c"])).await;
    assert!(matches!(pair.ingest.step().await, Ok(Step::Held(_))));
    assert!(pair.network.state().purge("a", &dog(), 0));
    let next = pair.transaction(1, &["dog"]);
    pair.send(next.encode(), from("c", &["c"])).await;
    assert!(matches!(pair.ingest.step().await, Ok(Step::Held(_))), "nobody looks yet");
    pair.time.fetch_add(10_000_000, Relaxed);
    let asked = pair.network.state().asked;
    assert_eq!(pair.ingest.step().await, Ok(Step::Some));
    assert_eq!((pair.applied().await, pair.count().await), (Some(2), 1));
    assert_eq!((pair.figures().gap, pair.figures().state), (1, State::Current));
    // One that is still there is asked for now and then, and no more.
    let far = pair.transaction(90_000_000_000, &["dog"]);
    pair.send(far.encode(), from("c", &["c"])).await;
    assert!(matches!(pair.ingest.step().await, Ok(Step::Held(_))));
    let before = pair.network.state().asked;
    assert!(before > asked);
    for _ in 0..20 {
        pair.time.fetch_add(1_000_000, Relaxed);
        assert!(matches!(pair.ingest.step().await, Ok(Step::Held(_))));
    }
    assert_eq!(pair.network.state().asked, before + 2);
}

/// Of 1 MB, which takes some 80 MiB when it is decoded, and is laid aside then.
fn swollen(pair: &Pair) -> Vec<u8> {
    let mut transaction = pair.transaction(1, &["dog"]);
    let values: Vec<_> = (0..1_000_000).map(|_| serde_json::Value::Null).collect();
    let row = Row::from_iter([("id".into(), 1.into()), ("values".into(), values.into())]);
    let change = Change::Rows { rows: vec![row], ids: Vec::new(), partial: false };
    transaction.parts[0].change = change;
    transaction.encode()
}

// covers: flow.memory
#[tokio::test]
async fn what_takes_much_memory_is_applied_by_itself() {
    let mut pair = Pair::new(100).await;
    for _ in 0..2 {
        pair.send(swollen(&pair), from("c", &["c"])).await;
    }
    let small = pair.transaction(1, &["dog"]).encode();
    pair.send(small, from("c", &["c"])).await;
    for applied in [1, 2, 3] {
        assert_eq!(pair.ingest.step().await, Ok(Step::Some));
        assert_eq!(pair.applied().await, Some(applied));
    }
    assert_eq!(pair.count().await, 1);
    // All of it is given back.
    let memory = pair.memory.clone();
    assert!(tokio::time::timeout(Duration::from_secs(10), memory.take(usize::MAX)).await.is_ok());
}

// covers: flow.memory.shared
#[tokio::test]
async fn what_needs_memory_that_another_table_has_waits_for_it() {
    let mut pair = Pair::new(100).await;
    let small = pair.transaction(1, &["dog"]).encode();
    pair.send(small.clone(), from("c", &["c"])).await;
    pair.send(swollen(&pair), from("c", &["c"])).await;
    pair.send(small, from("c", &["c"])).await;
    let memory = pair.memory.clone();
    let other = memory.take(100 << 20).await;
    assert_eq!(pair.ingest.step().await, Ok(Step::Some));
    assert_eq!(pair.applied().await, Some(1), "what needs little is applied");
    let next = tokio::spawn(async move {
        let step = pair.ingest.step().await;
        (pair, step)
    });
    // It waits for all of it: what is left is less each time, until nobody gets anything.
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while memory.try_take(1).is_some() {
        assert!(std::time::Instant::now() < end);
        tokio::task::yield_now().await;
    }
    assert!(!next.is_finished());
    drop(other);
    let (mut pair, step) = next.await.unwrap();
    assert_eq!((step, pair.applied().await), (Ok(Step::Some), Some(2)));
    assert_eq!(pair.ingest.step().await, Ok(Step::Some));
    assert_eq!(pair.applied().await, Some(3));
}

// covers: flow.unknown-table
#[tokio::test]
async fn a_message_of_a_table_that_is_not_here_waits_for_it_for_a_while() {
    let mut pair = Pair::without_table(100).await;
    let message = pair.transaction(5, &["dog"]).encode();
    pair.send(message, from("c", &["c"])).await;
    assert!(matches!(pair.ingest.step().await, Ok(Step::Held(_))));
    pair.time.fetch_add(9_000_000, Relaxed);
    assert!(matches!(pair.ingest.step().await, Ok(Step::Held(_))));
    pair.b.create_table(&dog(), "id", &[], "admin").await.unwrap();
    assert_eq!(pair.ingest.step().await, Ok(Step::Some));
    assert_eq!(pair.count().await, 1);
    pair.b.drop_table(&dog()).await.unwrap();
    for n in 1..3 {
        let message = pair.transaction(n, &["dog"]).encode();
        pair.send(message, from("c", &["c"])).await;
    }
    assert!(matches!(pair.ingest.step().await, Ok(Step::Held(_))));
    pair.time.fetch_add(10_000_001, Relaxed);
    assert_eq!(pair.ingest.step().await, Ok(Step::Some));
    assert_eq!(pair.b.dead_letters(0, 10).await.unwrap().len(), 2);
    assert_eq!(pair.applied().await, Some(3));
}

// covers: flow.unknown-table
#[tokio::test]
async fn a_table_is_made_by_the_message_that_tells_of_it() {
    let mut pair = Pair::without_table(100).await;
    pair.write(0..3).await;
    pair.publish().await;
    assert_eq!(pair.ingest.step().await, Ok(Step::Some));
    assert_eq!(pair.count().await, 3);
}

// covers: flow.filter
#[tokio::test]
async fn what_was_not_subscribed_to_is_laid_aside_and_what_is_known_is_dropped() {
    let mut pair = Pair::new(100).await;
    let cat = TableName { database: "dev".into(), table: "cat".into() };
    pair.b.create_table(&cat, "id", &[], "admin").await.unwrap();
    let both = pair.transaction(1, &["dog", "cat"]).encode();
    pair.send(both.clone(), from("c", &["c"])).await;
    pair.send(b"\xc1 no message".to_vec(), from("c", &["c"])).await;
    for passed in [from("b", &["c"]), from("c", &["c", "b"])] {
        let known = pair.transaction(7, &["dog"]).encode();
        pair.send(known, passed).await;
    }
    let mut ours = pair.transaction(8, &["dog"]);
    ours.version.node = "b".into();
    pair.send(ours.encode(), from("c", &["c"])).await;
    assert_eq!(pair.ingest.step().await, Ok(Step::Some));
    assert_eq!((pair.count().await, pair.applied().await), (1, Some(5)));
    assert_eq!(pair.b.table(&cat).await.unwrap().record_count, 0);
    let letters = pair.b.dead_letters(0, 10).await.unwrap();
    let [(_, first), (_, second)] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!(first.reason, "this node has not subscribed to 'dev.cat'");
    assert_eq!((&first.payload, first.sequence), (&both, 1));
    assert_eq!((&*second.payload, second.sequence), (&b"\xc1 no message"[..], 2));
}

// covers: flow.full.store
#[tokio::test]
async fn what_comes_while_the_disk_is_full_is_applied_once_there_is_room() {
    let mut pair = Pair::new(10).await;
    pair.write(0..5).await;
    pair.publish().await;
    pair.ingest.step().await.unwrap();
    let size = std::fs::metadata(pair._folder.path().join("database/harper.redb")).unwrap().len();
    pair.store.set_room(Some(size));
    for id in 5..200_u64 {
        let text = "x".repeat(20_000);
        let row = Row::from_iter([("id".into(), id.into()), ("text".into(), text.into())]);
        pair.a.write(&dog(), Write::Upsert, vec![row], "admin").await.unwrap();
    }
    pair.publish().await;
    let failed = loop {
        match pair.ingest.step().await {
            Ok(Step::Some) => {}
            other => break other,
        }
    };
    assert_eq!(failed, Err(IngestError::Data(crate::data::Error::Full)));
    let (before, count) = (pair.applied().await.unwrap(), pair.count().await);
    assert_eq!(before, count + 1, "neither is there without the other");
    assert!(count < 200);
    assert!(pair.ingest.step().await.is_err(), "it is still full");
    pair.store.set_room(None);
    pair.store.end_rest();
    while pair.ingest.step().await.unwrap() == Step::Some {}
    assert_eq!((pair.count().await, pair.applied().await), (200, Some(201)));
    assert_eq!(pair.figures().applied, 200, "each once");
}
