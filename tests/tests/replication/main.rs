//! The reconciler on real servers: streams and durable consumers come and go with the records of
//! nodes, whatever happens to the nodes meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod away;
mod durables;
mod killed;
mod many;
mod settle;
mod streams;

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::{consumer, stream};
use futures_util::TryStreamExt;
use harper_host::nats::{Nats, ServerKind};
use harper_host::replication::{Reconciler, Replicator, StreamLimits};
use harper_host::store::Store;
use harper_host::{Held, Replication, ReplicationError, TableName};
use harper_tests::nats::{Authority, Cluster, NatsNode, eventually, pid};
use harper_wire::names;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Nothing that is there takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Servers, records, and what makes the ones match the others.
struct Node {
    store: Store,
    replicator: Replicator,
    reconciler: Reconciler,
    servers: NatsNode,
}

impl Node {
    async fn on(servers: NatsNode, limits: StreamLimits) -> Self {
        let store = Store::open(servers.folder()).await.unwrap();
        let started = Reconciler::start(store.clone(), servers.nats.clone(), limits).await;
        let (reconciler, replicator) = started.unwrap();
        Self { store, replicator, reconciler, servers }
    }

    /// The same node with another reconciler, which knows no more than what is written.
    async fn again(self, limits: StreamLimits) -> Self {
        let Self { store, replicator, reconciler, servers } = self;
        drop((store, replicator, reconciler));
        // The task that was told to end has the database until it does.
        let mut store = Store::open(servers.folder()).await;
        let end = tokio::time::Instant::now() + PATIENCE;
        while store.is_err() && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
            store = Store::open(servers.folder()).await;
        }
        drop(store.unwrap());
        Self::on(servers, limits).await
    }

    fn name(&self) -> &str {
        self.servers.nats.node_name()
    }

    /// Makes this its record of a node.
    async fn put(&self, node: &str, subscriptions: Value) {
        let record = json!({ "name": node, "subscriptions": subscriptions });
        let now = self.store.node(node).await.unwrap().map(|record| record.revision);
        self.store.put_node(node, record, now).await.unwrap().unwrap();
    }

    async fn remove(&self, node: &str) {
        let now = self.store.node(node).await.unwrap().unwrap().revision;
        self.store.remove_node(node, now).await.unwrap().unwrap();
    }

    async fn settle(&self, node: &str) -> Result<(), ReplicationError> {
        self.replicator.settle(node.into(), PATIENCE).await
    }

    async fn ensure(&self, tables: &[&str]) -> Result<Held, ReplicationError> {
        let tables = tables.iter().map(|name| table(name)).collect();
        self.replicator.ensure_streams(tables, PATIENCE).await
    }

    /// Its streams, by the only subject that each has.
    async fn streams(&self) -> BTreeMap<String, stream::Config> {
        let context = self.servers.nats.jetstream(&names::domain(self.name()));
        let streams: Vec<stream::Info> = context.streams().try_collect().await.unwrap();
        streams.into_iter().map(|info| (info.config.subjects[0].clone(), info.config)).collect()
    }

    /// The subjects of its streams.
    async fn subjects(&self) -> Vec<String> {
        self.streams().await.into_keys().collect()
    }

    /// Publishes a message of a table of its own.
    async fn publish(&self, of: &str) {
        let TableName { database, table } = table(of);
        let context = self.servers.nats.jetstream(&names::domain(self.name()));
        let subject = names::subject(&database, &table, self.name());
        context.publish(subject, "x".into()).await.unwrap().await.unwrap();
    }

    /// When the stream of a table was made, as its server writes it.
    async fn created(&self, of: &str) -> String {
        use harper_host::JetStream;
        let TableName { database, table } = table(of);
        let (domain, stream) = (names::domain(self.name()), names::stream(&database, &table));
        let nats: &dyn JetStream = &self.servers.nats;
        nats.inspect(domain, stream, PATIENCE).await.unwrap().created
    }

    fn signal(&self, signal: Signal) {
        for server in [ServerKind::Hub, ServerKind::Leaf] {
            let pid = pid(&self.servers.nats, server).unwrap();
            kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
        }
    }
}

/// Nodes that are joined.
struct Joined {
    nodes: Vec<Node>,
    /// Its files are read when a server is started again.
    _authority: Authority,
}

async fn nodes(n: usize) -> Joined {
    let mut nodes = Vec::new();
    let cluster = Cluster::of(n).await.unwrap();
    for (from, to) in
        cluster.nodes.iter().flat_map(|from| cluster.nodes.iter().map(move |to| (from, to)))
    {
        let subject = format!("$JS.{}.API.INFO", names::domain(to.nats.node_name()));
        eventually("each leaf is reached from each", async || {
            let second = Duration::from_secs(1);
            from.nats.request(&subject, Vec::new().into(), second).await.is_ok()
        })
        .await
        .unwrap();
    }
    for servers in cluster.nodes {
        nodes.push(Node::on(servers, StreamLimits::default()).await);
    }
    Joined { nodes, _authority: cluster.authority }
}

/// `database.table` as a name.
fn table(name: &str) -> TableName {
    let (database, table) = name.split_once('.').unwrap();
    TableName { database: database.into(), table: table.into() }
}

/// A subscription to `database.table`, which may say more.
fn subscription(name: &str, publish: bool, subscribe: bool, more: Value) -> Value {
    let TableName { database, table } = table(name);
    let mut subscription = json!({
        "schema": database, "table": table, "publish": publish, "subscribe": subscribe,
    });
    subscription.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    subscription
}

fn publishes(tables: &[&str]) -> Value {
    tables.iter().map(|table| subscription(table, true, false, json!({}))).collect()
}

fn subscribes(tables: &[&str]) -> Value {
    let from = json!({ "from": { "sequence": 0 } });
    tables.iter().map(|table| subscription(table, false, true, from.clone())).collect()
}

/// The durables on the stream of a table of a node; none where there is no such stream.
async fn durables(asker: &Nats, node: &str, of: &str) -> BTreeMap<String, consumer::Config> {
    let TableName { database, table } = table(of);
    let context = asker.jetstream(&names::domain(node));
    let stream = names::stream(&database, &table);
    let Ok(stream) = context.get_stream(stream).await else { return BTreeMap::new() };
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        // While one is being deleted, nats-server lists what is no list.
        let listed: Result<Vec<consumer::Info>, _> = stream.consumers().try_collect().await;
        match listed {
            Ok(found) => return found.into_iter().map(|info| (info.name, info.config)).collect(),
            Err(error) => assert!(tokio::time::Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the durables on a table's stream have these names.
async fn durables_become(asker: &Nats, node: &str, of: &str, expected: &[&str]) {
    eventually(&format!("{expected:?} on {of} of {node}"), async || {
        durables(asker, node, of).await.into_keys().eq(expected.iter().copied())
    })
    .await
    .unwrap();
}
