use std::fs;
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::*;
use crate::capabilities::{Change, Config};
use crate::config::Overrides;

/// Servers that say what the hub was given, and refuse it so many times; the leaf takes for ever.
struct Told {
    given: mpsc::UnboundedSender<(Instant, Vec<Route>)>,
    refusals: Arc<Mutex<u32>>,
}

impl TakesRoutes for Told {
    async fn set_routes(&self, server: ServerKind, routes: Vec<Route>) -> Result<(), String> {
        if server == ServerKind::Leaf {
            return std::future::pending().await;
        }
        self.given.send((Instant::now(), routes)).unwrap();
        let mut refusals = self.refusals.lock().await;
        if let Some(left) = refusals.checked_sub(1) {
            *refusals = left;
            return Err("not now".into());
        }
        Ok(())
    }
}

struct Watched {
    folder: TempDir,
    file: ConfigFile,
    given: mpsc::UnboundedReceiver<(Instant, Vec<Route>)>,
    _live: LiveRoutes,
}

const NONE: &str = "clustering:\n  enabled: true\n";

fn hub(hosts: &[&str]) -> String {
    let routes: String =
        hosts.iter().map(|host| format!("          - {{ host: {host}, port: 9932 }}\n")).collect();
    format!("{NONE}  hubServer:\n    cluster:\n      network:\n        routes:\n{routes}")
}

fn routes(hosts: &[&str]) -> Vec<Route> {
    let route = |host: &&str| Route { host: (*host).into(), port: 9932 };
    hosts.iter().map(route).collect()
}

impl Watched {
    fn new(refusals: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(crate::config::FILE_NAME);
        fs::write(&path, NONE).unwrap();
        // Whatever the file says, the environment says this.
        let variables = [("CLUSTERING_NODENAME".to_owned(), "node-1".to_owned())];
        let overrides = Overrides::from_variables(variables).unwrap();
        let file = ConfigFile::with_overrides(path, overrides).unwrap();
        let (sender, given) = mpsc::unbounded_channel();
        let servers = Told { given: sender, refusals: Arc::new(Mutex::new(refusals)) };
        let live = LiveRoutes::watch(file.clone(), Routes::default(), servers);
        Self { folder, file, given, _live: live }
    }

    fn edit(&self, text: &str) {
        fs::write(self.folder.path().join(crate::config::FILE_NAME), text).unwrap();
    }

    async fn next(&mut self) -> (Instant, Vec<Route>) {
        timeout(Duration::from_secs(30), self.given.recv()).await.unwrap().unwrap()
    }
}

// covers: routes.watch.applied
#[tokio::test]
async fn an_edit_by_hand_is_applied_once_the_file_is_still() {
    let mut watched = Watched::new(0);
    let mut last = Instant::now();
    // Somebody writes on and on, each time something that could be meant.
    for host in ["a", "b", "c", "d", "e", "f"] {
        watched.edit(&hub(&[host, "long-enough-to-differ"]));
        last = Instant::now();
        tokio::time::sleep(STILL / 3).await;
    }
    let (at, given) = watched.next().await;
    assert_eq!(given, routes(&["f", "long-enough-to-differ"]), "nothing of what was on the way");
    assert!(at - last >= STILL);
}

// covers: routes.watch.still
#[tokio::test]
async fn what_cannot_be_meant_is_ignored() {
    let mut watched = Watched::new(0);
    watched.edit(&hub(&["a"]));
    assert_eq!(watched.next().await.1, routes(&["a"]));
    let no_list = hub(&[]).replace("routes:\n", "routes: nonsense\n");
    for text in
        ["", "clustering: null\n", "clustering:\n  - [\n", "operationsApi: {}\n", "- 1\n", &no_list]
    {
        watched.edit(text);
        let nothing = timeout(STILL + 3 * LOOK, watched.given.recv()).await;
        assert!(nothing.is_err(), "{text:?}");
    }
    watched.edit(&hub(&["b"]));
    assert_eq!(watched.next().await.1, routes(&["b"]));
    // A file that is gone, too.
    fs::remove_file(watched.folder.path().join(crate::config::FILE_NAME)).unwrap();
    assert!(timeout(STILL + 3 * LOOK, watched.given.recv()).await.is_err());
    watched.edit(NONE);
    assert_eq!(watched.next().await.1, routes(&[]));
}

#[tokio::test]
async fn what_an_operation_writes_is_applied_at_once() {
    let mut watched = Watched::new(0);
    let path = HUB_ROUTES.parse().unwrap();
    let snapshot = watched.file.get(vec![]).await.unwrap();
    let value = json!([{ "host": "a", "port": "9932" }]);
    watched.file.set(snapshot.revision, vec![Change { path, value }]).await.unwrap();
    let written = Instant::now();
    let (at, given) = watched.next().await;
    assert_eq!(given, routes(&["a"]));
    assert!(at - written < STILL, "no hand wrote this");
}

#[tokio::test]
async fn what_servers_did_not_take_is_given_to_them_again() {
    let mut watched = Watched::new(1);
    watched.edit(&hub(&["a"]));
    let (first, _) = watched.next().await;
    let (second, given) = watched.next().await;
    assert_eq!(given, routes(&["a"]));
    assert!(second - first >= AGAIN);
    // And not once they have.
    assert!(timeout(2 * LOOK, watched.given.recv()).await.is_err());
}

/// A leaf that is restarted for another list may take minutes, with all its streams.
// covers: routes.watch.apart
#[tokio::test]
async fn the_hub_does_not_wait_for_the_leaf() {
    let mut watched = Watched::new(0);
    let with_leaf = |hosts: &[&str]| {
        hub(hosts) + "  leafServer:\n    network:\n      routes:\n        - { host: l, port: 1 }\n"
    };
    watched.edit(&with_leaf(&["a"]));
    assert_eq!(watched.next().await.1, routes(&["a"]));
    watched.edit(&with_leaf(&["b"]));
    assert_eq!(watched.next().await.1, routes(&["b"]));
}
