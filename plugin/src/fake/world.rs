//! Nodes that talk to each other, in one process and without waiting: each has its records, tables
//! and streams, and answers the others by the code that answers them in earnest.
//!
//! A call of a capability is a step. Between steps other tasks go first, in an order that the seed
//! decides. A call can be cut off before any of its steps, a node can be killed or be away, and
//! requests can go wrong in all the ways in which they do.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use serde_json::{Value, json};

use super::executor::{Executor, Life, Moment, SECOND};
use crate::capabilities::{
    Change, Clock, Config, ConfigError, Extent, JetStream, JetStreamError, Log, Nats, NatsError,
    Node, NodeInfo, Page, Replication, ReplicationError, Row, ServerInfo, Snapshot, StreamState,
    SystemInfo, TableInfo, Tables, TablesError,
};
use crate::operation::{Error, handle};
use crate::recovery::recover;

/// What is wrong with a request that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nobody is there.
    NotListening,
    /// It gets lost.
    Lost,
    /// It is answered with an error.
    Refused,
    /// It is answered with something that is no answer.
    Garbage,
    /// It is done, and the answer gets lost.
    NoReply,
    /// It is done when nobody waits any more.
    Late,
    /// Who answers is cut off before this step.
    Cut(u32),
    /// The node that answers is killed before this step.
    Killed(u32),
    /// This node's own server is not there.
    OwnServer,
}

/// A fault, of the so manieth such request, counted from 0.
pub(crate) type FaultAt = (u32, Fault);

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

    /// All that has to be as before or as after: records, intents, and the streams and durables that
    /// follow from them.
    pub(crate) fn state(&self) -> Value {
        let names: Vec<String> = self.0.nodes.borrow().keys().cloned().collect();
        let state = |name: &String| {
            let records: BTreeMap<_, _> = self.rows(name, "hdb_nodes");
            let mut streams = BTreeSet::new();
            let mut durables = BTreeSet::new();
            let mut shown = BTreeMap::new();
            for (node, mut record) in records {
                for one in record["subscriptions"].as_array_mut().unwrap() {
                    let text = |key: &str| one[key].as_str().unwrap().to_owned();
                    let table = format!("{}.{}", text("schema"), text("table"));
                    if one["publish"] == true {
                        streams.insert(table.clone());
                    }
                    if one["subscribe"] == true {
                        durables.insert(format!("{table} of {node}"));
                    }
                    // When a stream was made is another time in each run.
                    if let Some(from) = one.get_mut("from") {
                        from.as_object_mut().unwrap().remove("created");
                    }
                    one.as_object_mut().unwrap().remove("was");
                }
                let list = record["subscriptions"].as_array_mut().unwrap();
                list.sort_by_key(|one| one["table"].to_string());
                shown.insert(node, record["subscriptions"].take());
            }
            let intents = self.rows(name, "hdb_intents");
            (
                name.clone(),
                json!({
                    "records": shown, "intents": intents, "streams": streams, "durables": durables,
                }),
            )
        };
        names.iter().map(state).collect::<serde_json::Map<_, _>>().into()
    }

    /// That any two nodes say the same of what they share.
    pub(crate) fn assert_mirrored(&self, context: &str) {
        let names: Vec<String> = self.0.nodes.borrow().keys().cloned().collect();
        let seen = |node: &str, other: &str| -> Option<BTreeSet<(String, bool, bool)>> {
            let record = self.rows(node, "hdb_nodes").get(other).cloned()?;
            let one = |one: &Value| {
                let (publish, subscribe) = (one["publish"] == true, one["subscribe"] == true);
                (format!("{}.{}", one["schema"], one["table"]), publish, subscribe)
            };
            Some(record["subscriptions"].as_array().unwrap().iter().map(one).collect())
        };
        let swap = |set: BTreeSet<(String, bool, bool)>| -> BTreeSet<_> {
            set.into_iter().map(|(table, publish, subscribe)| (table, subscribe, publish)).collect()
        };
        for one in &names {
            for other in names.iter().filter(|other| *other > one) {
                let (here, there) = (seen(one, other), seen(other, one).map(swap));
                let story = || self.0.story.borrow().join("\n");
                assert_eq!(here, there, "{context}: {one} and {other}\n{}", story());
            }
            assert_eq!(self.rows(one, "hdb_intents").len(), 0, "{context}: intents of {one}");
        }
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

    /// What goes wrong with the next request that changes something.
    fn next_fault(&self) -> Option<Fault> {
        let number = self.0.requests.get();
        self.0.requests.set(number + 1);
        let odds = self.0.odds.get();
        if odds > 0 && self.0.executor.random(odds) == 0 {
            let faults = [
                Fault::NotListening,
                Fault::Lost,
                Fault::Refused,
                Fault::Garbage,
                Fault::NoReply,
                Fault::Late,
                Fault::Cut(self.0.executor.random(12) as u32),
                Fault::Killed(self.0.executor.random(12) as u32),
                Fault::OwnServer,
            ];
            return Some(faults[self.0.executor.random(faults.len() as u64) as usize]);
        }
        self.0.fault.get().filter(|(at, _)| *at == number).map(|(_, fault)| fault)
    }
}

