//! The routes of a node's servers, kept as the configuration file has them while the node runs.
//!
//! What an operation writes is applied at once. The file is looked at besides, for edits by hand:
//! those are applied once it has not changed for a while, and only if what it says can be meant.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::config::{self, ConfigFile, HUB_ROUTES, LEAF_ROUTES, Stamps};
use crate::nats::{Nats, Route};

/// How often the file is looked at. Its folder may be one that tells nobody of changes.
const LOOK: Duration = Duration::from_millis(250);

/// For so long a hand has written nothing: an editor may write a file in several steps.
const STILL: Duration = Duration::from_millis(500);

/// After so long a list that the servers did not take is given to them again.
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
    /// Makes these the servers' routes. When it fails, it is asked again.
    fn set_routes(&self, routes: Routes) -> impl Future<Output = Result<(), String>> + Send;
}

impl TakesRoutes for Nats {
    async fn set_routes(&self, routes: Routes) -> Result<(), String> {
        let Routes { hub, leaf } = routes;
        Nats::set_routes(self, hub, leaf).await.map_err(|error| error.to_string())
    }
}

/// Watches, until it is dropped.
#[derive(Debug)]
pub struct LiveRoutes(JoinHandle<()>);

impl LiveRoutes {
    /// Watches the file, for servers that have the routes `applied` now.
    pub fn watch(file: ConfigFile, applied: Routes, servers: impl TakesRoutes) -> Self {
        let watcher = Watcher { file, applied, servers, told: None };
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

struct Watcher<S> {
    file: ConfigFile,
    applied: Routes,
    servers: S,
    told: Option<Wrong>,
}

impl<S: TakesRoutes> Watcher<S> {
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
        if wanted == self.applied {
            return true;
        }
        let (hub, leaf) = (wanted.hub.len(), wanted.leaf.len());
        match self.servers.set_routes(wanted.clone()).await {
            Ok(()) => {
                tracing::info!(hub, leaf, "the servers have the routes of the configuration now");
                self.applied = wanted;
                true
            }
            Err(error) => {
                tracing::error!(
                    "the servers did not take the routes of the configuration: {error}"
                );
                false
            }
        }
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
