//! Clusters of the nats-servers of several nodes, on ports that the OS picks; all of it is gone when
//! they are dropped.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use harper_host::config::{Listen, LogLevel};
use harper_host::nats::{Config, Nats, Route, Servers, Supervisor, Tls};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Nothing here takes longer, on however slow a machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// For an answer that may not be complete yet.
const GLANCE: Duration = Duration::from_millis(200);
/// The cluster user of the tests.
pub const USER: &str = "cluster_user";
/// Its password, which is no easy one: it stands in URLs, in JSON and in logs.
pub const PASSWORD: &str = "s3cret/$of \"the\" test@%41:+";
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An authority, and the folder of the files that it makes.
pub struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new one, whom nobody else trusts.
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        std::fs::write(folder.path().join("ca.pem"), issuer.pem())?;
        Ok(Self { folder, issuer })
    }

    /// The files of a node, with a certificate for these names and addresses.
    pub fn issue(&self, node: &str, names: &[&str]) -> Result<Tls> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, node);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let file = |kind: &str, pem: String| {
            let path = self.folder.path().join(format!("{node}-{kind}.pem"));
            std::fs::write(&path, pem).map(|()| path)
        };
        Ok(Tls {
            certificate: file("certificate", params.signed_by(&key, &self.issuer)?.pem())?,
            private_key: file("key", key.serialize_pem())?,
            certificate_authority: self.folder.path().join("ca.pem"),
            insecure: false,
            verify: true,
        })
    }
}

/// A node's two servers, in a folder of their own.
pub struct NatsNode {
    /// What they were started with.
    pub config: Config,
    /// What asks them.
    pub nats: Nats,
    supervisor: Supervisor,
    folder: PathBuf,
    // Removed when this is dropped.
    _own: Option<TempDir>,
}

impl NatsNode {
    /// Starts them with what `change` makes of the usual configuration, in a folder that goes with
    /// them.
    pub async fn start(
        authority: &Authority,
        name: &str,
        change: impl FnOnce(&mut Config),
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut config = config(folder.path(), name, authority.issue(name, &["127.0.0.1"])?);
        change(&mut config);
        let node = Self::start_in(folder.path(), config).await?;
        Ok(Self { _own: Some(folder), ..node })
    }

    /// Starts them in a folder that stays.
    pub async fn start_in(folder: &Path, config: Config) -> Result<Self> {
        let (supervisor, nats) = Supervisor::start(config.clone()).await?;
        Ok(Self { config, nats, supervisor, folder: folder.into(), _own: None })
    }

    /// The node's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where other hubs reach its hub.
    pub fn route(&self) -> Route {
        Route { host: "127.0.0.1".into(), port: self.nats.ports().hub_cluster }
    }

    /// Ends the servers in their order.
    pub async fn stop(self) {
        self.supervisor.stop().await;
    }

    /// A connection of the test's own to the hub, as who may ask about the network.
    pub async fn system(&self) -> Result<async_nats::Client> {
        self.connect(self.nats.ports().hub_clients, &format!("{USER}-admin")).await
    }

    /// The same to the hub, as the cluster user.
    pub async fn on_hub(&self) -> Result<async_nats::Client> {
        self.connect(self.nats.ports().hub_clients, USER).await
    }

    async fn connect(&self, port: u16, user: &str) -> Result<async_nats::Client> {
        let tls = &self.config.tls;
        let options = async_nats::ConnectOptions::with_user_and_password(
            user.into(),
            self.config.password.to_string(),
        );
        let options = options
            .add_root_certificates(tls.certificate_authority.clone())
            .add_client_certificate(tls.certificate.clone(), tls.private_key.clone())
            .require_tls(true);
        Ok(options.connect(format!("tls://127.0.0.1:{port}")).await?)
    }
}

/// The usual configuration of a node of that name in `folder`: ports that the OS picks, no routes.
pub fn config(folder: &Path, name: &str, tls: Tls) -> Config {
    let listen = Listen { host: LOOPBACK, port: 0 };
    Config {
        node_name: name.into(),
        user: USER.into(),
        password: PASSWORD.to_owned().into(),
        hub_clients: listen,
        hub_leafnodes: listen,
        hub_cluster: listen,
        leaf_clients: listen,
        cluster_name: "harperdb".into(),
        hub_routes: Vec::new(),
        leaf_routes: Vec::new(),
        streams: folder.join("streams"),
        tls,
        binary: None,
        log_level: LogLevel::Error,
        folder: folder.join("servers"),
    }
}