/// A node, as one call sees it.
struct Host {
    world: World,
    node: String,
    call: Rc<Call>,
    life: Rc<Life>,
}

impl Host {
    fn executor(&self) -> &Executor {
        &self.world.0.executor
    }

    /// What happens before each call of a capability.
    async fn step(&self) {
        self.executor().pass(50_000 + self.executor().random(200_000));
        self.executor().yield_now().await;
        let step = self.call.steps.get() + 1;
        self.call.steps.set(step);
        match self.call.cut {
            Some(Cut::Call(at)) if at == step => self.life.is_ended.set(true),
            Some(Cut::Host(at)) if at == step => {
                self.world.kill(&self.node);
                self.life.is_ended.set(true);
            }
            _ => return,
        }
        pending::<()>().await;
    }

    fn note(&self, what: impl std::fmt::Display) {
        let time = self.executor().now() / 1_000_000;
        self.world.0.story.borrow_mut().push(format!("{time} ms: {} {what}", self.node));
    }

    fn state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        self.world.node(&self.node, act)
    }

    fn write(&self) -> Result<(), TablesError> {
        self.state(|state| match &mut state.writes_left {
            Some(0) => {
                state.writes_left = None;
                Err(TablesError::Failed("The disk is full".into()))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        })
    }
}

impl Config for Host {
    async fn get<const N: usize>(&self, _: [&str; N]) -> Result<Snapshot<N>, ConfigError> {
        Err(ConfigError::Failed("There is no configuration here".into()))
    }

    async fn set(&self, _: &str, _: &[Change<'_>]) -> Result<(), ConfigError> {
        Err(ConfigError::Failed("There is no configuration here".into()))
    }
}

impl Clock for Host {
    fn monotonic(&self) -> u64 {
        self.executor().now()
    }

