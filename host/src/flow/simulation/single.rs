//! One thing that goes wrong, and what becomes of it exactly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::json;

use super::bus::{Fault, Network, SimulatedBus};
use crate::capabilities::TableName;
use crate::data::{Data, DataConfig, Key, Row, WallClock, Which, Write};
use crate::figures::{Figures, State, SubscriptionFigures};
use crate::flow::bus::{Bus, BusError, Outbound};
use crate::flow::dead_letters::{Applied, DeadLetters};
use crate::flow::ingest::{How, Ingest, IngestError, Step, Subscription};
use crate::flow::memory::Memory;
use crate::flow::publish::{Published, Publisher};
use crate::nats::FAR;
use crate::store::{Start, Store};
use crate::transaction::{Change, Part, Passed, Transaction};

const BEGIN: u64 = 1_800_000_000_000_000;

/// Node `b`, which has subscribed to a table of `a`.
struct Pair {
    network: Network,
    time: Arc<AtomicU64>,
    store: Store,
    _folder: tempfile::TempDir,
    a: Data,
    b: Data,
    figures: Arc<Figures>,
    memory: Memory,
    ingest: Ingest<SimulatedBus>,
    publisher: Publisher<SimulatedBus>,
}

fn dog() -> TableName {
    TableName { database: "dev".into(), table: "dog".into() }
}

fn how(most: usize, memory: Memory) -> How {
    How { node: "b".into(), most, republish: false, memory }
}

fn subscription() -> Subscription {
    Subscription {
        source: "a".into(),
        table: dog(),
        start: Start::After { created: None, sequence: 0 },
        tables: Arc::new([dog()].into()),
    }
}

impl Pair {
    async fn new(most: usize) -> Pair {
        let pair = Pair::without_table(most).await;
        pair.b.create_table(&dog(), "id", &[], "admin").await.unwrap();
        pair
    }

    async fn without_table(most: usize) -> Pair {
        let network = Network::default();
        network.state().make("a", &dog());
        let time = Arc::new(AtomicU64::new(BEGIN));
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let open = async |name: &str, store: Store| {
            let time = time.clone();
            let clock = WallClock::new(move || time.load(Relaxed));
            let node_name = Some(name.to_owned());
            let config = DataConfig { node_name, clock, ..DataConfig::default() };
            Data::open(store, config).await.unwrap()
        };
        let (a, b) = (open("a", Store::in_memory()).await, open("b", store.clone()).await);
        a.create_table(&dog(), "id", &[], "admin").await.unwrap();
        let figures = Arc::new(Figures::default());
        let of = figures.subscription("a", &dog());
        let memory = Memory::default();
        let how = how(most, memory.clone());
        let ingest = Ingest::new(b.clone(), network.bus("b"), how, subscription(), of);
        let publisher = Publisher::new(a.clone(), network.bus("a"), "a".into(), figures.clone());
        let _folder = folder;
        Pair { network, time, store, _folder, a, b, figures, memory, ingest, publisher }
    }

    /// Forgets what the one that applies knew.
    fn restart(&mut self) {
        let (b, bus) = (self.b.clone(), self.network.bus("b"));
        let of = self.figures.subscription("a", &dog());
        let how = how(100, self.memory.clone());
        self.ingest = Ingest::new(b, bus, how, subscription(), of);
    }

    fn figures(&self) -> SubscriptionFigures {
        self.figures.snapshot().subscriptions.remove(0)
    }

    async fn write(&self, ids: std::ops::Range<u64>) {
        for id in ids {
            let row = Row::from_iter([("id".into(), id.into())]);
            self.a.write(&dog(), Write::Upsert, vec![row], "admin").await.unwrap();
        }
    }

    async fn publish(&mut self) {
        while self.publisher.step().await.unwrap() == Published::Some {}
    }

    async fn count(&self) -> u64 {
        self.b.table(&dog()).await.unwrap().record_count
    }

