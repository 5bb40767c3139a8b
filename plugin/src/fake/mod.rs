//! A host for unit tests: a configuration, records and other nodes in memory, and a clock that does
//! not wait. For several nodes that talk to each other see [`world`].

pub(crate) mod executor;
pub(crate) mod world;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::capabilities::{
    Change, Clock, Config, ConfigError, Extent, JetStream, JetStreamError, Log, Nats, NatsError,
    Node, NodeInfo, Page, Replication, ReplicationError, Row, ServerInfo, Snapshot, StreamState,
    SystemInfo, TableInfo, Tables, TablesError,
};
use crate::operation::{Error, handle};

/// A request to another node: its subject, what was in it, and how long an answer is waited for.
type Asked = (String, Value, Duration);

pub(crate) struct Fake {
    /// Values by key path.
    pub(crate) config: RefCell<Map<String, Value>>,
    revision: Cell<u32>,
    /// So many writes find that another was faster: one that adds nothing.
    pub(crate) conflicts: Cell<u32>,
    pub(crate) writes: Cell<u32>,
    pub(crate) slept: Cell<Duration>,
    pub(crate) warnings: RefCell<Vec<String>>,
    pub(crate) node: RefCell<NodeInfo>,
    /// Records of `system.hdb_nodes`.
    pub(crate) records: RefCell<Vec<Value>>,
    pub(crate) tables: RefCell<Result<Vec<TableInfo>, TablesError>>,
    /// What other nodes answer, by name; one that is not here does not listen.
    pub(crate) answers: RefCell<BTreeMap<String, Result<Value, NatsError>>>,
    pub(crate) asked: RefCell<Vec<Asked>>,
    /// So many requests find nobody, whoever answers after that.
    pub(crate) not_heard: Cell<u32>,
    pub(crate) servers: RefCell<Result<Vec<ServerInfo>, NatsError>>,
    pub(crate) servers_asked: RefCell<Vec<Duration>>,
    /// Messages of the node's own streams, by name.
    pub(crate) streams: RefCell<BTreeMap<String, u64>>,
    pub(crate) purges: RefCell<Vec<(String, String, Extent)>>,
}

impl Default for Fake {
    /// A node without clustering and without a name.
    fn default() -> Self {
        Self {
            config: RefCell::default(),
            revision: Cell::default(),
            conflicts: Cell::default(),
            writes: Cell::default(),
            slept: Cell::default(),
            warnings: RefCell::default(),
            node: RefCell::default(),
            records: RefCell::default(),
            tables: RefCell::new(Ok(Vec::new())),
            answers: RefCell::default(),
            asked: RefCell::default(),
            not_heard: Cell::default(),
            servers: RefCell::new(Err(NatsError::NotEnabled)),
            servers_asked: RefCell::default(),
            streams: RefCell::default(),
            purges: RefCell::default(),
        }
    }
}

impl Fake {
    /// A node of this name with clustering.
    pub(crate) fn clustered(name: &str) -> Self {
        let node = NodeInfo {
            name: Some(name.into()),
            clustering: true,
            clustering_port: Some(9932),
            operations_api_port: Some(9925),
            uptime: Duration::from_millis(3_601_999),
            boot: 7,
            system_info: SystemInfo {
                hdb_version: "1.2.3".into(),
                node_version: "0.0.0".into(),
                platform: "linux".into(),
            },
            status_timeout: Duration::from_secs(5),
        };
        Self { node: node.into(), ..Self::default() }
    }

    /// Adds a table.
    pub(crate) fn describe(&self, database: &str, name: &str, hash: &str, attributes: &[&str]) {
        let table = TableInfo {
            database: database.into(),
            name: name.into(),
            hash_attribute: hash.into(),
            attributes: attributes.iter().map(|name| (*name).to_owned()).collect(),
        };
        if let Ok(tables) = &mut *self.tables.borrow_mut() {
            tables.push(table);
        }
    }

    pub(crate) fn with(config: Value) -> Self {
        let config = config.as_object().cloned().unwrap_or_default();
        Self { config: RefCell::new(config), ..Self::default() }
    }

    pub(crate) fn send(&self, request: Value) -> Result<Value, Error> {
        block_on(handle(self, request.as_object().unwrap()))
    }
}

impl Config for Fake {
    async fn get<const N: usize>(&self, paths: [&str; N]) -> Result<Snapshot<N>, ConfigError> {
        let config = self.config.borrow();
        let values = paths.map(|path| config.get(path).cloned().unwrap_or(json!(null)));
        Ok(Snapshot { revision: self.revision.get().to_string(), values })
    }

