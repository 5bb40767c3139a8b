//! `run`: a node in the foreground, from the first start to a clean end.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io::{Write, stdout};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use harper_host::api::{self, Server};
use harper_host::audit::AuditLog;
use harper_host::config::{self, ConfigFile, Overrides, Settings};
use harper_host::data::{Data, DataConfig};
use harper_host::store::Store;
use harper_host::transcript::Recorder;
use harper_host::users::{Users, check_username};
use harper_host::{Host, ThisNode};
use tokio::signal::unix::{Signal, SignalKind, signal};
use zeroize::Zeroizing;

use super::cluster::Servers;
use super::target::{Root, variable};
use super::{descriptors, log, prompt};

const USERNAME: &str = "HDB_ADMIN_USERNAME";
const PASSWORD: &str = "HDB_ADMIN_PASSWORD";

/// Run a node in the foreground
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first start makes DIR/harperdb-config.yaml, and the first super_user, with the name and password
in HDB_ADMIN_USERNAME and HDB_ADMIN_PASSWORD; without them it asks on the terminal.

A --plugin is called by its file's name, and has what the configuration grants a plugin of that name.
plugin_reload loads its file again.

What --record writes holds what the calls handle, but for secrets, and is for its owner alone.

One line with the node's addresses is printed when it is ready. SIGTERM or Ctrl-C ends it once
running requests have been answered; a second one ends it at once.")]
pub(super) struct Run {
    #[command(flatten)]
    root: Root,
    /// A plugin that is being worked on: it is loaded whatever its sha256
    #[arg(long, value_name = "FILE")]
    plugin: Vec<PathBuf>,
    /// Grant each --plugin what it asks for, but for what is the cluster's own
    #[arg(long, requires = "plugin")]
    grant_asked: bool,
    /// Write each call of a plugin to this file, for 'harper-host replay'
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

impl Run {
    pub(super) fn run(self) -> Result<()> {
        let root = &self.root.folder()?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(|error| anyhow!("the folder {} cannot be made: {error}", root.display()))?;
        let file = root.join(config::FILE_NAME);
        let first_start = config::create_if_missing(&file)
            .map_err(|error| anyhow!("{} cannot be written: {error}", file.display()))?;
        let file = ConfigFile::with_overrides(file, overrides()?)?;
        let settings = file.settings()?;
        let _gathering = log::start(settings.log_level);
        if first_start {
            tracing::info!("{} was made", config::FILE_NAME);
        }
        warn_of_unknown_keys(&file)?;
        warn_of_unknown_variables();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(serve(root, file, settings, &self));
        // Whatever still blocks a thread must not keep a node that was told to stop.
        runtime.shutdown_background();
        result
    }
}

/// Once a start, in one line: a file of Harper's own has many keys that are nothing to us.
fn warn_of_unknown_keys(file: &ConfigFile) -> Result<()> {
    let unknown = file.unknown_keys()?;
    if unknown.is_empty() {
        return Ok(());
    }
    tracing::warn!("{} has keys that mean nothing here: {}", config::FILE_NAME, listed(unknown));
    Ok(())
}

/// The same of the environment; of values nothing is said.
fn warn_of_unknown_variables() {
    let all: Vec<_> = std::env::vars_os().filter_map(text).collect();
    let names = all.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let unknown = Overrides::unknown_variables(names);
    if !unknown.is_empty() {
        tracing::warn!("the environment has variables that mean nothing here: {}", listed(unknown));
    }
}

fn listed(unknown: Vec<(String, Option<String>)>) -> String {
    let shown = |(name, meant): (String, Option<String>)| match meant {
        Some(meant) => format!("{name} (did you mean {meant}?)"),
        None => name,
    };
    unknown.into_iter().map(shown).collect::<Vec<_>>().join(", ")
}

pub(super) fn overrides() -> Result<Overrides> {
    Ok(Overrides::from_variables(std::env::vars_os().filter_map(text))?)
}

/// A variable; none that is no text, which cannot be ours.
fn text((name, value): (OsString, OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}

async fn serve(root: &Path, file: ConfigFile, settings: Settings, options: &Run) -> Result<()> {
    let mut stop = StopSignals::new()?;
    let store = Store::open(root).await?;
    let users = Users::open(store.clone(), settings.cache_ttl);
    if !users.has_super_user().await? {
        let Some((username, password)) = asked(&mut stop).await? else {
            bail!("stopped: there is no super_user yet");
        };
        users.create_first_super_user(&username, &password).await?;
        tracing::info!(username, "the first super_user was made");
    } else if variable(PASSWORD).is_some() {
        tracing::info!("{USERNAME} and {PASSWORD} are for the first start, and are not used now");
    }
    let audit = AuditLog::open(root, settings.audit_max_size, settings.audit_max_files)
        .map_err(|error| anyhow!("log/audit.log cannot be written: {error}"))?;
    let servers = tokio::select! {
        servers = Servers::start(root, &file, &settings, &store) => servers?,
        () = stop.wait() => bail!("stopped before it was ready"),
    };
    let data = Data::open(store, of_data(&settings)).await?;
    let node = Arc::new(this_node(&settings, servers.as_ref()));
    let mut host = Host::builder()
        .root_path(root)
        .config_file(file.clone())
        .users(users.clone())
        .data(data.clone())
        .audit(audit)
        .node(node.clone())
        .tables(data.clone())
        .plugins(settings.plugins.clone());
    for plugin in &options.plugin {
        host = host.plugin_in_development(plugin, options.grant_asked);
    }
    if let Some(file) = &options.record {
        let recorder = Recorder::open(file)
            .map_err(|error| anyhow!("{} cannot be written: {error}", file.display()))?;
        host = host.record(recorder);
        tracing::info!("each call of a plugin is recorded in {}", file.display());
    }
    if let Some(servers) = &servers {
        host = host
            .dead_letters(servers.dead_letters(&data))
            .servers(servers.nats().clone())
            .replicator(servers.replicator().clone())
            .figures(servers.figures().clone());
    }
    let host = host.build().await?;
    let max_connections = descriptors::connections(settings.max_connections);
    let config = api::Config { max_connections, ..api::Config::from(&settings) }.in_folder(root);
    let server = Server::bind(config, host.clone(), users).await?;
    let addresses = server.addresses();
    if let Some(address) = addresses.https.or(addresses.http) {
        node.set_operations_api_port(address.port());
    }
    let member = match servers {
        Some(servers) => Some(servers.join(file, host, data).await?),
        None => None,
    };
    // Whoever started the node may have gone away; the node has not.
    let _ = writeln!(stdout(), "harper-host is ready at {addresses}");
    tracing::info!(
        http = addresses.http.map(tracing::field::display),
        https = addresses.https.map(tracing::field::display),
        socket = addresses.socket.as_deref().map(|path| tracing::field::display(path.display())),
        "ready"
    );
    if addresses.http.is_none() && addresses.https.is_none() {
        tracing::info!("no port is served: the Unix socket is the only way in");
    }

    let (tell_first, first) = tokio::sync::oneshot::channel();
    let stopped_at_once = async {
        stop.wait().await;
        tracing::info!("stopping: running requests are being answered");
        let _ = tell_first.send(());
        stop.wait().await;
    };
    let served = async {
        server.serve(first).await;
        if let Some(member) = member {
            member.leave().await;
        }
    };
    tokio::select! {
        () = served => tracing::info!("stopped"),
        () = stopped_at_once => tracing::warn!("stopped at once"),
    }
    Ok(())
}

/// What this node is to others.
fn this_node(settings: &Settings, servers: Option<&Servers>) -> ThisNode {
    let clustering = &settings.clustering;
    let node = match servers {
        Some(servers) => {
            let nats = servers.nats();
            ThisNode::clustered(nats.node_name(), nats.ports().hub_cluster)
        }
        None => ThisNode::new(clustering.node_name.clone()),
    };
    node.with_status_timeout(clustering.status_timeout)
}

/// Tombstones outlive every message that could bring the row back.
fn of_data(settings: &Settings) -> DataConfig {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let node_name = settings.clustering.node_name.clone();
    let mut config = DataConfig { node_name, ..DataConfig::default() };
    if let Some(age) = settings.clustering.streams.max_age {
        config.tombstone_life = config.tombstone_life.max(age.saturating_add(DAY));
    }
    config
}

struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The first super_user, unless the node is told to stop before the answers are there. Whoever asks
/// waits for the terminal, so a thread of its own does.
async fn asked(stop: &mut StopSignals) -> Result<Option<(String, Zeroizing<String>)>> {
    let terminal = prompt::Terminal::now();
    tokio::select! {
        biased;
        () = stop.wait() => {
            terminal.restore();
            Ok(None)
        }
        answers = tokio::task::spawn_blocking(first_super_user) => match answers? {
            // The question may hear of a Ctrl-C first.
            Err(error) if prompt::was_interrupted(&error) => {
                terminal.restore();
                Ok(None)
            }
            answers => answers.map(Some),
        },
    }
}

/// The name and password of the first super_user: there is no default.
fn first_super_user() -> Result<(String, Zeroizing<String>)> {
    let (username, password) = (variable(USERNAME), variable(PASSWORD).map(Zeroizing::new));
    if let (Some(username), Some(password)) = (&username, &password) {
        return Ok((username.clone(), password.clone()));
    }
    if !prompt::can_ask() {
        bail!(
            "there is no super_user yet: set {USERNAME} and {PASSWORD} for this first start, or \
             start the node on a terminal to be asked for them"
        );
    }
    let username = match username {
        Some(username) => username,
        None => match prompt::ask("Name of the first super_user: ")? {
            name if name.is_empty() => bail!("no name was given"),
            name => name,
        },
    };
    // Before it is typed twice for nothing.
    check_username(&username)?;
    let password = match password {
        Some(password) => password,
        None => prompt::ask_password_twice("Password")?,
    };
    Ok((username, password))
}
