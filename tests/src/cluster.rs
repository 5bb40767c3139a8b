//! A cluster that is not there: a node whose network, streams and tables are told what to say, and
//! which writes down what it was asked.
//!
//! For a test that needs real servers see the harness for NATS; this one is for what a node makes of
//! answers, of which real servers give few.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use harper_host::{
    BoxFuture, Extent, Held, HostBuilder, JetStream, JetStreamError, Nats, NatsError, Node,
    NodeInfo, Page, Ports, Replication, ReplicationError, Row, ServerInfo, StreamInfo, SystemInfo,
    TableInfo, TableName, Tables, TablesError,
};
use serde_json::{Value, json};

/// What the cluster is like, as `cluster.yaml` of a golden case has it.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// The node's own name.
    #[serde(default)]
    pub node_name: Option<String>,
    /// Whether the node has no clustering.
    #[serde(default)]
    pub off: bool,
    /// How long it has been running, in seconds.
    #[serde(default)]
    pub uptime: u64,
    /// `clustering.statusTimeout`, in milliseconds; 5000 when it is 0.
    #[serde(default)]
    pub status_timeout: u64,
    /// Records of `system.hdb_nodes`.
    #[serde(default)]
    pub nodes: Vec<Value>,
    /// Other nodes, by name, and whoever else listens, by subject: what they do when they are asked.
    #[serde(default)]
    pub peers: BTreeMap<String, Peer>,
    /// Servers of the network.
    #[serde(default)]
    pub servers: Vec<Server>,
    /// Why the node's own server does not answer.
    #[serde(default)]
    pub unavailable: Option<String>,
    /// Tables, as `database.table`, each with its attributes, of which the first is the key.
    #[serde(default)]
    pub tables: BTreeMap<String, Vec<String>>,
    /// Streams, as `domain/stream`, each with the messages that it holds.
    #[serde(default)]
    pub streams: BTreeMap<String, u64>,
}

/// What another node does when it is asked.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// It replies with this, as MessagePack.
    #[serde(default)]
    pub reply: Option<Value>,
    /// To the operations named here it replies with this.
    #[serde(default)]
    pub replies: BTreeMap<String, Value>,
    /// It replies with these bytes.
    #[serde(default)]
    pub bytes: Option<Vec<u8>>,
    /// It does so after this many milliseconds.
    #[serde(default)]
    pub after: u64,
    /// It listens and says nothing.
    #[serde(default)]
    pub silent: bool,
}

/// A server of the network.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Milliseconds until its answer.
    #[serde(default)]
    pub response_time: u64,
    /// The servers that it has routes to.
    #[serde(default)]
    pub routes: Vec<String>,
    /// What its configuration has of routes.
    #[serde(default)]
    pub cluster_urls: Vec<String>,
    /// It is there, and says nothing.
    #[serde(default)]
    pub silent: bool,
}

/// Tables that were made, each with its attributes, of which the first is the key.
type Created = BTreeMap<TableName, Vec<String>>;

/// Revisions and values, by table and key.
type Records = BTreeMap<(TableName, String), (u64, Value)>;

/// A node in such a cluster. Clones are the same node.
#[derive(Clone)]
pub struct FakeNode {
    cluster: Arc<Cluster>,
    records: Arc<Mutex<Records>>,
    created: Arc<Mutex<Created>>,
    calls: Arc<Mutex<Vec<Value>>>,
}

impl FakeNode {
    /// The node of a cluster like this.
    pub fn new(cluster: Cluster) -> Self {
        let record = |node: &Value| {
            let table = TableName { database: "system".into(), table: "hdb_nodes".into() };
            let key = node["name"].as_str().unwrap_or_default().to_owned();
            ((table, key), (1, node.clone()))
        };
        let records = cluster.nodes.iter().map(record).collect();
        Self {
            cluster: Arc::new(cluster),
            records: Arc::new(Mutex::new(records)),
            created: Arc::default(),
            calls: Arc::default(),
        }
    }

