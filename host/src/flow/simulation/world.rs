//! Nodes, and what happens to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_json::json;

use super::bus::{Fault, Network, SimulatedBus};
use super::model::Model;
use crate::capabilities::TableName;
use crate::data::{Data, DataConfig, Key, Row, WallClock, Write};
use crate::figures::Figures;
use crate::flow::ingest::{How, Ingest, Step, Subscription};
use crate::flow::memory::Memory;
use crate::flow::publish::{Published, Publisher};
use crate::store::{Start, Store};

/// When a simulation begins, in microseconds.
const BEGIN: u64 = 1_800_000_000_000_000;
/// The largest jump of a clock, in seconds.
pub(super) const JUMP: i64 = 7200;
/// Until each stream is looked at again, in microseconds.
const LOOKED: u64 = 80_000_000;
/// Rounds after which all must be quiet.
const ROUNDS: usize = 300;

/// What may happen. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Write { node: usize, table: usize, keys: Vec<u8>, value: u32 },
    Update { node: usize, table: usize, key: u8, value: u32 },
    Delete { node: usize, table: usize, key: u8 },
    Publish { node: usize, fault: Fault },
    Trim { node: usize },
    Ingest { node: usize, which: usize, most: usize, fault: Fault },
    Restart { node: usize },
    Cut { a: usize, b: usize },
    Join { a: usize, b: usize },
    Down { node: usize },
    Up { node: usize },
    Jump { node: usize, seconds: i64 },
    Tick { milliseconds: u64 },
    Subscribe { node: usize, source: usize, table: usize },
    Unsubscribe { node: usize, source: usize, table: usize },
    MakeAnew { node: usize, table: usize },
    Purge { node: usize, table: usize, keep: u64 },
    LoseEnd { node: usize, table: usize, messages: u64 },
}

/// How a simulation begins.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) nodes: usize,
    pub(super) tables: usize,
    pub(super) republish: bool,
    /// Who has subscribed to what of whom.
    pub(super) subscriptions: BTreeSet<(usize, usize, usize)>,
}

pub(super) struct World {
    network: Network,
    time: Arc<AtomicU64>,
    nodes: Vec<Node>,
    tables: Vec<TableName>,
    republish: bool,
    model: Model,
    step: usize,
}

struct Node {
    name: String,
    store: Store,
    /// None while it restarts.
    data: Option<Data>,
    offset: Arc<AtomicU64>,
    subscriptions: BTreeMap<(usize, usize), Start>,
    publisher: Option<Publisher<SimulatedBus>>,
    ingests: BTreeMap<(usize, usize), Ingest<SimulatedBus>>,
    figures: Arc<Figures>,
}

