//! Both servers, in order: the hub first, then the leaf, which joins it; and the other way round at
//! the end.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use super::client::{ask_until_answered, connect, info_of};
use super::document::{address, reachable};
use super::keeper::Keeper;
use super::output::Secrets;
use super::process::{Launch, Process};
use super::spawn::Spawner;
use super::state::State;
use super::tls::Files;
use super::{Config, Error, Nats, Ports, Route, ServerKind, heard, names, program};

/// For the leaf to be linked to the hub; it is there after a fraction of this.
const LINKED: Duration = Duration::from_secs(20);
/// For one server to end, its streams written down; then it is killed.
const STOP: Duration = Duration::from_secs(12);

/// Keeps a node's two servers running. When it is dropped, they are killed.
pub struct Supervisor {
    nats: Nats,
    launch: Arc<Launch>,
    hub: Kept,
    leaf: Kept,
    // Ends its task when it is dropped.
    heard: JoinSet<()>,
}

/// A server's keeper.
struct Kept {
    stop: oneshot::Sender<()>,
    // Ends its task when it is dropped, and with it the server.
    task: JoinSet<()>,
}

impl Supervisor {
    /// Starts both servers, and returns when both are ready: they listen, are linked, and this node's
    /// streams answer.
    ///
    /// # Errors
    ///
    /// [`Error`] lists them. Nothing runs then.
    pub async fn start(mut config: Config) -> Result<(Self, Nats), Error> {
        config.check()?;
        for route in config.hub_routes.iter().chain(&config.leaf_routes) {
            if !route.is_valid() {
                return Err(Error::Route(route.to_string()));
            }
        }
        // The servers run in a folder of their own.
        for path in [
            &mut config.folder,
            &mut config.streams,
            &mut config.tls.certificate,
            &mut config.tls.private_key,
            &mut config.tls.certificate_authority,
        ] {
            let absolute = std::path::absolute(&*path);
            *path = absolute.map_err(|source| Error::Files { path: path.clone(), source })?;
        }
        let files = Files::read(&config.tls).await?;
        let program = program::find(config.binary.as_deref()).await?;
        make_folder(config.folder.clone())
            .await
            .map_err(|source| Error::Files { path: config.folder.clone(), source })?;
        make_folder(config.streams.clone()).await.map_err(|error| {
            let (path, reason) = (config.streams.clone(), error.to_string());
            Error::Streams { path, reason }
        })?;
        let own_insecure = !files.is_for(reachable(config.hub_leafnodes.host));
        let spawn = |source| Error::Spawn { server: ServerKind::Hub, source };
        let state = Arc::new(State::new(config.hub_routes.clone(), config.leaf_routes.clone()));
        let tls = files.client.clone();
        let launch = Arc::new(Launch {
            program,
            tls: tls.clone(),
            spawner: Spawner::start().map_err(spawn)?,
            secrets: Arc::new(Secrets::of(&config)),
            own_insecure,
            state: state.clone(),
            config,
        });
        let config = &launch.config;

        names::are_others(config, &files).await?;
        let hub = Process::start(ServerKind::Hub, &launch).await?;
        let leaf = Process::start(ServerKind::Leaf, &launch).await?;
        let ((hub_sender, hub_commands), (leaf_sender, leaf_commands)) =
            (mpsc::channel(4), mpsc::channel(4));
        let nats = Nats::connect(config, state, files, [hub_sender, leaf_sender]).await?;
        nats.ready(LINKED).await?;
        linked(config, &launch, tls).await?;
        names::are_free(config, &nats, &hub).await?;

        let hub = Kept::new(Keeper::new(ServerKind::Hub, launch.clone(), hub_commands, hub));
        let leaf = Kept::new(Keeper::new(ServerKind::Leaf, launch.clone(), leaf_commands, leaf));
        let Ports { hub_cluster, hub_leafnodes, hub_clients, leaf_clients } = nats.ports();
        tracing::info!(
            node = nats.node_name(),
            hub_cluster,
            hub_leafnodes,
            hub_clients,
            leaf_clients,
            "the NATS servers are ready"
        );
        let mut heard = JoinSet::new();
        heard.spawn(heard::watch(nats.clone()));
        Ok((Self { nats: nats.clone(), launch, hub, leaf, heard }, nats))
    }

    /// Ends the leaf, then the hub. Takes some 25 s at most, should neither react.
    pub async fn stop(mut self) {
        self.heard.shutdown().await;
        // What each says of losing the other is nobody's concern from here on.
        for server in [ServerKind::Hub, ServerKind::Leaf] {
            self.launch.state.plan(server, true);
        }
        self.nats.close().await;
        self.leaf.stop().await;
        self.hub.stop().await;
    }
}

impl Kept {
    fn new(keeper: Keeper) -> Self {
        let (stop, stopped) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn(keeper.keep(stopped));
        Self { stop, task }
    }

    async fn stop(mut self) {
        let _ = self.stop.send(());
        let _ = timeout(STOP, self.task.join_next()).await;
        self.task.shutdown().await;
    }
}

/// The leaf's streams answer on the hub: the two are linked.
async fn linked(config: &Config, launch: &Launch, tls: ClientConfig) -> Result<(), Error> {
    let hub = ServerKind::Hub;
    let (host, port) = address(hub, config, launch.state.ports());
    let address = Route { host: host.to_string(), port };
    let client = connect(hub, &address, config.user.clone(), &config.password, tls).await?;
    let subject = info_of(&config.leaf_name());
    let linked = ask_until_answered(&client, subject, LINKED, hub).await;
    let _ = timeout(Duration::from_secs(1), client.drain()).await;
    linked
}

/// Makes the folder, for this user alone.
async fn make_folder(path: PathBuf) -> io::Result<()> {
    let made = tokio::task::spawn_blocking(move || make_private(&path)).await;
    made.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    if fs::metadata(folder)?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    Ok(())
}
