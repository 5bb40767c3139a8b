//! `run`: a node in the foreground, from the first start to a clean end.

use std::fs::DirBuilder;
use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use harper_host::Host;
use harper_host::api::{self, Server};
use harper_host::config::{self, ConfigFile, Overrides, Settings};
use harper_host::store::Store;
use harper_host::users::Users;
use tokio::signal::unix::{Signal, SignalKind, signal};
use zeroize::Zeroizing;

use super::log;

const USERNAME: &str = "HDB_ADMIN_USERNAME";
const PASSWORD: &str = "HDB_ADMIN_PASSWORD";

/// Run a node in the foreground
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first start makes DIR/harperdb-config.yaml, and the first super_user of the name and password \
in HDB_ADMIN_USERNAME and HDB_ADMIN_PASSWORD; without them it asks on the terminal.

One line with the node's address is printed when it is ready. SIGTERM or Ctrl-C ends it once \
running requests have been answered; a second one ends it at once.")]
pub(super) struct Run {
    /// The node's folder, made when it is not there
    #[arg(long, value_name = "DIR")]
    rootpath: PathBuf,
}

impl Run {
    pub(super) fn run(self) -> Result<()> {
        let root = &self.rootpath;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(|error| anyhow!("the folder {} cannot be made: {error}", root.display()))?;
        let file = root.join(config::FILE_NAME);
        let first_start = config::create_if_missing(&file)
            .map_err(|error| anyhow!("{} cannot be written: {error}", file.display()))?;
        let file = ConfigFile::with_overrides(file, overrides()?)?;
        let settings = Settings::read(&file.document()?)?;
        log::start(settings.log_level);
        if first_start {
            tracing::info!("{} was made", config::FILE_NAME);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(serve(root, file, settings));
        // Whatever still blocks a thread must not keep a node that was told to stop.
        runtime.shutdown_background();
        result
    }
}

/// Variables that are no text cannot be ours.
fn overrides() -> Result<Overrides> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    Ok(Overrides::from_variables(std::env::vars_os().filter_map(text))?)
}

async fn serve(root: &Path, file: ConfigFile, settings: Settings) -> Result<()> {
    let mut stop = StopSignals::new()?;
    let store = Store::open(root).await?;
    let users = Users::open(store, settings.cache_ttl);
    if !users.has_super_user().await? {
        let (username, password) = first_super_user()?;
        users.create_first_super_user(&username, &password).await?;
        tracing::info!(username, "the first super_user was made");
    }
    let host = Host::builder().root_path(root).config(file).build().await?;
    let config = api::Config {
        host: settings.host,
        port: settings.port,
        allow_plaintext: settings.allow_plaintext,
        max_body_size: settings.max_body_size,
        max_connections: settings.max_connections,
        header_timeout: settings.headers_timeout,
        body_timeout: settings.body_timeout,
        drain: settings.shutdown_timeout,
    };
    let server = Server::bind(config, host, users)?;
    // Whoever started the node may have gone away; the node has not.
    let _ = writeln!(stdout(), "harper-host is ready at http://{}", server.local_addr());
    tracing::info!(address = %server.local_addr(), "ready");

    let (tell_first, first) = tokio::sync::oneshot::channel();
    let stopped_at_once = async {
        stop.wait().await;
        tracing::info!("stopping: running requests are being answered");
        let _ = tell_first.send(());
        stop.wait().await;
    };
    tokio::select! {
        () = server.serve(first) => tracing::info!("stopped"),
        () = stopped_at_once => tracing::warn!("stopped at once"),
    }
    Ok(())
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

/// The name and password of the first super_user: there is no default.
fn first_super_user() -> Result<(String, Zeroizing<String>)> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (username, password) = (variable(USERNAME), variable(PASSWORD).map(Zeroizing::new));
    if let (Some(username), Some(password)) = (&username, &password) {
        return Ok((username.clone(), password.clone()));
    }
    if !stdin().is_terminal() || !stderr().is_terminal() {
        bail!(
            "there is no super_user yet: set {USERNAME} and {PASSWORD} for this first start, or \
             start the node on a terminal to be asked for them"
        );
    }
    let username = match username {
        Some(username) => username,
        None => ask("Name of the first super_user: ")?,
    };
    let password = match password {
        Some(password) => password,
        None => ask_twice()?,
    };
    Ok((username, password))
}

fn ask(question: &str) -> Result<String> {
    write!(stderr(), "{question}")?;
    stderr().flush()?;
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    let answer = line.trim();
    if answer.is_empty() {
        bail!("no name was given");
    }
    Ok(answer.to_owned())
}

fn ask_twice() -> Result<Zeroizing<String>> {
    let password = Zeroizing::new(rpassword::prompt_password("Password: ")?);
    let again = Zeroizing::new(rpassword::prompt_password("Password again: ")?);
    if password != again {
        bail!("the passwords differ");
    }
    Ok(password)
}
