//! A node that is not there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Cluster, MemoryConfig, Time};
use crate::capabilities::{
    Grants, NatsError, Node, NodeInfo, Ports, SystemInfo, TableName, TablesError,
};
use crate::host::{BuildError, Host, HostBuilder};
use crate::runtime::{ComponentSource, Limits};

/// Tables that were made, each with its attributes, of which the first is the key.
pub(super) type Created = BTreeMap<TableName, Vec<String>>;

/// Revisions and values, by table and key.
pub(super) type Records = BTreeMap<(TableName, String), (u64, Value)>;

/// A node in a [`Cluster`]. Clones are the same node.
#[derive(Clone)]
pub struct FakeNode {
    pub(super) cluster: Arc<Cluster>,
    pub(super) config: MemoryConfig,
    pub(super) time: Time,
    pub(super) records: Arc<Mutex<Records>>,
    pub(super) created: Arc<Mutex<Created>>,
    /// How often each peer was asked.
    pub(super) asked: Arc<Mutex<BTreeMap<String, u64>>>,
    calls: Arc<Mutex<Vec<Value>>>,
}

impl FakeNode {
    /// The node of a cluster like this.
    pub fn new(cluster: Cluster) -> Self {
        let time = match cluster.now {
            0 => Time::default(),
            now => Time::starting_at(now),
        };
        let of_nodes = cluster.nodes.iter().map(|node| {
            let key = node["name"].as_str().unwrap_or_default().to_owned();
            ((parsed("system.hdb_nodes"), key), (1, node.clone()))
        });
        let of_tables = cluster.records.iter().flat_map(|(table, records)| {
            let attribute = cluster.tables.get(table).and_then(|all| all.first());
            let attribute = attribute.cloned().unwrap_or_default();
            records.iter().map(move |record| {
                let key = match &record[&attribute] {
                    Value::String(key) => key.clone(),
                    other => other.to_string(),
                };
                ((parsed(table), key), (1, record.clone()))
            })
        });
        Self {
            records: Arc::new(Mutex::new(of_nodes.chain(of_tables).collect())),
            config: MemoryConfig::new(cluster.config.clone()),
            time,
            created: Arc::default(),
            asked: Arc::default(),
            calls: Arc::default(),
            cluster: Arc::new(cluster),
        }
    }

    /// The same node, on which time passes as the machine's does.
    pub fn in_real_time(self) -> Self {
        Self { time: self.time.clone().real(), ..self }
    }

    /// A host of this node with a plugin in it, besides the clustering one.
    ///
    /// # Errors
    ///
    /// As those of [`HostBuilder::build`].
    pub async fn host_with(
        &self,
        name: impl Into<String>,
        component: ComponentSource,
        grants: Grants,
        limits: Limits,
    ) -> Result<Host, BuildError> {
        let builder = Host::builder().config(self.config.clone());
        self.give_to(builder).plugin(name, component, grants, limits).build().await
    }

    /// A host that is this node, but for its configuration.
    pub fn give_to(&self, builder: HostBuilder) -> HostBuilder {
        let builder = builder.node(self.clone()).nats(self.clone()).clock(self.time.clone());
        builder.jetstream(self.clone()).tables(self.clone()).replication(self.clone())
    }

    /// Its clock.
    pub fn time(&self) -> &Time {
        &self.time
    }

    /// Its configuration.
    pub fn config(&self) -> &MemoryConfig {
        &self.config
    }

    /// The records of a table as they stand now, in the order of their keys.
    pub fn rows(&self, database: &str, table: &str) -> Vec<Value> {
        let table = TableName { database: database.into(), table: table.into() };
        let records = lock(&self.records);
        let of_table = records.iter().filter(|((of, _), _)| *of == table);
        of_table.map(|(_, (_, record))| record.clone()).collect()
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

    pub(super) fn note(&self, function: &str, arguments: Value) {
        lock(&self.calls).push(json!({ function: arguments }));
    }

    pub(super) fn own_server(&self) -> Result<(), NatsError> {
        match &self.cluster.unavailable {
            _ if self.cluster.off => Err(NatsError::NotEnabled),
            Some(why) => Err(NatsError::Unavailable(why.clone())),
            None => Ok(()),
        }
    }

    pub(super) fn exists(&self, table: &TableName) -> Result<(), TablesError> {
        let name = table.to_string();
        let system = ["system.hdb_nodes", "system.hdb_intents"];
        if system.contains(&&*name) || self.attributes(table).is_some() {
            return Ok(());
        }
        Err(TablesError::NotFound(format!("Table '{name}' does not exist")))
    }

    /// A table's attributes, of which the first is the key; none of one that is not there.
    pub(super) fn attributes(&self, table: &TableName) -> Option<Vec<String>> {
        let created = lock(&self.created).get(table).cloned();
        created.or_else(|| self.cluster.tables.get(&table.to_string()).cloned())
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Node for FakeNode {
    fn info(&self) -> NodeInfo {
        let timeout = Some(self.cluster.status_timeout).filter(|timeout| *timeout > 0);
        NodeInfo {
            name: self.cluster.node_name.clone(),
            clustering: !self.cluster.off,
            ports: Ports { clustering: Some(9932), operations_api: Some(9925) },
            uptime: Duration::from_secs(self.cluster.uptime) + self.time.passed(),
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

/// A table's name of `database.table`.
pub(super) fn parsed(name: &str) -> TableName {
    let (database, table) = name.split_once('.').unwrap_or_default();
    TableName { database: database.into(), table: table.into() }
}