    async fn set(&self, expected: &str, changes: &[Change<'_>]) -> Result<(), ConfigError> {
        if let Some(left) = self.conflicts.get().checked_sub(1) {
            self.conflicts.set(left);
            self.revision.set(self.revision.get() + 1);
        }
        if expected != self.revision.get().to_string() {
            return Err(ConfigError::Conflict);
        }
        if changes.is_empty() {
            return Ok(());
        }
        for change in changes {
            self.config.borrow_mut().insert(change.path.into(), change.value.clone());
        }
        self.revision.set(self.revision.get() + 1);
        self.writes.set(self.writes.get() + 1);
        Ok(())
    }
}

impl Clock for Fake {
    fn monotonic(&self) -> u64 {
        999
    }

    async fn sleep(&self, duration: Duration) {
        self.slept.set(self.slept.get() + duration);
    }
}

impl Log for Fake {
    fn warn(&self, message: &str) {
        self.warnings.borrow_mut().push(message.into());
    }
}

impl Node for Fake {
    fn info(&self) -> NodeInfo {
        self.node.borrow().clone()
    }
}

impl Nats for Fake {
    async fn request(
        &self,
        subject: &str,
        payload: &[u8],
        timeout: Duration,
        _: u32,
    ) -> Result<Vec<u8>, NatsError> {
        let request = harper_wire::decode(payload, &harper_wire::Limits::default()).unwrap();
        self.asked.borrow_mut().push((subject.into(), request.into_json(), timeout));
        let node = subject.strip_suffix(".__request__").unwrap();
        if let Some(left) = self.not_heard.get().checked_sub(1) {
            self.not_heard.set(left);
            return Err(NatsError::NoResponders);
        }
        match self.answers.borrow().get(node).cloned() {
            Some(Ok(answer)) => Ok(harper_wire::encode(&answer.into())),
            Some(Err(error)) => Err(error),
            None => Err(NatsError::NoResponders),
        }
    }

    async fn servers(&self, timeout: Duration) -> Result<Vec<ServerInfo>, NatsError> {
        self.servers_asked.borrow_mut().push(timeout);
        self.servers.borrow().clone()
    }
}

impl JetStream for Fake {
    async fn inspect(&self, _: &str, _: &str, _: Duration) -> Result<StreamState, JetStreamError> {
        Err(JetStreamError::NotFound)
    }

    async fn purge(
        &self,
        domain: &str,
        stream: &str,
        extent: Extent,
        _: Duration,
    ) -> Result<u64, JetStreamError> {
        self.purges.borrow_mut().push((domain.into(), stream.into(), extent));
        self.streams.borrow().get(stream).copied().ok_or(JetStreamError::NotFound)
    }
}

/// Records of other nodes, which nobody changes.
impl Tables for Fake {
    async fn get(
        &self,
        database: &str,
        table: &str,
        key: &str,
    ) -> Result<Option<Row>, TablesError> {
        assert_eq!(database, "system");
        let records = self.records.borrow();
        let found = records.iter().find(|record| record["name"] == key);
        Ok(found.filter(|_| table == "hdb_nodes").map(row))
    }

    /// Pages of one.
    async fn list(
        &self,
        database: &str,
        table: &str,
        after: Option<&str>,
    ) -> Result<Page, TablesError> {
        assert_eq!((database, table), ("system", "hdb_nodes"));
        let records = self.records.borrow();
        let begin = after.map_or(0, |after| after.parse::<usize>().unwrap() + 1);
        let next = (begin + 1 < records.len()).then(|| begin.to_string());
        Ok(Page { rows: records.get(begin).map(row).into_iter().collect(), next })
    }

    async fn put(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: &str,
        _: Option<&str>,
    ) -> Result<String, TablesError> {
        Err(TablesError::Failed("The disk is full".into()))
    }

    async fn delete(&self, _: &str, _: &str, _: &str, _: &str) -> Result<(), TablesError> {
        Err(TablesError::Failed("The disk is full".into()))
    }

    async fn create_all(&self, _: &[TableInfo]) -> Result<(), TablesError> {
        unreachable!("not of the operations that are tested with this")
    }

    async fn create(&self, _: &TableInfo) -> Result<(), TablesError> {
        Err(TablesError::Failed("The disk is full".into()))
    }

    async fn describe(&self) -> Result<Vec<TableInfo>, TablesError> {
        self.tables.borrow().clone()
    }
}

fn row(record: &Value) -> Row {
    let key = record["name"].as_str().unwrap_or_default().to_owned();
    Row { key, revision: "1".into(), record: record.to_string() }
}

impl Replication for Fake {
    async fn ensure_streams(&self, _: &[(&str, &str)]) -> Result<(), ReplicationError> {
        Ok(())
    }

    async fn settle(&self, _: &str, _: Duration) -> Result<(), ReplicationError> {
        Ok(())
    }
}

/// Runs a future of which nothing ever waits.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the fake host never waits"),
    }
}
