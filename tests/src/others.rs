//! Other nodes that are not there: whatever they are asked, they answer after the time that a network
//! takes, and say that it is done. For what many nodes cost a node itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use harper_host::config;
use harper_host::data::{Data, DataConfig};
use harper_host::store::Store;
use harper_host::{
    BoxFuture, Caller, Error, Extent, Held, Host, JetStream, JetStreamError, Nats, NatsError,
    Replication, ReplicationError, ServerInfo, StreamInfo, TableName, ThisNode,
};
use serde_json::{Value, json};

/// The other nodes. Clones are the same.
#[derive(Clone)]
pub struct Others {
    delay: Duration,
    asked: Arc<AtomicUsize>,
}

/// A node with its records and tables, and such others.
pub struct NodeAmongOthers {
    /// Performs operations.
    pub host: Host,
    /// Its records.
    pub store: Store,
    /// Whom it asks.
    pub others: Others,
}

impl Others {
    /// Who answer after this time.
    pub fn after(delay: Duration) -> Self {
        Self { delay, asked: Arc::default() }
    }

    /// How many requests they have got.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl NodeAmongOthers {
    /// A node that keeps what it has in this folder.
    pub async fn start(folder: &std::path::Path, others: Others) -> Result<Self> {
        let file = folder.join(config::FILE_NAME);
        std::fs::write(file, "clustering:\n  enabled: true\n  nodeName: this\n")?;
        let store = Store::open(folder).await?;
        let of_node = DataConfig { node_name: Some("this".into()), ..DataConfig::default() };
        let data = Data::open(store.clone(), of_node).await?;
        let host = Host::builder()
            .root_path(folder)
            .node(ThisNode::clustered("this", 9932))
            .nats(others.clone())
            .jetstream(others.clone())
            .replication(others.clone())
            .tables(data.clone())
            .data(data)
            .build()
            .await?;
        Ok(Self { host, store, others })
    }

    /// Sends a request as a super_user.
    pub async fn send(&self, request: Value) -> Result<Value, Error> {
        self.host.dispatch(&Caller::super_user("admin"), request).await
    }

    /// Gives it so many tables, `dev.t0` and so on.
    pub async fn make_tables(&self, tables: usize) -> Result<()> {
        for n in 0..tables {
            let request = json!({
                "operation": "create_table",
                "database": "dev",
                "table": format!("t{n}"),
                "primary_key": "id",
            });
            self.send(request).await?;
        }
        Ok(())
    }

    /// Gives it a record of each of so many nodes, as operations leave them.
    pub async fn remember(&self, nodes: usize, subscriptions: usize) -> Result<()> {
        for n in 0..nodes {
            let name = name(n);
            let mut listed = subscriptions_of(subscriptions);
            for one in listed.as_array_mut().into_iter().flatten() {
                one["from"] = json!({ "created": CREATED, "sequence": 7 });
            }
            let record = json!({
                "name": name,
                "subscriptions": listed,
                "system_info": { "hdb_version": "4.4.0", "node_version": "v20.0.0", "platform": "linux x64" },
            });
            let put = self.store.put_node(&name, record, None).await?;
            ensure!(put.is_ok(), "{name} is there already");
        }
        Ok(())
    }
}

/// The name of one of many nodes.
pub fn name(n: usize) -> String {
    format!("node-{n:04}")
}

/// So many subscriptions of a request, both ways.
pub fn subscriptions_of(tables: usize) -> Value {
    let one = |n| json!({ "schema": "dev", "table": format!("t{n}"), "publish": true, "subscribe": true });
    (0..tables).map(one).collect()
}

const CREATED: &str = "2026-01-01T00:00:00.000000001Z";

/// Within so many bytes a request says which operation it is.
const LONGEST_HEAD: usize = 40;

impl Nats for Others {
    fn request(
        &self,
        _: String,
        payload: Vec<u8>,
        _: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, NatsError>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(self.delay).await;
            // Without decoding it all: what others do with it is not this node's cost.
            let asks = |operation: &[u8]| {
                payload.windows(operation.len()).take(LONGEST_HEAD).any(|some| some == operation)
            };
            let message = if asks(b"describe_all") {
                json!({})
            } else if asks(b"cluster_status") {
                json!({
                    "uptime": "30d 1h 18m 8s",
                    "ports": { "clustering": 9932, "operations_api": 9925 },
                })
            } else {
                "It is done".into()
            };
            let reply = json!({ "status": "success", "message": message });
            Ok(harper_wire::encode(&reply.into()))
        })
    }

    fn servers(&self, _: Duration) -> BoxFuture<'_, Result<Vec<ServerInfo>, NatsError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl JetStream for Others {
    fn inspect(
        &self,
        _: String,
        _: String,
        _: Duration,
    ) -> BoxFuture<'_, Result<StreamInfo, JetStreamError>> {
        Box::pin(async {
            tokio::time::sleep(self.delay).await;
            Ok(StreamInfo {
                messages: 7,
                bytes: 700,
                first_sequence: 1,
                last_sequence: 7,
                created: CREATED.into(),
            })
        })
    }

    fn purge(
        &self,
        _: String,
        _: String,
        _: Extent,
        _: Duration,
    ) -> BoxFuture<'_, Result<u64, JetStreamError>> {
        Box::pin(async {
            tokio::time::sleep(self.delay).await;
            Ok(7)
        })
    }
}

impl Replication for Others {
    fn ensure_streams(
        &self,
        _: Vec<TableName>,
        _: Duration,
    ) -> BoxFuture<'_, Result<Held, ReplicationError>> {
        Box::pin(async {
            tokio::time::sleep(self.delay).await;
            Ok(Box::new(()) as Held)
        })
    }

    fn settle(&self, _: String, _: Duration) -> BoxFuture<'_, Result<(), ReplicationError>> {
        Box::pin(async {
            tokio::time::sleep(self.delay).await;
            Ok(())
        })
    }
}
