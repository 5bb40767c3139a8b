//! One running server.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;
use zeroize::Zeroizing;

use super::document::{self, DocumentFile};
use super::output::{self, Heard, Quiet, Secrets};
use super::spawn::Spawner;
use super::state::State;
use super::{Config, Error, ServerKind, ServerState};

/// A server with its streams takes long when they are large.
fn patience(kind: ServerKind) -> Duration {
    match kind {
        ServerKind::Hub => Duration::from_secs(20),
        ServerKind::Leaf => Duration::from_secs(120),
    }
}

/// What is left to read when a process has ended is in a pipe already.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// All that it takes to start a server.
pub(super) struct Launch {
    pub(super) config: Config,
    pub(super) program: PathBuf,
    pub(super) spawner: Spawner,
    pub(super) secrets: Arc<Secrets>,
    /// For connections of this host's own.
    pub(super) tls: ClientConfig,
    pub(super) own_insecure: bool,
    pub(super) state: Arc<State>,
}

impl Launch {
    fn text(&self, kind: ServerKind) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (ports, routes) = (self.state.ports(), self.state.routes(kind));
        document::text(kind, &self.config, &ports, &routes, self.own_insecure)
    }
}

/// A server that has started. When it is dropped, it is killed.
pub(super) struct Process {
    kind: ServerKind,
    child: Child,
    pid: Pid,
    heard: watch::Receiver<Heard>,
    quiet: Arc<Quiet>,
    // Ends its task when it is dropped.
    _output: JoinSet<()>,
}

impl Process {
    /// Starts it, and waits until it listens.
    pub(super) async fn start(kind: ServerKind, launch: &Launch) -> Result<Self, Error> {
        let text = launch.text(kind)?;
        let path = DocumentFile::path(&launch.config.folder, kind);
        let file = DocumentFile::write(path.clone(), text).await?;
        let mut command = Command::new(&launch.program);
        command
            .arg("--config")
            .arg(&path)
            .env_clear()
            .current_dir(&launch.config.folder)
            // Ctrl-C on a terminal is for the host, which ends the servers in their turn.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let spawn = |source| Error::Spawn { server: kind, source };
        let mut child = launch.spawner.spawn(command).await.map_err(spawn)?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let (Some(pid), Some(stderr)) = (pid, child.stderr.take()) else {
            return Err(spawn(std::io::Error::other("it has no process id or no output")));
        };
        let (sender, heard) = watch::channel(Heard::default());
        let mut output = JoinSet::new();
        let (secrets, level) = (launch.secrets.clone(), launch.config.log_level);
        let quiet = Arc::new(Quiet::with(launch.state.clone()));
        let log = output::Log::new(kind, level, quiet.clone());
        output.spawn(async move { output::listen(stderr, &secrets, log, sender).await });
        let mut process = Self { kind, child, pid, heard, quiet, _output: output };
        process.listening(launch).await?;
        drop(file);
        launch.state.set(kind, ServerState::Up { pid: pid.as_raw_nonzero().get().unsigned_abs() });
        Ok(process)
    }

    async fn listening(&mut self, launch: &Launch) -> Result<(), Error> {
        let kind = self.kind;
        let listens = move |heard: &Heard| match kind {
            ServerKind::Hub => {
                heard.clients.is_some() && heard.leafnodes.is_some() && heard.cluster.is_some()
            }
            ServerKind::Leaf => heard.clients.is_some(),
        };
        let wait = self.heard.wait_for(|heard| listens(heard) || heard.ended);
        let in_time = timeout(patience(kind), wait).await.is_ok();
        let heard = self.heard.borrow().clone();
        if !in_time {
            let reason = match heard.fatal.or(heard.last_error) {
                Some(said) => format!("it does not listen, and said last: {said}"),
                None => "it does not listen".to_owned(),
            };
            return Err(Error::NotReady { server: kind, reason });
        }
        if !listens(&heard) || heard.ended {
            return Err(explain(kind, launch, self.ended().await));
        }
        launch.state.pin(|ports| {
            let pin = |port: &mut u16, heard: Option<u16>| *port = heard.unwrap_or(*port);
            match kind {
                ServerKind::Hub => {
                    pin(&mut ports.hub_clients, heard.clients);
                    pin(&mut ports.hub_leafnodes, heard.leafnodes);
                    pin(&mut ports.hub_cluster, heard.cluster);
                }
                ServerKind::Leaf => pin(&mut ports.leaf_clients, heard.clients),
            }
        });
        Ok(())
    }

