//! What was laid aside, and is applied once more.

use super::*;

fn letters(pair: &Pair, store: Store) -> DeadLetters {
    DeadLetters::new(store, pair.b.clone(), "b", false)
}

/// Node `b` has a record that names these tables of `a`.
async fn subscribed(tables: &[&str]) -> Store {
    let store = Store::in_memory();
    let one = |table: &&str| json!({ "schema": "dev", "table": table, "subscribe": true });
    let subscriptions: Vec<_> = tables.iter().map(one).collect();
    let record = json!({ "name": "a", "subscriptions": subscriptions });
    store.put_node("a", record, None).await.unwrap().unwrap();
    store
}

// covers: flow.dead-letters.again
#[tokio::test]
async fn what_was_laid_aside_is_judged_and_merged_once_more() {
    let mut pair = Pair::new(100).await;
    let cat = TableName { database: "dev".into(), table: "cat".into() };
    // The first is of another table in part; the second is nothing at all.
    pair.send(pair.transaction(5, &["dog", "cat"]).encode(), from("c", &["c"])).await;
    pair.send(b"\xc1 no message".to_vec(), from("c", &["c"])).await;
    pair.send(pair.transaction(6, &["cat"]).encode(), from("c", &["c"])).await;
    while pair.ingest.step().await.unwrap() == Step::Some {}
    let reasons = async |pair: &Pair| {
        let letters = pair.b.dead_letters(0, 10).await.unwrap();
        letters.into_iter().map(|(_, letter)| letter.reason).collect::<Vec<_>>()
    };
    let not_subscribed = "this node has not subscribed to 'dev.cat'";
    let before = reasons(&pair).await;
    assert_eq!((&*before[0], before.len()), (not_subscribed, 3));

    // Neither subscribed to nor there: all stay as they are.
    let outcome = letters(&pair, subscribed(&["dog"]).await).apply(Which::default()).await.unwrap();
    assert_eq!((outcome.messages, outcome.rows, outcome.left), (0, 0, 3));
    assert_eq!(reasons(&pair).await, before);
    // Subscribed to, and not there: they say so now.
    let both = subscribed(&["dog", "cat"]).await;
    let outcome = letters(&pair, both.clone()).apply(Which::default()).await.unwrap();
    assert_eq!((outcome.messages, outcome.left), (0, 3));
    let now = reasons(&pair).await;
    assert_eq!((&*now[0], &now[1]), ("Table 'dev.cat' does not exist", &before[1]));
    assert_eq!(outcome.stay[0].reason, now[0]);
    // There too: what can be applied is, once.
    pair.b.create_table(&cat, "id", &[], "admin").await.unwrap();
    let outcome = letters(&pair, both.clone()).apply(Which::default()).await.unwrap();
    assert_eq!((outcome.messages, outcome.rows, outcome.left), (2, 2, 1));
    assert_eq!(pair.b.table(&cat).await.unwrap().record_count, 2);
    assert_eq!(pair.count().await, 1);
    assert_eq!(reasons(&pair).await, before[1..2]);
    let none = Which { source: Some("z".into()), ..Which::default() };
    assert_eq!(letters(&pair, both).apply(none).await.unwrap(), Applied::default());
}

// covers: flow.dead-letters.deleted
#[tokio::test]
async fn what_is_applied_once_more_brings_no_deleted_row_back() {
    let mut pair = Pair::new(100).await;
    let cat = TableName { database: "dev".into(), table: "cat".into() };
    for n in 0..2 {
        pair.send(pair.transaction(n, &["cat"]).encode(), from("c", &["c"])).await;
    }
    while pair.ingest.step().await.unwrap() == Step::Some {}
    pair.b.create_table(&cat, "id", &[], "admin").await.unwrap();
    let cats = subscribed(&["cat"]).await;
    let count = async |pair: &Pair| pair.b.table(&cat).await.unwrap().record_count;
    // One is deleted later than it was written.
    let row = Row::from_iter([("id".into(), 0.into())]);
    pair.time.fetch_add(1_000_000, Relaxed);
    pair.b.write(&cat, Write::Insert, vec![row], "admin").await.unwrap();
    pair.b.delete(&cat, vec![Key::try_from(json!(0)).unwrap()], "admin").await.unwrap();
    // Nobody remembers that any more: it cannot be told which rows may come.
    let life = u64::try_from(pair.b.tombstone_life().as_micros()).unwrap();
    let now = pair.time.fetch_add(life, Relaxed);
    let outcome = letters(&pair, cats.clone()).apply(Which::default()).await.unwrap();
    assert_eq!((outcome.messages, outcome.left, count(&pair).await), (0, 2, 0));
    assert!(outcome.stay[0].reason.contains("older than deletions are remembered"));
    pair.time.store(now, Relaxed);
    let outcome = letters(&pair, cats).apply(Which::default()).await.unwrap();
    assert_eq!((outcome.messages, outcome.rows, count(&pair).await), (2, 1, 1));
}

// covers: flow.restored-store
#[tokio::test]
async fn a_store_of_before_is_brought_up_to_date() {
    let mut pair = Pair::new(100).await;
    pair.write(0..10).await;
    pair.publish().await;
    while pair.ingest.step().await.unwrap() == Step::Some {}
    // Another store, which knows nothing of what was acknowledged.
    let time = pair.time.clone();
    let clock = WallClock::new(move || time.load(Relaxed));
    let config = DataConfig { node_name: Some("b".into()), clock, ..DataConfig::default() };
    pair.b = Data::open(Store::in_memory(), config).await.unwrap();
    pair.restart();
    while pair.ingest.step().await.unwrap() == Step::Some {}
    assert_eq!(pair.count().await, 10);
}
