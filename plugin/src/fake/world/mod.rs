//! Nodes that talk to each other, in one process and without waiting: each has its records, tables
//! and streams, and answers the others by the code that answers them in earnest.
//!
//! A call of a capability is a step. Between steps other tasks go first, in an order that the seed
//! decides. A call can be cut off before any of its steps, a node can be killed or be away, and
//! requests can go wrong in all the ways in which they do.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `host.rs` | a node, as one call sees it: the steps, and the smaller capabilities |
//! | `network.rs` | requests between nodes, and all that goes wrong with them |
//! | `rows.rs` | records and tables |
//! | `seen.rs` | what has to be so in the end |
//! | `story.rs` | what has happened, for whoever has to find out why |

mod host;
mod network;
mod rows;
mod seen;
mod story;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use super::executor::{Executor, Life, Moment, SECOND};
use crate::capabilities::TableInfo;
use crate::operation::{Error, handle};
use crate::recovery::recover;

use host::Host;
pub(crate) use network::Fault;
use network::FaultAt;

#[derive(Default)]
struct State {
    boot: u64,
    started: Moment,
    is_away: bool,
    /// By table and key: the revision and the record.
    rows: BTreeMap<(String, String), (u64, Value)>,
    tables: Vec<TableInfo>,
    /// Streams by name: when each was made, and its last message.
    streams: BTreeMap<String, (String, u64)>,
    /// So many writes succeed, and then one fails.
    writes_left: Option<u32>,
}

/// Some nodes. Clones are the same world.
#[derive(Clone)]
pub(crate) struct World(Rc<Inner>);

struct Inner {
    executor: Executor,
    nodes: RefCell<BTreeMap<String, State>>,
    revision: Cell<u64>,
    fault: Cell<Option<FaultAt>>,
    /// One request of so many goes wrong, by chance.
    odds: Cell<u64>,
    requests: Cell<u32>,
    warnings: RefCell<Vec<String>>,
    /// What has happened, for whoever has to find out why.
    story: RefCell<Vec<String>>,
}

/// A call of an operation.
pub(crate) struct Call {
    steps: Cell<u32>,
    cut: Option<Cut>,
    reply: RefCell<Option<Result<Value, Error>>>,
}

/// Where a call ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// The call alone, before this step.
    Call(u32),
    /// Its host, before this step.
    Host(u32),
}

impl Call {
    fn new(cut: Option<Cut>) -> Rc<Self> {
        Rc::new(Self { steps: Cell::default(), cut, reply: RefCell::default() })
    }

    pub(crate) fn steps(&self) -> u32 {
        self.steps.get()
    }

    /// None when it did not come to an end.
    pub(crate) fn reply(&self) -> Option<Result<Value, Error>> {
        self.reply.borrow().clone()
    }
}

impl World {
    pub(crate) fn new(seed: u64, names: &[&str]) -> Self {
        let inner = Inner {
            executor: Executor::new(seed),
            nodes: RefCell::default(),
            revision: Cell::new(1),
            fault: Cell::default(),
            odds: Cell::default(),
            requests: Cell::default(),
            warnings: RefCell::default(),
            story: RefCell::default(),
        };
        for (i, name) in names.iter().enumerate() {
            let state = State { boot: i as u64, ..State::default() };
            inner.nodes.borrow_mut().insert((*name).into(), state);
        }
        Self(Rc::new(inner))
    }

    /// Adds a table to a node.
    pub(crate) fn table(&self, node: &str, database: &str, name: &str, hash: &str) {
        self.node(node, |state| {
            state.tables.push(TableInfo {
                database: database.into(),
                name: name.into(),
                hash_attribute: hash.into(),
                attributes: vec![hash.into(), "name".into()],
            });
        });
    }

    pub(crate) fn has_table(&self, node: &str, database: &str, name: &str) -> Option<TableInfo> {
        self.node(node, |state| {
            let is_it = |one: &&TableInfo| one.database == database && one.name == name;
            state.tables.iter().find(is_it).cloned()
        })
    }

    pub(crate) fn set_fault(&self, fault: Option<FaultAt>) {
        self.0.fault.set(fault);
        self.0.requests.set(0);
    }

    /// From now on one request of so many goes wrong.
    pub(crate) fn set_odds(&self, odds: u64) {
        self.0.odds.set(odds);
    }

    pub(crate) fn set_away(&self, node: &str, is_away: bool) {
        self.node(node, |state| state.is_away = is_away);
    }

    /// The write of a node after so many fails.
    pub(crate) fn fail_write(&self, node: &str, after: Option<u32>) {
        self.node(node, |state| state.writes_left = after);
    }