    async fn sleep(&self, duration: Duration) {
        self.executor().until(self.executor().now() + nanoseconds(duration)).await;
    }
}

impl Log for Host {
    fn warn(&self, message: &str) {
        self.world.0.warnings.borrow_mut().push(format!("{}: {message}", self.node));
    }
}

impl Node for Host {
    fn info(&self) -> NodeInfo {
        let now = self.executor().now();
        let (boot, started) = self.state(|state| (state.boot, state.started));
        NodeInfo {
            name: Some(self.node.clone()),
            clustering: true,
            uptime: Duration::from_nanos(now - started),
            boot,
            system_info: SystemInfo {
                hdb_version: "1.2.3".into(),
                node_version: "0.0.0".into(),
                platform: "linux".into(),
            },
            status_timeout: Duration::from_secs(5),
            ..NodeInfo::default()
        }
    }
}

/// Where an answer is put, and who waits for it.
#[derive(Default)]
struct Mailbox {
    answer: Option<Vec<u8>>,
    waiting: Option<Waker>,
}

impl Nats for Host {
    async fn request(
        &self,
        subject: &str,
        payload: &[u8],
        timeout: Duration,
        _: u32,
    ) -> Result<Vec<u8>, NatsError> {
        self.step().await;
        let node = subject.strip_suffix(".__request__").unwrap().to_owned();
        let request = harper_wire::decode(payload, &harper_wire::Limits::default()).unwrap();
        let is_change = !matches!(request.get("operation").unwrap().as_str(), Some("describe_all"));
        let fault = if is_change { self.world.next_fault() } else { None };
        if self.world.is_away(&self.node) || fault == Some(Fault::OwnServer) {
            return Err(NatsError::Failed("This node's server does not answer".into()));
        }
        if self.world.is_away(&node) || fault == Some(Fault::NotListening) {
            return Err(NatsError::NoResponders);
        }
        if is_change {
            let request = brief(&request.into_json());
            self.note(format_args!("tells {node}, {fault:?}: {request}"));
        }
        let end = self.executor().now() + nanoseconds(timeout);
        match fault {
            Some(Fault::Refused) => {
                let reply = json!({ "status": "error", "message": "no" });
                return Ok(harper_wire::encode(&reply.into()));
            }
            Some(Fault::Garbage) => return Ok(vec![0xc1]),
            Some(Fault::Lost) => {
                self.executor().until(end).await;
                return Err(NatsError::Timeout);
            }
            _ => {}
        }
        let cut = match fault {
            Some(Fault::Cut(step)) => Some(Cut::Call(step)),
            Some(Fault::Killed(step)) => Some(Cut::Host(step)),
            _ => None,
        };
        let begin = if fault == Some(Fault::Late) { end + SECOND } else { 0 };
        let mailbox = Rc::new(RefCell::new(Mailbox::default()));
        // Beside the time that it waits for its turn.
        let seconds = 10 + (begin.saturating_sub(self.executor().now())) / SECOND;
        let (host, payload) = (self.world.host(&node, Call::new(cut), seconds), payload.to_vec());
        let (life, answer) = (host.life.clone(), mailbox.clone());
        self.executor().spawn(life, async move {
            host.executor().until(begin).await;
            let reply = crate::peer::answer(&host, &payload).await;
            if fault == Some(Fault::NoReply) {
                return;
            }
            let mut mailbox = answer.borrow_mut();
            mailbox.answer = Some(reply);
            if let Some(waiting) = mailbox.waiting.take() {
                waiting.wake();
            }
        });
        poll_fn(|context| {
            if let Some(answer) = mailbox.borrow_mut().answer.take() {
                return Poll::Ready(Ok(answer));
            }
            mailbox.borrow_mut().waiting = Some(context.waker().clone());
            self.executor().poll_until(end, context).map(|()| Err(NatsError::Timeout))
        })
        .await
    }

    async fn servers(&self, _: Duration) -> Result<Vec<ServerInfo>, NatsError> {
        Ok(Vec::new())
    }
}

impl JetStream for Host {
    async fn inspect(
        &self,
        domain: &str,
        stream: &str,
        _: Duration,
    ) -> Result<StreamState, JetStreamError> {
        self.step().await;
        let node = domain.strip_suffix("-leaf").unwrap();
        if self.world.is_away(node) || self.world.is_away(&self.node) {
            return Err(JetStreamError::Unavailable("The domain is not there".into()));
        }
        let found = self.world.node(node, |state| state.streams.get(stream).cloned());
        let (created, last_sequence) = found.ok_or(JetStreamError::NotFound)?;
        Ok(StreamState { last_sequence, created })
    }

    async fn purge(&self, _: &str, _: &str, _: Extent, _: Duration) -> Result<u64, JetStreamError> {
        Err(JetStreamError::NotFound)
    }
}

impl Tables for Host {
    async fn get(
        &self,
        database: &str,
        table: &str,
        key: &str,
    ) -> Result<Option<Row>, TablesError> {
        self.step().await;
        assert_eq!(database, "system");
        let found = self.state(|state| state.rows.get(&(table.into(), key.into())).cloned());
        let row = |(revision, value): (u64, Value)| Row {
            key: key.into(),
            revision: revision.to_string(),
            value,
        };
        Ok(found.map(row))
    }

    async fn list(
        &self,
        database: &str,
        table: &str,
        after: Option<&str>,
    ) -> Result<Page, TablesError> {
        self.step().await;
        assert_eq!((database, after), ("system", None));
        let rows = self.state(|state| {
            let of_table = state.rows.iter().filter(|((name, _), _)| name == table);
            let row = |((_, key), (revision, value)): (&(String, String), &(u64, Value))| Row {
                key: key.clone(),
                revision: revision.to_string(),
                value: value.clone(),
            };
            of_table.map(row).collect()
        });
        Ok(Page { rows, next: None })
    }

