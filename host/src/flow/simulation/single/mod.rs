//! One thing that goes wrong, and what becomes of it exactly.
//!
//! | file | what goes wrong |
//! | --- | --- |
//! | `ingest.rs` | with what has come |
//! | `streams.rs` | with the stream that it is read from |
//! | `dead_letters.rs` | with what was laid aside |
//! | `publish.rs` | with what goes out |

mod dead_letters;
mod ingest;
mod publish;
mod streams;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::json;

use crate::capabilities::TableName;
use crate::data::{Data, DataConfig, Key, Row, WallClock, Which, Write};
use crate::figures::{Figures, State, SubscriptionFigures};
use crate::flow::bus::{Bus, BusError, Outbound};
use crate::flow::dead_letters::{Applied, DeadLetters};
use crate::flow::ingest::{How, Ingest, IngestError, Step, Subscription};
use crate::flow::memory::Memory;
use crate::flow::publish::{Published, Publisher};
use crate::flow::simulation::bus::{Fault, Network, SimulatedBus};
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
