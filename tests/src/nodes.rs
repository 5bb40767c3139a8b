//! Whole nodes in this process: hosts on nats-servers of their own, routed to each other by the
//! operation itself. All of it is gone when they are dropped.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::{join_all, try_join_all};
use harper_host::config::{self, ConfigFile};
use harper_host::data::{Data, DataConfig};
use harper_host::figures::Figures;
use harper_host::flow::{DeadLetters, Flow, FlowConfig};
use harper_host::live_routes::{LiveRoutes, Routes};
use harper_host::peers::Peers;
use harper_host::recovery::Recovery;
use harper_host::replication::{Reconciler, Replicator, StreamLimits};
use harper_host::store::Store;
use harper_host::{Caller, Error, Host, ThisNode};
use serde_json::{Value, json};

use harper_host::nats::Route;

use crate::nats::{Authority, NatsNode, eventually};

/// A node, which answers others and follows its configuration file.
pub struct ClusterNode {
    /// Performs operations.
    pub host: Host,
    /// Its records.
    pub store: Store,
    /// Its servers, and the folder that everything is in.
    pub servers: NatsNode,
    /// Its tables.
    pub data: Data,
    /// What its streams and durable consumers are asked of.
    pub replicator: Replicator,
    figures: Arc<Figures>,
    flow: Option<Flow>,
    _peers: Peers,
    _recovery: Recovery,
    _reconciler: Reconciler,
    _routes: LiveRoutes,
}

/// What a test may want otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// How long `cluster_status` waits for one node.
    pub status_timeout: Duration,
    /// What the streams of its tables keep.
    pub streams: StreamLimits,
    /// How rows flow; none where they do not.
    pub flow: Option<FlowConfig>,
}

impl Default for Wanted {
    fn default() -> Self {
        let streams = StreamLimits::default();
        Self { status_timeout: Duration::from_secs(5), streams, flow: None }
    }
}

impl ClusterNode {
    async fn start(authority: &Authority, name: &str, wanted: Wanted) -> Result<Self> {
        Self::on(NatsNode::start(authority, name, |_| {}).await?, wanted).await
    }

    /// The node on these servers, with what its folder has of it already.
    pub async fn on(servers: NatsNode, wanted: Wanted) -> Result<Self> {
        let (folder, name) = (servers.folder(), servers.nats.node_name());
        let file = folder.join(config::FILE_NAME);
        if !file.exists() {
            let mut text = format!("clustering:\n  enabled: true\n  nodeName: {name}\n");
            if !servers.config.hub_routes.is_empty() {
                let routes: Vec<_> = servers.config.hub_routes.iter().map(shown).collect();
                let routes = Value::from(routes);
                text += &format!(
                    "  hubServer:\n    cluster:\n      network:\n        routes: {routes}\n"
                );
            }
            std::fs::write(&file, text)?;
        }
        let file = ConfigFile::open(file)?;
        let store = Store::open(folder).await?;
        let of_node = DataConfig { node_name: Some(name.into()), ..DataConfig::default() };
        let data = Data::open(store.clone(), of_node).await?;
        let nats = servers.nats.clone();
        let (reconciler, replicator) =
            Reconciler::start(store.clone(), nats.clone(), wanted.streams).await?;
        let figures = Arc::new(Figures::new());
        let node = ThisNode::clustered(name, nats.ports().hub_cluster)
            .with_status_timeout(wanted.status_timeout);
        let republish = wanted.flow.is_some_and(|flow| flow.republish);
        let letters = DeadLetters::new(store.clone(), data.clone(), name, republish);
        let host = Host::builder()
            .root_path(folder)
            .config_file(file.clone())
            .node(node)
            .servers(nats.clone())
            .replicator(replicator.clone())
            .tables(data.clone())
            .data(data.clone())
            .figures(figures.clone())
            .dead_letters(letters)
            .build()
            .await?;
        let peers = Peers::answer(nats.client(), name, host.clone()).await?;
        let start = |config| {
            let (store, data) = (store.clone(), data.clone());
            Flow::start(store, data, nats.clone(), replicator.clone(), figures.clone(), config)
        };
        let flow = wanted.flow.map(start).transpose()?;
        let routes = Routes {
            hub: servers.config.hub_routes.clone(),
            leaf: servers.config.leaf_routes.clone(),
        };
        let routes = LiveRoutes::watch(file, routes, nats);
        Ok(Self {
            figures,
            flow,
            _peers: peers,
            _recovery: Recovery::start(host.clone()),
            _reconciler: reconciler,
            _routes: routes,
            host,
            store,
            data,
            servers,
            replicator,
        })
    }