    /// Whether a server of the same name was met.
    pub(super) fn met_its_name(&self) -> bool {
        self.heard.borrow().duplicate
    }

    /// Waits until it has ended, and says why.
    pub(super) async fn ended(&mut self) -> String {
        let status = self.child.wait().await;
        let _ = timeout(LAST_WORDS, self.heard.wait_for(|heard| heard.ended)).await;
        let how = match status {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        // Errors that it went on after are not what it ended of.
        match &self.heard.borrow().fatal {
            Some(fatal) => format!("{fatal} ({how})"),
            None => how,
        }
    }

    /// To no other process in any case: who has ended keeps its id until it was waited for.
    fn signal(&self, signal: Signal) -> rustix::io::Result<()> {
        match self.child.id() {
            Some(_) => kill_process(self.pid, signal),
            None => Err(rustix::io::Errno::SRCH),
        }
    }

    /// Kills it, who hears nothing any more.
    pub(super) async fn kill(mut self, grace: Duration) {
        self.quiet.begin();
        if timeout(grace, self.child.kill()).await.is_err() {
            tracing::warn!(server = self.kind.name(), "nats-server was killed, and has not ended");
        }
    }

    /// Ends it: it may tidy up for so long.
    pub(super) async fn stop(mut self, grace: Duration) {
        self.quiet.begin();
        let _ = self.signal(Signal::TERM);
        // One that is stopped would never hear of it.
        let _ = self.signal(Signal::CONT);
        if timeout(grace, self.child.wait()).await.is_err() {
            tracing::warn!(server = self.kind.name(), "nats-server does not end: it is killed");
            let _ = timeout(grace, self.child.kill()).await;
        }
        tracing::info!(server = self.kind.name(), "nats-server has ended");
    }
}

/// The error that a server's last words mean.
fn explain(kind: ServerKind, launch: &Launch, reason: String) -> Error {
    let config = &launch.config;
    let has = |part: &str| reason.contains(part);
    let (host, key, port) = match kind {
        _ if has("leafnode port") => (
            "clustering.hubServer.leafNodes.network.host",
            "clustering.hubServer.leafNodes.network.port",
            config.hub_leafnodes.port,
        ),
        _ if has("router port") => (
            "clustering.hubServer.cluster.network.host",
            "clustering.hubServer.cluster.network.port",
            config.hub_cluster.port,
        ),
        ServerKind::Hub => (
            "clustering.hubServer.network.host",
            "clustering.hubServer.network.port",
            config.hub_clients.port,
        ),
        ServerKind::Leaf => (
            "clustering.leafServer.network.host",
            "clustering.leafServer.network.port",
            config.leaf_clients.port,
        ),
    };
    let tls = |key, path: &PathBuf| Error::Tls { key, path: path.clone(), reason: reason.clone() };
    match () {
        () if has("address already in use") => Error::PortInUse { key, port },
        () if has("Error listening on") && has("permission denied") => {
            Error::Listen { key, reason }
        }
        () if has("Error listening on") => Error::Listen { key: host, reason },
        () if has("JetStream") || has("storage directory") => {
            Error::Streams { path: config.streams.clone(), reason }
        }
        () if has("CA certificate") || has("root ca") => {
            tls("clustering.tls.certificateAuthority", &config.tls.certificate_authority)
        }
        () if has("X509") || has("x509") => {
            tls("clustering.tls.certificate", &config.tls.certificate)
        }
        () => Error::Ended { server: kind, reason },
    }
}