    /// Requests that change something, so far.
    pub(crate) fn requests(&self) -> u32 {
        self.0.requests.get()
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.0.warnings.borrow().clone()
    }

    /// Begins an operation; `run` goes on with it.
    pub(crate) fn begin(&self, node: &str, request: Value, cut: Option<Cut>) -> Rc<Call> {
        let call = Call::new(cut);
        let (host, done) = (self.host(node, call.clone(), 30), call.clone());
        let life = host.life.clone();
        self.0.executor.spawn(life, async move {
            let reply = handle(&host, request.as_object().unwrap()).await;
            *done.reply.borrow_mut() = Some(reply);
        });
        call
    }

    /// An operation from its beginning to its end.
    pub(crate) fn send(&self, node: &str, request: Value) -> Result<Value, Error> {
        let call = self.begin(node, request, None);
        self.run();
        call.reply().expect("the call ends")
    }

    /// What a node answers to a request of another one.
    pub(crate) fn ask(&self, node: &str, request: Value) -> Value {
        let host = self.host(node, Call::new(None), 10);
        let (life, reply) = (host.life.clone(), Rc::new(RefCell::new(Value::Null)));
        let answer = reply.clone();
        self.0.executor.spawn(life, async move {
            let bytes = crate::peer::answer(&host, &harper_wire::encode(&request.into())).await;
            let limits = harper_wire::Limits::default();
            *answer.borrow_mut() = harper_wire::decode(&bytes, &limits).unwrap().into_json();
        });
        self.run();
        reply.take()
    }

    /// Runs all that has begun.
    pub(crate) fn run(&self) {
        self.0.executor.run();
    }

    /// Ends all that a node does, and starts it again.
    pub(crate) fn kill(&self, node: &str) {
        self.0.executor.end_all_of(node);
        let started = self.0.executor.now();
        let boot = self.next_revision();
        self.node(node, |state| {
            state.boot = boot;
            state.started = started;
        });
    }

    /// Runs one task until it waits.
    pub(crate) fn run_a_step(&self) {
        assert!(self.0.executor.run_a_step(), "nothing happens any more");
    }

    /// Runs what has begun for a while, or not at all.
    pub(crate) fn run_some(&self) {
        for _ in 0..self.random(30) {
            self.0.executor.run_a_step();
        }
    }

    pub(crate) fn random(&self, below: u64) -> u64 {
        self.0.executor.random(below)
    }

    /// Has all nodes recover until nothing is left, as their hosts do: every 5 s.
    pub(crate) fn recover(&self) {
        self.set_fault(None);
        self.set_odds(0);
        let names: Vec<String> = self.0.nodes.borrow().keys().cloned().collect();
        for _ in 0..30 {
            let left: Vec<_> = names.iter().map(|name| self.recover_one(name)).collect();
            self.run();
            if left.iter().all(|left| left.get() == Some(0)) {
                return;
            }
            self.0.executor.pass(5 * SECOND);
        }
        panic!("what is left is never done: {:#?}", self.warnings());
    }

    /// Has one node recover once.
    pub(crate) fn recover_one(&self, node: &str) -> Rc<Cell<Option<u32>>> {
        let host = self.host(node, Call::new(None), 60);
        let left = Rc::new(Cell::new(None));
        let (life, result) = (host.life.clone(), left.clone());
        self.0.executor.spawn(life, async move { result.set(Some(recover(&host).await)) });
        left
    }

    /// The records of a table of a node, by key.
    pub(crate) fn rows(&self, node: &str, table: &str) -> BTreeMap<String, Value> {
        self.node(node, |state| {
            let of_table = state.rows.iter().filter(|((name, _), _)| name == table);
            of_table.map(|((_, key), (_, row))| (key.clone(), row.clone())).collect()
        })
    }

    fn host(&self, node: &str, call: Rc<Call>, seconds: u64) -> Host {
        let life = Life {
            owner: node.into(),
            is_ended: Cell::new(false),
            end: self.0.executor.now() + seconds * SECOND,
        };
        Host { world: self.clone(), node: node.into(), call, life: Rc::new(life) }
    }

    fn node<T>(&self, name: &str, act: impl FnOnce(&mut State) -> T) -> T {
        act(self.0.nodes.borrow_mut().get_mut(name).expect("the node is in the world"))
    }

    fn next_revision(&self) -> u64 {
        self.0.revision.set(self.0.revision.get() + 1);
        self.0.revision.get()
    }

    fn is_away(&self, name: &str) -> bool {
        self.0.nodes.borrow().get(name).is_none_or(|state| state.is_away)
    }
}