    /// A host that is this node.
    pub fn give_to(&self, builder: HostBuilder) -> HostBuilder {
        let builder = builder.node(self.clone()).nats(self.clone());
        builder.jetstream(self.clone()).tables(self.clone()).replication(self.clone())
    }

    /// What was asked of the network, the streams and the tables so far: each with the name of the
    /// function, and MessagePack as JSON.
    pub fn calls(&self) -> Vec<Value> {
        lock(&self.calls).clone()
    }

    /// A record as it stands now.
    pub fn record(&self, database: &str, table: &str, key: &str) -> Option<Value> {
        let table = TableName { database: database.into(), table: table.into() };
        lock(&self.records).get(&(table, key.into())).map(|(_, record)| record.clone())
    }

    fn note(&self, function: &str, mut arguments: Value) {
        hide_changes(&mut arguments);
        lock(&self.calls).push(json!({ function: arguments }));
    }

    fn own_server(&self) -> Result<(), NatsError> {
        match &self.cluster.unavailable {
            _ if self.cluster.off => Err(NatsError::NotEnabled),
            Some(why) => Err(NatsError::Unavailable(why.clone())),
            None => Ok(()),
        }
    }

    fn exists(&self, table: &TableName) -> Result<(), TablesError> {
        let name = name(table);
        let system = ["system.hdb_nodes", "system.hdb_intents"];
        if system.contains(&&*name) || self.attributes(table).is_some() {
            return Ok(());
        }
        Err(TablesError::NotFound(format!("Table '{name}' does not exist")))
    }
}

impl FakeNode {
    /// A table's attributes, of which the first is the key; none of one that is not there.
    fn attributes(&self, table: &TableName) -> Option<Vec<String>> {
        let created = lock(&self.created).get(table).cloned();
        created.or_else(|| self.cluster.tables.get(&name(table)).cloned())
    }
}