    async fn applied(&self) -> Option<u64> {
        let stream = harper_wire::names::stream("dev", "dog");
        Some(self.b.applied("a", &stream).await.unwrap()?.sequence)
    }

    /// Sends what node `c` has done, over node `a`, or whatever else.
    async fn send(&self, payload: Vec<u8>, passed: Passed) {
        let id = format!("{}", self.time.fetch_add(1, Relaxed));
        let message = Outbound { id, passed, payload };
        self.network.bus("a").publish(&dog(), message).await.unwrap().await.unwrap();
    }

    fn transaction(&self, ahead: u64, tables: &[&str]) -> Transaction {
        let part = |table: &&str| {
            let row = Row::from_iter([("id".into(), ahead.into())]);
            Part {
                table: TableName { database: "dev".into(), table: (*table).into() },
                change: Change::Rows { rows: vec![row], ids: Vec::new(), partial: false },
            }
        };
        let timestamp = self.time.load(Relaxed) + ahead;
        let version = crate::data::Version { timestamp, node: "c".into() };
        Transaction { parts: tables.iter().map(part).collect(), version, user: "eve".into() }
    }
}

fn from(origin: &str, transacted: &[&str]) -> Passed {
    let transacted = transacted.iter().map(|name| (*name).to_owned()).collect();
    Passed { origin: origin.into(), transacted }
}

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

// covers: flow.gap
#[tokio::test]
async fn messages_that_were_purged_unread_are_counted_as_a_gap() {
    let mut pair = Pair::new(100).await;
    pair.write(0..10).await;
    pair.publish().await;
    pair.ingest.step().await.unwrap();
    pair.write(10..30).await;
    pair.publish().await;
    assert!(pair.network.state().purge("a", &dog(), 5));
    // It is found whether the stream was being read or is looked at anew.
    let mut steps = 0;
    while pair.ingest.step().await != Ok(Step::Nothing) {
        steps += 1;
        assert!(steps < 10);
    }
    assert_eq!((pair.count().await, pair.figures().gap), (15, 15));
    pair.write(30..40).await;
    pair.publish().await;
    assert!(pair.network.state().purge("a", &dog(), 0));
    pair.restart();
    assert_eq!(pair.ingest.step().await, Ok(Step::Nothing));
    assert_eq!((pair.count().await, pair.figures().gap), (15, 25));
    assert_eq!(pair.applied().await, Some(41));
    pair.restart();
    assert_eq!(pair.ingest.step().await, Ok(Step::Nothing));
    assert_eq!(pair.figures().gap, 25, "it is counted once");
}

// covers: flow.acks-each
#[tokio::test]
async fn what_is_far_away_is_acknowledged_one_by_one() {
    let mut pair = Pair::new(100).await;
    let floor = |pair: &Pair| pair.network.state().floor("a", &dog(), "b");
    pair.write(0..5).await;
    pair.publish().await;
    let last = pair.network.state().place("a", &dog()).unwrap().1;
    assert_eq!(pair.ingest.step().await, Ok(Step::Some));
    assert_eq!(floor(&pair), Some((last, false)));
    pair.network.state().skip_to("a", &dog(), FAR * 3);
    pair.write(5..10).await;
    pair.publish().await;
    assert_eq!(pair.ingest.step().await, Ok(Step::Some));
    assert_eq!((pair.count().await, floor(&pair)), (10, Some((FAR * 3 + 4, false))));
    // Where the durable consumer has to be made anew.
    pair.network.bus("b").remove("a", &dog()).await.unwrap();
    pair.restart();
    pair.write(10..12).await;
    pair.publish().await;
    assert_eq!(pair.ingest.step().await, Ok(Step::Some));
    assert_eq!((pair.count().await, floor(&pair)), (12, Some((FAR * 3 + 6, true))));
    assert_eq!(pair.figures().gap, FAR * 3 - last - 1);
}