type Outcome = Result<(), String>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl World {
    pub(super) async fn new(setup: &Setup) -> Result<World, String> {
        let network = Network::default();
        let time = Arc::new(AtomicU64::new(BEGIN));
        let name = |i: usize| TableName { database: "dev".into(), table: format!("t{i}") };
        let tables: Vec<_> = (0..setup.tables).map(name).collect();
        let mut nodes = Vec::with_capacity(setup.nodes);
        for i in 0..setup.nodes {
            let node = Node {
                name: format!("n{i}"),
                store: Store::in_memory(),
                data: None,
                offset: Arc::default(),
                subscriptions: BTreeMap::new(),
                publisher: None,
                ingests: BTreeMap::new(),
                figures: Arc::default(),
            };
            nodes.push(node);
        }
        let republish = setup.republish;
        let model = Model::new(republish);
        let mut world = World { network, time, nodes, tables, republish, model, step: 0 };
        for i in 0..setup.nodes {
            world.open(i).await?;
            for table in &world.tables {
                let data = world.nodes[i].data()?;
                data.create_table(table, "id", &[], "admin").await.map_err(text)?;
            }
        }
        for &(node, source, table) in &setup.subscriptions {
            world.subscribe(node, source, table)?;
        }
        world.step = 1;
        Ok(world)
    }

    /// Opens a node's data, and forgets whatever else it knew.
    async fn open(&mut self, i: usize) -> Outcome {
        let node = &mut self.nodes[i];
        node.publisher = None;
        node.ingests.clear();
        if let Some(data) = node.data.take() {
            data.close().await;
        }
        let (time, offset) = (self.time.clone(), node.offset.clone());
        let clock = WallClock::new(move || time.load(Relaxed).wrapping_add(offset.load(Relaxed)));
        let node_name = Some(node.name.clone());
        let config = DataConfig { node_name, clock, ..DataConfig::default() };
        let data = Data::open(node.store.clone(), config).await.map_err(text)?;
        let bus = self.network.bus(&node.name);
        let publisher = Publisher::new(data.clone(), bus, node.name.clone(), node.figures.clone());
        // Some transactions are larger than a message may be.
        node.publisher = Some(publisher.with_largest(400));
        node.data = Some(data);
        Ok(())
    }

    fn subscribe(&mut self, node: usize, source: usize, table: usize) -> Outcome {
        let name = self.nodes[source].name.clone();
        let mut state = self.network.state();
        if state.place(&name, &self.tables[table]).is_none() {
            state.make(&name, &self.tables[table]);
        }
        let Some((created, sequence)) = state.place(&name, &self.tables[table]) else {
            return Err("no stream".into());
        };
        drop(state);
        let start = Start::After { created: Some(created), sequence };
        self.nodes[node].subscriptions.insert((source, table), start);
        self.model.subscribed(node, source, table, self.step);
        Ok(())
    }

    fn unsubscribe(&mut self, node: usize, source: usize, table: usize) {
        let at = (source, table);
        if self.nodes[node].subscriptions.remove(&at).is_none() {
            return;
        }
        self.nodes[node].ingests.remove(&at);
        self.model.unsubscribed(node, source, table);
        if !self.nodes.iter().any(|node| node.subscriptions.contains_key(&at)) {
            let key = (self.nodes[source].name.clone(), self.tables[table].clone());
            self.network.state().streams.remove(&key);
        }
    }

    /// What happens next.
    pub(super) async fn act(&mut self, act: &Act) -> Outcome {
        self.step += 1;
        self.time.fetch_add(1000, Relaxed);
        self.network.state().fault = Fault::None;
        let n = self.nodes.len();
        let t = self.tables.len();
        match *act {
            Act::Write { node, table, ref keys, value } => {
                let row = |key: &u8| {
                    let row = json!({ "id": key, "value": value, "text": "x".repeat(40) });
                    row.as_object().cloned().unwrap_or_default()
                };
                let rows = keys.iter().map(row).collect();
                self.write(node % n, table % t, Write::Upsert, rows).await
            }
            Act::Update { node, table, key, value } => {
                let row = json!({ "id": key, format!("v{}", value % 4): value });
                let rows = vec![row.as_object().cloned().unwrap_or_default()];
                self.write(node % n, table % t, Write::Update, rows).await
            }
            Act::Delete { node, table, key } => {
                let (node, table) = (node % n, table % t);
                let data = self.nodes[node].data()?.clone();
                let key = Key::try_from(json!(key)).map_err(text)?;
                let deleted = data.delete(&self.tables[table], vec![key], "admin").await;
                self.note(node, table, deleted.map_err(text)?.deleted).await
            }
            Act::Publish { node, fault } => {
                self.network.state().fault = fault;
                let node = &mut self.nodes[node % n];
                if let Some(publisher) = &mut node.publisher {
                    // A bus that fails is no failure of the simulation.
                    let _ = publisher.step().await;
                }
                Ok(())
            }
            Act::Trim { node } => {
                if let Some(publisher) = &mut self.nodes[node % n].publisher {
                    publisher.trim().await.map_err(text)?;
                }
                Ok(())
            }
            Act::Ingest { node, which, most, fault } => {
                let node = node % n;
                let count = self.nodes[node].subscriptions.len();
                if count == 0 {
                    return Ok(());
                }
                let at = self.nodes[node].subscriptions.keys().nth(which % count).copied();
                self.network.state().fault = fault;
                let _ = self.ingest(node, at.unwrap_or_default(), most).await;
                Ok(())
            }
            Act::Restart { node } => self.open(node % n).await,
            Act::Cut { a, b } => {
                self.network.state().cuts.insert(self.pair(a % n, b % n));
                Ok(())
            }
            Act::Join { a, b } => {
                self.network.state().cuts.remove(&self.pair(a % n, b % n));
                Ok(())
            }
            Act::Down { node } => {
                self.network.state().down.insert(self.nodes[node % n].name.clone());
                Ok(())
            }
            Act::Up { node } => {
                self.network.state().down.remove(&self.nodes[node % n].name);
                Ok(())
            }
            Act::Jump { node, seconds } => {
                let offset = (seconds * 1_000_000).cast_unsigned();
                self.nodes[node % n].offset.store(offset, Relaxed);
                Ok(())
            }
            Act::Tick { milliseconds } => {
                self.time.fetch_add(milliseconds * 1000, Relaxed);
                Ok(())
            }
            Act::Subscribe { node, source, table } => {
                let (node, source, table) = (node % n, source % n, table % t);
                let is_new = !self.nodes[node].subscriptions.contains_key(&(source, table));
                let is_reached = self
                    .network
                    .state()
                    .is_reached(&self.nodes[node].name, &self.nodes[source].name);
                if node == source || !is_new || !is_reached {
                    return Ok(());
                }
                self.subscribe(node, source, table)
            }
            Act::Unsubscribe { node, source, table } => {
                self.unsubscribe(node % n, source % n, table % t);
                Ok(())
            }
            Act::MakeAnew { node, table } => {
                let (node, table) = (node % n, table % t);
                let (name, at) = (&self.nodes[node].name, &self.tables[table]);
                let mut state = self.network.state();
                if state.place(name, at).is_some() {
                    state.make(name, at);
                    self.model.lost(node, table, self.step);
                }
                Ok(())
            }
            Act::Purge { node, table, keep } => {
                let (node, table) = (node % n, table % t);
                let (name, at) = (&self.nodes[node].name, &self.tables[table]);
                if self.network.state().purge(name, at, keep) {
                    self.model.lost(node, table, self.step);
                }
                Ok(())
            }
            Act::LoseEnd { node, table, messages } => {
                self.lose_end(node % n, table % t, messages).await
            }
        }
    }

    /// A node's server is restored from an older copy, and nothing is published until whoever reads
    /// has looked: who cannot is to know at least where it was.
    async fn lose_end(&mut self, source: usize, table: usize, messages: u64) -> Outcome {
        let name = self.nodes[source].name.clone();
        let at = (source, table);
        let reads = |node: &Node| node.subscriptions.contains_key(&at);
        let readers: Vec<_> = (0..self.nodes.len()).filter(|i| reads(&self.nodes[*i])).collect();
        {
            let mut state = self.network.state();
            if !readers.iter().all(|i| state.is_reached(&self.nodes[*i].name, &name)) {
                return Ok(());
            }
            if !state.lose_end(&name, &self.tables[table], messages) {
                return Ok(());
            }
        }
        self.model.lost(source, table, self.step);
        self.time.fetch_add(LOOKED, Relaxed);
        for i in readers {
            // Where it was is found at the second attempt at the latest.
            if self.ingest(i, at, 50).await.is_err() {
                self.ingest(i, at, 50).await?;
            }
        }
        Ok(())
    }

    fn pair(&self, a: usize, b: usize) -> (String, String) {
        let (a, b) = (a.min(b), a.max(b));
        (self.nodes[a].name.clone(), self.nodes[b].name.clone())
    }

    async fn write(&mut self, node: usize, table: usize, how: Write, rows: Vec<Row>) -> Outcome {
        let data = self.nodes[node].data()?.clone();
        let written = data.write(&self.tables[table], how, rows, "admin").await.map_err(text)?;
        self.note(node, table, written.written).await
    }

    /// Tells the model what was written.
    async fn note(&mut self, node: usize, table: usize, keys: Vec<Key>) -> Outcome {
        let rows = self.nodes[node].data()?.rows_now(&self.tables[table]).await.map_err(text)?;
        for key in keys {
            let Some((version, row)) = rows.get(&key) else {
                return Err(format!("{key} was written, and is not there"));
            };
            self.model.written(node, table, key, version.clone(), row.clone(), self.step)?;
        }
        Ok(())
    }

    async fn ingest(&mut self, i: usize, at: (usize, usize), most: usize) -> Result<Step, String> {
        let (source, table) = at;
        let source_name = self.nodes[source].name.clone();
        let node = &mut self.nodes[i];
        let data = node.data()?.clone();
        let Some(start) = node.subscriptions.get(&at) else { return Ok(Step::Nothing) };
        let of_source = node.subscriptions.keys().filter(|(from, _)| *from == source);
        let tables = of_source.map(|(_, table)| self.tables[*table].clone()).collect();
        let subscription = Subscription {
            source: source_name.clone(),
            table: self.tables[table].clone(),
            start: start.clone(),
            tables: Arc::new(tables),
        };
        let (most, republish) = (most.max(1), self.republish);
        let how = How { node: node.name.clone(), most, republish, memory: Memory::default() };
        let bus = self.network.bus(&node.name);
        let figures = node.figures.subscription(&source_name, &self.tables[table]);
        let ingest = node
            .ingests
            .entry(at)
            .or_insert_with(|| Ingest::new(data, bus, how, subscription, figures));
        ingest.step().await.map_err(text)
    }

    /// All is well from now on: runs until nothing happens any more, and compares.
    pub(super) async fn end(&mut self) -> Outcome {
        {
            let mut state = self.network.state();
            state.cuts.clear();
            state.down.clear();
            // What is not acknowledged comes again after a while.
            state.fault = Fault::Again;
        }
        for node in &self.nodes {
            node.offset.store(0, Relaxed);
        }
        self.time.fetch_add(2 * JUMP.cast_unsigned() * 1_000_000, Relaxed);
        let mut trouble = String::new();
        let mut is_quiet = false;
        for _ in 0..ROUNDS {
            is_quiet = true;
            trouble.clear();
            for i in 0..self.nodes.len() {
                if let Some(publisher) = &mut self.nodes[i].publisher {
                    match publisher.step().await {
                        Ok(Published::Nothing) => {}
                        Ok(Published::Some) => is_quiet = false,
                        Err(error) => {
                            is_quiet = false;
                            let _ = writeln!(trouble, "n{i} publishes: {error}");
                        }
                    }
                }
                let all: Vec<_> = self.nodes[i].subscriptions.keys().copied().collect();
                for at in all {
                    match self.ingest(i, at, 50).await {
                        Ok(Step::Nothing) => {}
                        Ok(Step::Held(_)) => {
                            is_quiet = false;
                            let _ = writeln!(trouble, "n{i} holds {at:?}");
                        }
                        Ok(Step::Some) => is_quiet = false,
                        Err(error) => {
                            is_quiet = false;
                            let _ = writeln!(trouble, "n{i} applies {at:?}: {error}");
                        }
                    }
                }
            }
            if is_quiet {
                break;
            }
        }
        if !is_quiet {
            return Err(format!("it does not come to an end: {trouble}"));
        }
        for (i, node) in self.nodes.iter().enumerate() {
            let data = node.data()?;
            for (t, table) in self.tables.iter().enumerate() {
                let rows = data.rows_now(table).await.map_err(text)?;
                self.model.check(i, t, &rows)?;
            }
            let letters = data.dead_letters(0, 10).await.map_err(text)?;
            if let Some((_, letter)) = letters.first() {
                return Err(format!("n{i} has laid aside a message: {}", letter.reason));
            }
            let figures = node.figures.snapshot();
            let gap: u64 = figures.subscriptions.iter().map(|one| one.gap).sum();
            if gap > 0 && !self.model.has_lost() {
                return Err(format!("n{i} says that {gap} messages are lost"));
            }
            if figures.outbox.gap > 0 {
                return Err(format!("n{i} says that changes were not published"));
            }
        }
        Ok(())
    }
}

impl Node {
    fn data(&self) -> Result<&Data, String> {
        self.data.as_ref().ok_or_else(|| "the node is not open".into())
    }
}