/// The names that a node gives to its changes are others each time.
fn hide_changes(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(name) if key == "change" || key == "part_of" => {
                        *name = "<change>".into();
                    }
                    value => hide_changes(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_changes),
        _ => {}
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

impl Node for FakeNode {
    fn info(&self) -> NodeInfo {
        let timeout = Some(self.cluster.status_timeout).filter(|timeout| *timeout > 0);
        NodeInfo {
            name: self.cluster.node_name.clone(),
            clustering: !self.cluster.off,
            ports: Ports { clustering: Some(9932), operations_api: Some(9925) },
            uptime: Duration::from_secs(self.cluster.uptime),
            boot: 1,
            system_info: SystemInfo {
                hdb_version: "1.2.3".into(),
                node_version: "0.0.0".into(),
                platform: "linux".into(),
            },
            status_timeout: Duration::from_millis(timeout.unwrap_or(5000)),
        }
    }
}

impl Nats for FakeNode {
    fn request(
        &self,
        subject: String,
        payload: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, NatsError>> {
        let request = harper_wire::decode(&payload, &harper_wire::Limits::default());
        let request = request.map_or(Value::Null, harper_wire::Value::into_json);
        self.note(
            "nats.request",
            json!({ "subject": subject, "payload": &request, "timeout": milliseconds(timeout) }),
        );
        Box::pin(async move {
            self.own_server()?;
            let name = subject.strip_suffix(".__request__").unwrap_or(&subject);
            let Some(peer) = self.cluster.peers.get(name) else {
                return Err(NatsError::NoResponders);
            };
            if peer.silent {
                tokio::time::sleep(timeout).await;
                return Err(NatsError::Timeout);
            }
            tokio::time::sleep(Duration::from_millis(peer.after)).await;
            let operation = request["operation"].as_str().unwrap_or_default();
            let reply = peer.replies.get(operation).or(peer.reply.as_ref());
            Ok(match (&peer.bytes, reply) {
                (Some(bytes), _) => bytes.clone(),
                (None, Some(reply)) => harper_wire::encode(&reply.into()),
                (None, None) => Vec::new(),
            })
        })
    }

    fn servers(&self, timeout: Duration) -> BoxFuture<'_, Result<Vec<ServerInfo>, NatsError>> {
        self.note("nats.servers", json!({ "timeout": milliseconds(timeout) }));
        Box::pin(async move {
            self.own_server()?;
            let (silent, answering): (Vec<_>, Vec<_>) =
                self.cluster.servers.iter().cloned().partition(|server| server.silent);
            if !silent.is_empty() {
                tokio::time::sleep(timeout).await;
            }
            let server = |server: Server| ServerInfo {
                name: server.name,
                response_time: Duration::from_millis(server.response_time),
                routes: server.routes,
                cluster_urls: server.cluster_urls,
            };
            Ok(answering.into_iter().map(server).collect())
        })
    }
}

impl JetStream for FakeNode {
    fn inspect(
        &self,
        domain: String,
        stream: String,
        _: Duration,
    ) -> BoxFuture<'_, Result<StreamInfo, JetStreamError>> {
        self.note("jetstream.inspect", json!({ "domain": domain, "stream": stream }));
        Box::pin(async move {
            let messages = self.cluster.streams.get(&format!("{domain}/{stream}"));
            let messages = *messages.ok_or(JetStreamError::NotFound)?;
            Ok(StreamInfo {
                messages,
                bytes: messages * 100,
                first_sequence: 1,
                last_sequence: messages,
                created: "2026-01-01T00:00:00.000000001Z".into(),
            })
        })
    }

    fn purge(
        &self,
        domain: String,
        stream: String,
        extent: Extent,
        _: Duration,
    ) -> BoxFuture<'_, Result<u64, JetStreamError>> {
        let shown = format!("{extent:?}");
        let arguments = json!({ "domain": domain, "stream": stream, "extent": shown });
        self.note("jetstream.purge", arguments);
        Box::pin(async move {
            let messages = self.cluster.streams.get(&format!("{domain}/{stream}"));
            let messages = *messages.ok_or(JetStreamError::NotFound)?;
            Ok(match extent {
                Extent::All => messages,
                Extent::Keep(kept) => messages.saturating_sub(kept),
                Extent::Before(sequence) => messages.min(sequence.saturating_sub(1)),
            })
        })
    }
}