// covers: flow.sequences
#[tokio::test]
async fn a_sequence_that_no_stream_has_is_refused() {
    let mut pair = Pair::new(100).await;
    pair.write(0..5).await;
    pair.publish().await;
    assert_eq!(pair.ingest.step().await, Ok(Step::Some));
    let before = pair.applied().await;
    pair.network.state().skip_to("a", &dog(), u64::MAX - 5);
    pair.write(5..8).await;
    pair.publish().await;
    for _ in 0..3 {
        let refused = pair.ingest.step().await;
        assert!(matches!(refused, Err(IngestError::Bus(BusError::Refused(_)))), "{refused:?}");
    }
    assert_eq!((pair.applied().await, pair.figures().gap), (before, 0));
}

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

// covers: figures.gap.kept
#[tokio::test]
async fn a_gap_is_known_after_a_restart_though_the_node_is_away() {
    let mut pair = Pair::new(100).await;
    pair.write(0..10).await;
    pair.publish().await;
    assert!(pair.network.state().purge("a", &dog(), 5));
    while pair.ingest.step().await.unwrap() == Step::Some {}
    assert_eq!(pair.figures().gap, 6);
    // What was counted in memory is gone, and so is the other node.
    pair.figures = Arc::default();
    let (bus, of) = (Network::default().bus("b"), pair.figures.subscription("a", &dog()));
    let mut away =
        Ingest::new(pair.b.clone(), bus, how(100, pair.memory.clone()), subscription(), of.clone());
    assert!(away.step().await.is_err());
    assert_eq!((pair.figures().state, pair.figures().gap), (State::Away, 6));
    // Another subscription begins anew, and counts what is lost to it.
    let start = Start::After { created: None, sequence: 1 };
    let other = Subscription { start, ..subscription() };
    let mut other = Ingest::new(
        pair.b.clone(),
        pair.network.bus("b"),
        how(100, pair.memory.clone()),
        other,
        of,
    );
    while other.step().await.unwrap() == Step::Some {}
    assert_eq!(pair.figures().gap, 6, "not twelve");
}

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

// covers: flow.lost-end
#[tokio::test]
async fn a_stream_that_loses_its_end_or_is_made_anew_is_noticed_while_nothing_comes() {
    let mut pair = Pair::new(100).await;
    pair.write(0..10).await;
    pair.publish().await;
    while pair.ingest.step().await != Ok(Step::Nothing) {}
    assert_eq!(pair.applied().await, Some(11));
    for id in [20, 21] {
        if id == 20 {
            assert!(pair.network.state().lose_end("a", &dog(), 5));
        } else {
            pair.network.state().make("a", &dog());
        }
        // So few that the sequence does not pass where it was.
        pair.write(id..id + 1).await;
        pair.publish().await;
        pair.time.fetch_add(80_000_000, Relaxed);
        let mut steps = 0;
        while pair.ingest.step().await != Ok(Step::Nothing) {
            steps += 1;
            assert!(steps < 10);
        }
    }
    assert_eq!((pair.count().await, pair.applied().await), (12, Some(1)));
    // All is well: one question a minute.
    let before = pair.network.state().asked;
    for _ in 0..600 {
        pair.time.fetch_add(1_000_000, Relaxed);
        assert_eq!(pair.ingest.step().await, Ok(Step::Nothing));
    }
    let asked = pair.network.state().asked - before;
    assert!((8..=12).contains(&asked), "{asked} questions in ten minutes");
}

// covers: flow.lost-end
#[tokio::test]
async fn messages_that_take_the_place_of_lost_ones_are_no_repetition() {
    let mut pair = Pair::new(100).await;
    pair.write(0..10).await;
    pair.publish().await;
    while pair.ingest.step().await != Ok(Step::Nothing) {}
    assert!(pair.network.state().lose_end("a", &dog(), 5));
    pair.time.fetch_add(11_000_000, Relaxed);
    pair.write(20..22).await;
    pair.publish().await;
    let mut steps = 0;
    while pair.ingest.step().await != Ok(Step::Nothing) {
        steps += 1;
        assert!(steps < 10);
    }
    assert_eq!(pair.count().await, 12);
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
