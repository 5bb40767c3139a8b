//! The routes of a node's servers, kept as the configuration file has them while the node runs.
//!
//! What an operation writes is applied at once. The file is looked at besides, for edits by hand:
//! those are applied once it has not changed for a while, and only if what it says can be meant.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::config::{self, ConfigFile, HUB_ROUTES, LEAF_ROUTES, Stamps};
use crate::nats::{Nats, Route, ServerKind};

/// How often the file is looked at. Its folder may be one that tells nobody of changes.
const LOOK: Duration = Duration::from_millis(250);

/// For so long a hand has written nothing: an editor may write a file in several steps.
const STILL: Duration = Duration::from_millis(500);

/// After so long a list that a server did not take is given to it again, and a file that could not be
/// read is read again.
const AGAIN: Duration = Duration::from_secs(5);

/// Both lists of routes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    /// Hubs of other nodes that the hub joins.
    pub hub: Vec<Route>,
    /// Leafnode addresses that the leaf joins, beside its own hub.
    pub leaf: Vec<Route>,
}

impl Routes {
    /// The routes in a configuration. What is none is passed over, and told in the log.
    pub fn read(document: &Value) -> Self {
        let list = |path: &str| {
            let (routes, errors) =
                Route::read_list(path, at(document, path).unwrap_or(&Value::Null));
            for error in errors {
                tracing::warn!("{error}");
            }
            routes
        };
        Self { hub: list(HUB_ROUTES), leaf: list(LEAF_ROUTES) }
    }
}

/// Servers whose routes can be changed while they run.
pub trait TakesRoutes: Send + Sync + 'static {
    /// Makes these one server's routes. When it fails, it is asked again.
    fn set_routes(
        &self,
        server: ServerKind,
        routes: Vec<Route>,
    ) -> impl Future<Output = Result<(), String>> + Send;
}

impl TakesRoutes for Nats {
    async fn set_routes(&self, server: ServerKind, routes: Vec<Route>) -> Result<(), String> {
        self.set_routes_of(server, routes).await.map_err(|error| error.to_string())
    }
}

/// Watches, until it is dropped.
#[derive(Debug)]
pub struct LiveRoutes(JoinHandle<()>);

impl LiveRoutes {
    /// Watches the file, for servers that have the routes `applied` now.
    pub fn watch(file: ConfigFile, applied: Routes, servers: impl TakesRoutes) -> Self {
        let servers = Arc::new(servers);
        let mut gives = JoinSet::new();
        let mut to = |server, applied: Vec<Route>| {
            let (wanted, told) = watch::channel(applied);
            gives.spawn(give(server, servers.clone(), told));
            wanted
        };
        let (hub, leaf) = (to(ServerKind::Hub, applied.hub), to(ServerKind::Leaf, applied.leaf));
        let watcher = Watcher { file, hub, leaf, _gives: gives, told: None };
        Self(tokio::spawn(watcher.run()))
    }
}

impl Drop for LiveRoutes {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is the matter with the file, said once.
#[derive(PartialEq)]
enum Wrong {
    Unreadable(String),
    NoClustering,
    NoList(&'static str),
}

struct Watcher {
    file: ConfigFile,
    /// What the hub is to have.
    hub: watch::Sender<Vec<Route>>,
    /// What the leaf is to have.
    leaf: watch::Sender<Vec<Route>>,
    // Ends its tasks when it is dropped.
    _gives: JoinSet<()>,
    told: Option<Wrong>,
}

/// Gives one server its list, whenever that is another one, and again until it was taken. A leaf with
/// large streams takes its time, and the hub does not wait for it.
async fn give(
    server: ServerKind,
    servers: Arc<impl TakesRoutes>,
    mut told: watch::Receiver<Vec<Route>>,
) {
    // What it is not known to have after it has refused.
    let mut applied = Some(told.borrow_and_update().clone());
    loop {
        let wanted = told.borrow_and_update().clone();
        if applied.as_ref() == Some(&wanted) {
            if told.changed().await.is_err() {
                return;
            }
            continue;
        }
        let (name, routes) = (server.name(), wanted.len());
        match servers.set_routes(server, wanted.clone()).await {
            Ok(()) => {
                tracing::info!(
                    server = name,
                    routes,
                    "the server has the routes of the configuration now"
                );
                applied = Some(wanted);
            }
            Err(error) => {
                tracing::error!(
                    server = name,
                    "the server did not take the routes of the configuration: {error}"
                );
                applied = None;
                if let Ok(Err(_)) = timeout(AGAIN, told.changed()).await {
                    return;
                }
            }
        }
    }
}

impl Watcher {
    async fn run(mut self) {
        let mut written = self.file.written();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What was written between the servers' start and now is found at the first look.
        let mut seen = None;
        let mut still_since = Instant::now();
        let mut is_applied = false;
        let mut again = Instant::now();
        loop {
            let by_operation = tokio::select! {
                changed = written.changed() => match changed {
                    Ok(()) => true,
                    Err(_) => return,
                },
                _ = looks.tick() => false,
            };
            let now = look(self.file.path()).await;
            if now != seen {
                (seen, still_since, is_applied) = (now, Instant::now(), false);
                again = still_since;
            }
            let is_due = by_operation || still_since.elapsed() >= STILL;
            if !is_applied && is_due && Instant::now() >= again {
                is_applied = self.apply().await;
                again = Instant::now() + AGAIN;
            }
        }
    }

    /// Whether there is nothing left to do about the file as it is now.
    async fn apply(&mut self) -> bool {
        let file = self.file.clone();
        // What the environment says is there whatever happens to the file.
        let read = tokio::task::spawn_blocking(move || file.without_overrides()).await;
        let document = match read {
            Ok(Ok(document)) => document,
            Ok(Err(error)) => {
                self.wrong(Wrong::Unreadable(error.to_string()));
                return false;
            }
            Err(_) => return false,
        };
        // A file that somebody emptied, or is about to write anew, is no wish to leave the cluster.
        if !document["clustering"].is_object() {
            return self.wrong(Wrong::NoClustering);
        }
        if let Some(list) =
            [HUB_ROUTES, LEAF_ROUTES].into_iter().find(|path| !is_list(&document, path))
        {
            return self.wrong(Wrong::NoList(list));
        }
        self.told = None;
        let wanted = Routes::read(&document);
        for (sender, list) in [(&self.hub, wanted.hub), (&self.leaf, wanted.leaf)] {
            sender.send_if_modified(|before| {
                let is_another = *before != list;
                *before = list;
                is_another
            });
        }
        true
    }

    fn wrong(&mut self, what: Wrong) -> bool {
        if self.told.as_ref() != Some(&what) {
            let text = match &what {
                Wrong::Unreadable(error) => error.clone(),
                Wrong::NoClustering => "it has no 'clustering' any more".into(),
                Wrong::NoList(path) => format!("'{path}' is no list"),
            };
            tracing::warn!("the routes stay as they are: {text}");
            self.told = Some(what);
        }
        true
    }
}

/// What stands at a path; nothing where a value stands in the way.
fn at<'v>(document: &'v Value, path: &str) -> Option<&'v Value> {
    config::at(document, path.split('.'))
}

/// Whether a list of routes stands there, or none.
fn is_list(document: &Value, path: &str) -> bool {
    at(document, path).is_some_and(|value| value.is_null() || value.is_array())
}

async fn look(path: &Path) -> Option<Stamps> {
    let path = path.to_owned();
    let metadata = tokio::task::spawn_blocking(move || std::fs::metadata(path)).await;
    Some(Stamps::of(&metadata.ok()?.ok()?))
}

#[cfg(test)]
mod tests;
