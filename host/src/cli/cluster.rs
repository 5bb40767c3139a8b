//! `run`, where clustering is on: the node's servers, and what goes on with them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use harper_host::Host;
use harper_host::config::{Clustering, ConfigFile, Settings};
use harper_host::data::Data;
use harper_host::figures::Figures;
use harper_host::flow::{DeadLetters, Flow, FlowConfig};
use harper_host::keys::{ClusterFiles, GivenPassword, Wanted};
use harper_host::live_routes::{LiveRoutes, Routes};
use harper_host::nats::{Config, Nats, Supervisor, Tls};
use harper_host::peers::Peers;
use harper_host::recovery::Recovery;
use harper_host::replication::{Reconciler, Replicator};
use harper_host::store::Store;
use tokio::task::JoinSet;

/// For the servers to use a renewed certificate, should they refuse at first.
const AGAIN: Duration = Duration::from_secs(60);

/// The two servers, which run.
pub(super) struct Servers {
    supervisor: Supervisor,
    nats: Nats,
    files: ClusterFiles,
    routes: Routes,
    reconciler: Reconciler,
    replicator: Replicator,
    store: Store,
    flow: FlowConfig,
    figures: Arc<Figures>,
}

/// The servers, and what this node does in its cluster.
pub(super) struct Member {
    supervisor: Supervisor,
    flow: Flow,
    _peers: Peers,
    _recovery: Recovery,
    _reconciler: Reconciler,
    _routes: LiveRoutes,
    // Ends its task when it is dropped.
    _certificate: JoinSet<()>,
}

/// The files by which nodes know each other, as the settings want them.
pub(super) fn wanted(root: &Path, clustering: &Clustering) -> Result<Wanted> {
    let mut wanted = Wanted::new(root, clustering.node_name.clone().unwrap_or_default());
    wanted.certificate = clustering.tls.certificate.clone();
    wanted.private_key = clustering.tls.private_key.clone();
    wanted.certificate_authority = clustering.tls.certificate_authority.clone();
    let listens = [clustering.hub_cluster, clustering.hub_leafnodes];
    wanted.hosts = listens.map(|one| one.host.to_string()).to_vec();
    wanted.password = GivenPassword::from_environment()?;
    Ok(wanted)
}

impl Servers {
    /// Starts the servers, if clustering is on.
    pub(super) async fn start(
        root: &Path,
        file: &ConfigFile,
        settings: &Settings,
        store: &Store,
    ) -> Result<Option<Self>> {
        let clustering = &settings.clustering;
        if !clustering.enabled {
            return Ok(None);
        }
        if let Some(wrong) = clustering.contradiction() {
            bail!("{wrong}");
        }
        store.take_name(clustering.node_name.as_deref().unwrap_or_default()).await??;
        let wanted = wanted(root, clustering)?;
        let files = tokio::task::spawn_blocking(|| ClusterFiles::open(wanted)).await??;
        let tls = Tls {
            certificate: files.certificate().into(),
            private_key: files.private_key().into(),
            certificate_authority: files.certificate_authority().into(),
            insecure: clustering.tls.insecure,
            verify: clustering.tls.verify,
        };
        let file = file.clone();
        let document = tokio::task::spawn_blocking(move || file.document()).await??;
        let routes = Routes::read(&document);
        let mut config = Config::new(clustering, root, files.password().clone(), tls)?;
        config.hub_routes = routes.hub.clone();
        config.leaf_routes = routes.leaf.clone();
        let (supervisor, nats) = Supervisor::start(config).await?;
        let limits = (&clustering.streams).into();
        let (reconciler, replicator) =
            Reconciler::start(store.clone(), nats.clone(), limits).await?;
        let (store, flow) = (store.clone(), clustering.into());
        Ok(Some(Self {
            supervisor,
            nats,
            files,
            routes,
            reconciler,
            replicator,
            store,
            flow,
            figures: Arc::new(Figures::new()),
        }))
    }

    pub(super) fn nats(&self) -> &Nats {
        &self.nats
    }

    pub(super) fn replicator(&self) -> &Replicator {
        &self.replicator
    }

    /// What is counted of the rows that come and go.
    pub(super) fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// What came from other nodes and could not be applied.
    pub(super) fn dead_letters(&self, data: &Data) -> DeadLetters {
        let (store, node) = (self.store.clone(), self.nats.node_name());
        DeadLetters::new(store, data.clone(), node, self.flow.republish)
    }

    /// Answers other nodes, lets rows flow, ends what earlier operations have left, and follows the
    /// configuration and the certificates from now on.
    pub(super) async fn join(self, file: ConfigFile, host: Host, data: Data) -> Result<Member> {
        let Self { supervisor, nats, files, routes, reconciler, replicator, store, flow, figures } =
            self;
        let peers = Peers::answer(nats.client(), nats.node_name(), host.clone()).await?;
        let flow = Flow::start(store, data, nats.clone(), replicator, figures, flow)?;
        let mut certificate = JoinSet::new();
        certificate.spawn(keep_certificate_fresh(files, nats.clone()));
        let routes = LiveRoutes::watch(file, routes, nats);
        Ok(Member {
            supervisor,
            flow,
            _peers: peers,
            _recovery: Recovery::start(host),
            _reconciler: reconciler,
            _routes: routes,
            _certificate: certificate,
        })
    }
}

impl Member {
    /// Leaves the cluster: no answers any more, nothing is applied, what is left is published, then
    /// the leaf ends, then the hub.
    pub(super) async fn leave(self) {
        let Self { supervisor, flow, _peers, _recovery, _reconciler, _routes, _certificate } = self;
        flow.stop().await;
        drop((_peers, _recovery, _reconciler, _routes, _certificate));
        supervisor.stop().await;
    }
}

async fn keep_certificate_fresh(files: ClusterFiles, nats: Nats) {
    let changed = tokio::sync::Notify::new();
    let renew = async {
        loop {
            changed.notified().await;
            while let Err(error) = nats.renew_tls().await {
                tracing::error!("the servers do not use the new certificate: {error}");
                tokio::time::sleep(AGAIN).await;
            }
        }
    };
    tokio::join!(files.keep_fresh(|| changed.notify_one()), renew);
}