    /// Ends the flow of rows, as a node that stops does, or as one that is killed.
    pub async fn stop_flow(&mut self, at_once: bool) {
        if let Some(flow) = self.flow.take() {
            if at_once { drop(flow) } else { flow.stop().await }
        }
    }

    /// Lets rows flow again.
    pub fn start_flow(&mut self, config: FlowConfig) -> Result<()> {
        let (store, data) = (self.store.clone(), self.data.clone());
        let (nats, replicator) = (self.servers.nats.clone(), self.replicator.clone());
        let figures = self.figures.clone();
        self.flow = Some(Flow::start(store, data, nats, replicator, figures, config)?);
        Ok(())
    }

    /// All of it but its servers ends; its tasks may take a moment.
    pub fn end(self) -> NatsNode {
        self.servers
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.servers.nats.node_name()
    }

    /// Its configuration file.
    pub fn config_file(&self) -> std::path::PathBuf {
        self.servers.folder().join(config::FILE_NAME)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.servers.folder()
    }

    /// Sends a request as a super_user.
    pub async fn send(&self, request: Value) -> Result<Value, Error> {
        self.host.dispatch(&Caller::super_user("admin"), request).await
    }

    /// Its record of another node, as `add_node` leaves it.
    pub async fn remember(&self, name: &str, subscriptions: Value) -> Result<()> {
        let record = json!({ "name": name, "subscriptions": subscriptions });
        ensure!(self.store.put_node(name, record, None).await?.is_ok(), "{name} is there already");
        Ok(())
    }
}

/// A route, as requests and the configuration have it.
fn shown(route: &Route) -> Value {
    json!({ "host": route.host, "port": route.port })
}

/// Nodes that are joined with each other.
pub struct Nodes {
    /// Named `node-1` and so on.
    pub nodes: Vec<ClusterNode>,
    /// Who vouches for them.
    pub authority: Authority,
}

impl Nodes {
    /// Starts so many nodes at the same time, sends each the others' routes, and waits until each
    /// knows of all.
    pub async fn of(n: usize) -> Result<Self> {
        Self::with(n, Wanted::default()).await
    }

    /// The same, for a test that wants something otherwise.
    pub async fn with(n: usize, wanted: Wanted) -> Result<Self> {
        let authority = Authority::new()?;
        let start = async |i: usize| {
            ClusterNode::start(&authority, &format!("node-{}", i + 1), wanted).await
        };
        let nodes = try_join_all((0..n).map(start)).await?;
        let nodes = Self { nodes, authority };
        for (i, node) in nodes.nodes.iter().enumerate() {
            let routes = nodes.routes_to_others(i);
            if routes.as_array().is_some_and(|routes| !routes.is_empty()) {
                node.send(json!({
                    "operation": "cluster_set_routes",
                    "server": "hub",
                    "routes": routes,
                }))
                .await?;
                // One after the other: of hubs that are restarted at the same moment nats-server 2.9
                // leaves two apart now and then, for good.
                eventually("the hub has its list", async || {
                    let found = node.servers.nats.servers(Duration::from_secs(5)).await;
                    found.is_ok_and(|found| {
                        found.hubs.iter().any(|hub| {
                            hub.name.trim_end_matches("-hub") == node.name()
                                && hub.cluster_urls.len() == n - 1
                        })
                    })
                })
                .await?;
            }
        }
        nodes.joined().await?;
        Ok(nodes)
    }

    /// Routes to the hubs of all nodes but the one at this index, as requests have them.
    pub fn routes_to_others(&self, index: usize) -> Value {
        let others = self.nodes.iter().enumerate().filter(|(i, _)| *i != index);
        others.map(|(_, node)| shown(&node.servers.route())).collect()
    }

    /// Waits until each node knows of all others, and each leaf can be asked from each.
    pub async fn joined(&self) -> Result<()> {
        for node in &self.nodes {
            for other in &self.nodes {
                let domain = format!("$JS.{}-leaf.API.INFO", other.name());
                eventually("each leaf is reached from each", async || {
                    node.servers
                        .nats
                        .request(&domain, Vec::new().into(), Duration::from_secs(1))
                        .await
                        .is_ok()
                })
                .await?;
            }
            eventually("each hub knows of all", async || {
                let found = node.servers.nats.servers(Duration::from_secs(5)).await;
                found.is_ok_and(|found| {
                    found.hubs.len() == self.nodes.len()
                        && found.hubs.iter().all(|hub| {
                            // A hub that has not taken its list over yet is about to be restarted.
                            [hub.routes.len(), hub.cluster_urls.len()] == [self.nodes.len() - 1; 2]
                        })
                })
            })
            .await?;
        }
        Ok(())
    }

    /// Ends all servers in their order.
    pub async fn stop(self) {
        join_all(self.nodes.into_iter().map(|node| node.servers.stop())).await;
    }
}