/// Nodes that are joined with each other.
pub struct Cluster {
    /// Named `node-1` and so on.
    pub nodes: Vec<NatsNode>,
    /// Who vouches for them.
    pub authority: Authority,
}

impl Cluster {
    /// Starts so many nodes one after another, each joined with those before it, gives each the routes
    /// to all others, and waits until each knows of all. nats-servers that all take new routes over at
    /// the very same moment may end up joined without hearing each other (seen with 2.9.10).
    pub async fn of(n: usize) -> Result<Self> {
        let authority = Authority::new()?;
        let mut cluster = Self { nodes: Vec::new(), authority };
        for name in &Self::NAMES[..n] {
            let routes = cluster.nodes.iter().map(NatsNode::route).collect();
            let start = NatsNode::start(&cluster.authority, name, |config| {
                config.hub_routes = routes;
            });
            let node = start.await?;
            cluster.nodes.push(node);
        }
        cluster.joined().await?;
        for (i, node) in cluster.nodes.iter().enumerate() {
            node.nats.set_routes(cluster.others(i), Vec::new()).await?;
            cluster.joined().await?;
        }
        Ok(cluster)
    }

    const NAMES: [&str; 8] =
        ["node-1", "node-2", "node-3", "node-4", "node-5", "node-6", "node-7", "node-8"];

    /// Routes to all nodes but the one at this index.
    pub fn others(&self, index: usize) -> Vec<Route> {
        let others = self.nodes.iter().enumerate().filter(|(i, _)| *i != index);
        others.map(|(_, node)| node.route()).collect()
    }

    /// Waits until each node knows of all others.
    pub async fn joined(&self) -> Result<()> {
        let all = self.nodes.len();
        for node in &self.nodes {
            eventually("all nodes know of all", async || {
                let found = node.nats.servers(GLANCE).await.unwrap_or_default();
                let is_joined = |routes: &Vec<String>| routes.len() + 1 == all;
                let joined = found.hubs.iter().filter(|hub| is_joined(&hub.routes)).count();
                joined == all && found.silent.is_empty()
            })
            .await?;
        }
        Ok(())
    }

    /// Ends all servers in their order.
    pub async fn stop(self) {
        join_all(self.nodes.into_iter().map(NatsNode::stop)).await;
    }
}

/// The names of the hubs that were found.
pub fn names(found: &Servers) -> Vec<&str> {
    found.hubs.iter().map(|hub| hub.name.as_str()).collect()
}

/// Waits until it is so.
pub async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !is_so().await {
        ensure!(Instant::now() < end, "in time: {what}");
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Whether a process of this id runs; one that has ended and was not waited for does not.
pub fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before it may have anything in it.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Sends a signal to a server that is up.
pub fn signal(nats: &Nats, server: harper_host::nats::ServerKind, signal: Signal) -> Result<()> {
    let pid = pid(nats, server).context("the server is up")?;
    Ok(kill_process(Pid::from_raw(pid.try_into()?).context("a process id")?, signal)?)
}

/// Freezes a process, and waits until it is: all its threads, one after another.
pub async fn freeze(pid: u32) -> Result<()> {
    let process = Pid::from_raw(pid.try_into()?).context("a process id")?;
    kill_process(process, Signal::STOP)?;
    let is_stopped = |folder: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(folder.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    };
    let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    eventually("all threads are stopped", async || threads().all(is_stopped)).await
}

/// The process id of a server that is up.
pub fn pid(nats: &Nats, server: harper_host::nats::ServerKind) -> Option<u32> {
    match *nats.state(server).borrow() {
        harper_host::nats::ServerState::Up { pid } => Some(pid),
        harper_host::nats::ServerState::Silent { .. } | harper_host::nats::ServerState::Down => {
            None
        }
    }
}

/// The program nats-server on PATH.
pub fn program() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("nats-server"));
    let missing = "nats-server is missing: make setup, or apt-get install nats-server";
    found.into_iter().find(|file| file.is_file()).context(missing)
}