impl Tables for FakeNode {
    fn get(
        &self,
        table: TableName,
        key: String,
    ) -> BoxFuture<'_, Result<Option<Row>, TablesError>> {
        self.note("tables.get", json!({ "table": name(&table), "key": key }));
        Box::pin(async move {
            self.exists(&table)?;
            let row = |(revision, record): &(u64, Value)| Row {
                key: key.clone(),
                revision: revision.to_string(),
                record: record.to_string(),
            };
            Ok(lock(&self.records).get(&(table, key.clone())).map(row))
        })
    }

    /// Pages of two.
    fn list(
        &self,
        table: TableName,
        after: Option<String>,
    ) -> BoxFuture<'_, Result<Page, TablesError>> {
        self.note("tables.list", json!({ "table": name(&table), "after": after }));
        Box::pin(async move {
            self.exists(&table)?;
            let records = lock(&self.records);
            let rows = records.iter().filter(|((of, key), _)| {
                *of == table && after.as_ref().is_none_or(|after| key > after)
            });
            let row = |((_, key), (revision, record)): (&(TableName, String), &(u64, Value))| Row {
                key: key.clone(),
                revision: revision.to_string(),
                record: record.to_string(),
            };
            let mut rows: Vec<_> = rows.map(row).take(3).collect();
            let more = rows.len() > 2;
            rows.truncate(2);
            let next = rows.last().filter(|_| more).map(|row| row.key.clone());
            Ok(Page { rows, next })
        })
    }

    fn put(
        &self,
        table: TableName,
        key: String,
        record: Value,
        expected: Option<String>,
    ) -> BoxFuture<'_, Result<String, TablesError>> {
        let at = name(&table);
        let arguments = json!({ "table": at, "key": key, "record": record, "expected": expected });
        self.note("tables.put", arguments);
        Box::pin(async move {
            self.exists(&table)?;
            let mut records = lock(&self.records);
            let now = records.get(&(table.clone(), key.clone())).map(|(revision, _)| *revision);
            if now.map(|now| now.to_string()) != expected {
                return Err(TablesError::Conflict);
            }
            let revision = now.unwrap_or(0) + 1;
            records.insert((table, key), (revision, record));
            Ok(revision.to_string())
        })
    }

    fn delete(
        &self,
        table: TableName,
        key: String,
        expected: String,
    ) -> BoxFuture<'_, Result<(), TablesError>> {
        let arguments = json!({ "table": name(&table), "key": key, "expected": expected });
        self.note("tables.delete", arguments);
        Box::pin(async move {
            self.exists(&table)?;
            let mut records = lock(&self.records);
            let at = (table, key);
            if records.get(&at).is_none_or(|(now, _)| now.to_string() != expected) {
                return Err(TablesError::Conflict);
            }
            records.remove(&at);
            Ok(())
        })
    }

    fn create(&self, table: TableInfo) -> BoxFuture<'_, Result<(), TablesError>> {
        let TableInfo { name: table, hash_attribute, attributes } = table;
        let arguments = json!({
            "table": name(&table), "hash_attribute": hash_attribute, "attributes": attributes,
        });
        self.note("tables.create", arguments);
        Box::pin(async move {
            let mut all = self.attributes(&table).unwrap_or_else(|| vec![hash_attribute.clone()]);
            if all.first() != Some(&hash_attribute) {
                let text = format!("Table '{}' has another hash attribute", name(&table));
                return Err(TablesError::ExistsOtherwise(text));
            }
            let missing = attributes.into_iter().filter(|one| !all.contains(one));
            let missing: Vec<_> = missing.collect();
            all.extend(missing);
            lock(&self.created).insert(table, all);
            Ok(())
        })
    }

    fn describe(&self) -> BoxFuture<'_, Result<Vec<TableInfo>, TablesError>> {
        self.note("tables.describe", json!({}));
        let name = |name: &String| {
            let (database, table) = name.split_once('.').unwrap_or_default();
            TableName { database: database.into(), table: table.into() }
        };
        let mut all: Created =
            self.cluster.tables.iter().map(|(at, list)| (name(at), list.clone())).collect();
        all.extend(lock(&self.created).clone());
        let table = |(name, attributes): (TableName, Vec<String>)| TableInfo {
            name,
            hash_attribute: attributes.first().cloned().unwrap_or_default(),
            attributes,
        };
        let mut tables: Vec<_> = all.into_iter().map(table).collect();
        // A host that forgets to leave it out.
        tables.push(TableInfo {
            name: TableName { database: "system".into(), table: "hdb_user".into() },
            hash_attribute: "username".into(),
            attributes: vec!["username".into(), "password".into()],
        });
        Box::pin(std::future::ready(Ok(tables)))
    }
}

impl Replication for FakeNode {
    fn ensure_streams(
        &self,
        tables: Vec<TableName>,
        _: Duration,
    ) -> BoxFuture<'_, Result<Held, ReplicationError>> {
        let tables: Vec<_> = tables.iter().map(name).collect();
        self.note("replication.ensure-streams", json!({ "tables": tables }));
        Box::pin(async { self.replicates().map(|()| Box::new(()) as Held) })
    }

    fn settle(&self, node: String, _: Duration) -> BoxFuture<'_, Result<(), ReplicationError>> {
        self.note("replication.settle", json!({ "node": node }));
        Box::pin(async { self.replicates() })
    }
}

impl FakeNode {
    fn replicates(&self) -> Result<(), ReplicationError> {
        match &self.cluster.unavailable {
            _ if self.cluster.off => Err(ReplicationError::NotEnabled),
            Some(why) => Err(ReplicationError::Unavailable(why.clone())),
            None => Ok(()),
        }
    }
}

fn name(table: &TableName) -> String {
    format!("{}.{}", table.database, table.table)
}