    async fn put(
        &self,
        database: &str,
        table: &str,
        key: &str,
        value: &Value,
        expected: Option<&str>,
    ) -> Result<String, TablesError> {
        self.step().await;
        assert_eq!(database, "system");
        self.write()?;
        let revision = self.world.next_revision();
        self.state(|state| {
            let at = (table.to_owned(), key.to_owned());
            let now = state.rows.get(&at).map(|(revision, _)| revision.to_string());
            if now.as_deref() != expected {
                return Err(TablesError::Conflict);
            }
            state.rows.insert(at, (revision, value.clone()));
            Ok(revision.to_string())
        })
        .inspect(|_| self.note(format_args!("puts {table} {key}: {}", brief(value))))
    }

    async fn delete(
        &self,
        database: &str,
        table: &str,
        key: &str,
        expected: &str,
    ) -> Result<(), TablesError> {
        self.step().await;
        assert_eq!(database, "system");
        self.write()?;
        self.state(|state| {
            let at = (table.to_owned(), key.to_owned());
            if state.rows.get(&at).is_none_or(|(revision, _)| revision.to_string() != expected) {
                return Err(TablesError::Conflict);
            }
            state.rows.remove(&at);
            Ok(())
        })
        .inspect(|()| self.note(format_args!("deletes {table} {key}")))
    }

    async fn create(&self, table: &TableInfo) -> Result<(), TablesError> {
        self.step().await;
        self.write()?;
        self.state(|state| {
            let is_it = |one: &&TableInfo| one.database == table.database && one.name == table.name;
            match state.tables.iter().find(is_it) {
                Some(one) if one.hash_attribute != table.hash_attribute => {
                    Err(TablesError::ExistsOtherwise("It has another key".into()))
                }
                Some(_) => Ok(()),
                None => {
                    state.tables.push(table.clone());
                    Ok(())
                }
            }
        })
    }

    async fn describe(&self) -> Result<Vec<TableInfo>, TablesError> {
        self.step().await;
        Ok(self.state(|state| state.tables.clone()))
    }
}

impl Replication for Host {
    async fn ensure_streams(&self, tables: &[(&str, &str)]) -> Result<(), ReplicationError> {
        self.step().await;
        if self.world.is_away(&self.node) {
            return Err(ReplicationError::Failed("This node's server does not answer".into()));
        }
        let created = format!("made at {}", self.executor().now());
        self.state(|state| {
            for (schema, table) in tables {
                let stream = harper_wire::names::stream(schema, table);
                state.streams.entry(stream).or_insert((created.clone(), 7));
            }
        });
        Ok(())
    }

    async fn settle(&self, node: &str, _: Duration) -> Result<(), ReplicationError> {
        self.step().await;
        if self.world.is_away(node) {
            return Err(ReplicationError::Unsettled(format!("node '{node}' is away")));
        }
        Ok(())
    }
}

fn nanoseconds(duration: Duration) -> Moment {
    duration.as_nanos().try_into().unwrap_or(Moment::MAX / 4)
}

/// A record, an intent or a request, as far as one has to know.
fn brief(value: &Value) -> String {
    let list = |value: &Value| {
        let one = |one: &Value| {
            let flag = |key: &str, sign: &'static str| if one[key] == true { sign } else { "" };
            let table = one["table"].as_str().unwrap_or_default();
            format!(
                "{}{table}{}{}",
                flag("subscribe", "<"),
                flag("publish", ">"),
                flag("drop", "!")
            )
        };
        let items = value["subscriptions"].as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    if value.get("direction").is_none() {
        let what = value["operation"].as_str().unwrap_or_default();
        return format!("{what} [{}] {}", list(value), value["change"]);
    }
    format!(
        "{} {} from [{}] to [{}], until {}, at large {}, told {}, {}",
        value["direction"],
        value["operation"],
        list(&value["before"]),
        list(&value["after"]),
        value["until"],
        value["at_large"],
        value["told_at"],
        value["change"],
    )
}
