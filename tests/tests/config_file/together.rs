//! Many writers of one process become one version of the file. While the lock is held by somebody
//! else, they gather.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use harper_host::config::ConfigFile;
use harper_host::{Caller, Change, ComponentSource, Config, ConfigError, ErrorKind, Grants, Host};
use harper_host::{Error, Limits};
use harper_tests::{HOSTILE, Node};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::{
    ALL_THE_WHILE, HEAD, HUB, SOON, TAIL, Writer, backups, file, hosts, hub_in, no_routes, node,
    route, set, wait_until,
};

/// A host whose configuration file is looked into, and whose disk is stopped by the lock.
struct Stopped {
    node: Node,
    host: Host,
    config: ConfigFile,
    lock: File,
}

impl Stopped {
    async fn new() -> Self {
        let node = node().await;
        let config = ConfigFile::open(file(&node)).unwrap();
        let mut grants = Grants::default();
        grants.config.read = vec![HUB.parse().unwrap()];
        let hostile = ComponentSource::bytes(HOSTILE);
        let builder = Host::builder().config_file(config.clone());
        let builder = builder.plugin("hostile", hostile, grants, Limits::default());
        let host = builder.build().await.unwrap();
        let path = node.folder.path().canonicalize().unwrap().join("harperdb-config.yaml.lock");
        let lock = File::create(path).unwrap();
        lock.lock().unwrap();
        Self { node, host, config, lock }
    }

    fn set(&self, host: &str) -> JoinHandle<Result<Value, Error>> {
        let (node, host) = (self.host.clone(), host.to_owned());
        tokio::spawn(async move { set(&node, &host).await })
    }

    /// The hosts of the hub's list as a writer sees it, and the revision.
    async fn pending(&self) -> (Vec<String>, String) {
        let paths = vec![HUB.parse().unwrap()];
        let (snapshot, _) = self.config.get_to_change(paths).await.unwrap();
        (hosts(&snapshot.values[0]), snapshot.revision)
    }

    async fn until_pending(&self, number: usize) {
        let deadline = Instant::now() + SOON;
        while self.pending().await.0.len() < number {
            assert!(Instant::now() < deadline, "{:?} only", self.pending().await);
            tokio::task::yield_now().await;
        }
    }

    /// Performs an operation that changes nothing, as others see the file.
    async fn shown(&self) -> Vec<String> {
        let get = json!({ "operation": "cluster_get_routes" });
        let routes = self.host.dispatch(&Caller::super_user("admin"), get).await.unwrap();
        hosts(&routes["hub"])
    }

    /// By now whoever did not wait would be done.
    async fn some_time(&self) {
        for _ in 0..100 {
            self.shown().await;
        }
    }
}

fn change(host: &str) -> Vec<Change> {
    vec![Change { path: HUB.parse().unwrap(), value: json!([route(host)]) }]
}

// covers: routes.file.together
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_become_two_versions() {
    let stopped = Stopped::new().await;
    let writers: Vec<_> = (0..16).map(|n| stopped.set(&format!("node-{n}"))).collect();
    stopped.until_pending(16).await;
    let (order, _) = stopped.pending().await;

    // The one who was first is at the lock, and the others are behind it.
    stopped.lock.unlock().unwrap();
    for writer in writers {
        timeout(SOON, writer).await.unwrap().unwrap().unwrap();
    }
    let document = stopped.config.document().unwrap();
    assert_eq!(hub_in(&document), order);
    let versions = backups(&stopped.node);
    assert!(versions.len() <= 2, "{} versions were written", versions.len());
    assert_eq!(versions[0], no_routes(), "one backup for each version that was written");
}

// covers: routes.file.told-when-durable
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_told_of_what_may_be_lost() {
    let stopped = Stopped::new().await;
    let writer = stopped.set("a");
    stopped.until_pending(1).await;
    // It stands there already, but not safely.
    let skipped = stopped.set("a");
    // A plugin that asks no second time.
    let (host, get) =
        (stopped.host.clone(), json!({ "operation": "hostile_config_get_to_change", "path": HUB }));
    let early = tokio::spawn(async move { host.dispatch(&Caller::super_user("admin"), get).await });
    stopped.some_time().await;
    assert!(!writer.is_finished() && !skipped.is_finished() && !early.is_finished());
    assert_eq!(stopped.shown().await, [""; 0]);
    assert_eq!(stopped.config.get(vec![HUB.parse().unwrap()]).await.unwrap().values, [Value::Null]);
    assert_eq!(stopped.node.config().unwrap(), no_routes());

    stopped.lock.unlock().unwrap();
    writer.await.unwrap().unwrap();
    assert_eq!(skipped.await.unwrap().unwrap()["skipped"], json!([route("a")]));
    assert_eq!(early.await.unwrap().unwrap(), json!([json!([route("a")]).to_string()]));
    assert_eq!(stopped.shown().await, ["a"]);
}

// covers: routes.file.hand-edit-wins
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hand_edit_meanwhile_is_seen_by_all() {
    let stopped = Stopped::new().await;
    let writers: Vec<_> = (0..8).map(|n| stopped.set(&format!("node-{n}"))).collect();
    stopped.until_pending(8).await;
    // One who would find nothing to do.
    let skipped = stopped.set("node-3");
    stopped.some_time().await;

    let edited = format!("{HEAD}\n          - {{ host: mine, port: 1 }}   # by hand{TAIL}");
    fs::write(file(&stopped.node), &edited).unwrap();
    assert_eq!(stopped.shown().await, ["mine"]);
    stopped.lock.unlock().unwrap();
    for writer in writers {
        timeout(SOON, writer).await.unwrap().unwrap().unwrap();
    }
    timeout(SOON, skipped).await.unwrap().unwrap().unwrap();
    let mut routes = hub_in(&stopped.config.document().unwrap());
    assert_eq!(routes.remove(0), "mine");
    routes.sort();
    assert_eq!(routes, (0..8).map(|n| format!("node-{n}")).collect::<Vec<_>>());
    assert!(stopped.node.config().unwrap().contains("{ host: mine, port: 1 }   # by hand\n"));
    assert_eq!(backups(&stopped.node)[0], edited, "nothing was written before");
}

/// The same for those who compare and set by themselves: each is told.
// covers: routes.file.hand-edit-wins
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hand_edit_meanwhile_is_a_conflict_for_all() {
    let stopped = Stopped::new().await;
    let mut sets = Vec::new();
    for host in ["a", "b", "c"] {
        let (config, (_, revision)) = (stopped.config.clone(), stopped.pending().await);
        sets.push(tokio::spawn(async move { config.set(revision, change(host)).await }));
        let deadline = Instant::now() + SOON;
        while stopped.pending().await.0 != [host] {
            assert!(Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
    }
    let (_, durable) = stopped.config.get_to_change(vec![HUB.parse().unwrap()]).await.unwrap();
    let get = json!({ "operation": "hostile_config_get_to_change", "path": HUB });
    let host = stopped.host.clone();
    let early = tokio::spawn(async move { host.dispatch(&Caller::super_user("admin"), get).await });
    stopped.some_time().await;

    let edited = no_routes().replace("by hand", "by my hand");
    fs::write(file(&stopped.node), &edited).unwrap();
    stopped.lock.unlock().unwrap();
    for set in sets {
        assert_eq!(timeout(SOON, set).await.unwrap().unwrap(), Err(ConfigError::Conflict));
    }
    assert_eq!(durable.unwrap().await, Err(ConfigError::Conflict));
    let error = early.await.unwrap().unwrap_err();
    let text = "The configuration was changed by others meanwhile, try again";
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Conflict, text));
    assert_eq!(stopped.node.config().unwrap(), edited);
    assert!(!stopped.node.folder.path().join("backup").exists());
}

/// A mapping as a whole cannot be written: its writer is told, and the others go on without.
// covers: routes.file.together
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_cannot_be_written_fails_its_writer_alone() {
    let stopped = Stopped::new().await;
    let first = stopped.set("first");
    stopped.until_pending(1).await;
    // Its writer must have begun, or these two would not gather behind it but join it.
    stopped.some_time().await;
    let (config, (_, revision)) = (stopped.config.clone(), stopped.pending().await);
    let mapping = vec![Change { path: "mapping".parse().unwrap(), value: json!({ "a": 1 }) }];
    let wrong = tokio::spawn(async move { config.set(revision.clone(), mapping).await });
    stopped.some_time().await;
    let right = stopped.set("right");
    stopped.until_pending(2).await;

    stopped.lock.unlock().unwrap();
    let error = timeout(SOON, wrong).await.unwrap().unwrap().unwrap_err();
    assert!(
        matches!(&error, ConfigError::InvalidFile(text) if text.contains("mapping")),
        "{error}"
    );
    for writer in [first, right] {
        timeout(SOON, writer).await.unwrap().unwrap().unwrap();
    }
    let document = stopped.config.document().unwrap();
    assert_eq!(hub_in(&document), ["first", "right"]);
    assert_eq!(document.get("mapping"), None);
}

// covers: routes.file.disk-full
#[test]
fn a_full_disk_fails_all() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let text = format!("{}#{}\n", no_routes(), "x".repeat(12 << 20));
    let node = runtime.block_on(Node::with_config(&text)).unwrap();
    let wrapper = ["sh", "-c", "trap '' XFSZ && ulimit -f 8192 && exec \"$@\"", "sh"];
    let said = Writer::wrapped(&wrapper, node.folder.path(), "a", 8, 1).run();
    let error = "Failed harperdb-config.yaml cannot be written: File too large (os error 27)";
    assert_eq!(said.errors, [error; 8]);
    assert_eq!(node.config().unwrap(), text);
}

// covers: routes.file.cancelled
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_goes_away_takes_nobody_along() {
    let stopped = Stopped::new().await;
    let first = stopped.set("first");
    stopped.until_pending(1).await;
    let second = stopped.set("second");
    stopped.until_pending(2).await;
    let third = stopped.set("third");
    stopped.until_pending(3).await;
    // The one at the lock, and one who is in the middle of those behind.
    for gone in [first, second] {
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
    }
    stopped.lock.unlock().unwrap();
    timeout(SOON, third).await.unwrap().unwrap().unwrap();
    assert_eq!(hub_in(&stopped.config.document().unwrap()), ["first", "second", "third"]);
}

// covers: routes.file.lock-409
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_give_up_when_the_lock_is_held_for_long() {
    let stopped = Stopped::new().await;
    let started = Instant::now();
    let writers: Vec<_> = (0..8).map(|n| stopped.set(&format!("node-{n}"))).collect();
    stopped.until_pending(8).await;
    for writer in writers {
        let error = timeout(SOON, writer).await.unwrap().unwrap().unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Conflict, ALL_THE_WHILE));
    }
    assert!(started.elapsed() < SOON / 2, "{:?}", started.elapsed());
    assert_eq!(stopped.pending().await.0, [""; 0], "nothing of it is left");
    assert_eq!(stopped.node.config().unwrap(), no_routes());
    stopped.lock.unlock().unwrap();
    stopped.host.dispatch(&Caller::super_user("admin"), crate::set_request("a")).await.unwrap();
}

/// Nobody in a process that is killed was told of anything.
// covers: routes.file.told-when-durable
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_they_gather() {
    let stopped = Stopped::new().await;
    let path = stopped.node.folder.path().canonicalize().unwrap();
    let mut writer = Writer::adding(&path, "a", 16, 1);
    writer.go();
    let lock = path.join("harperdb-config.yaml.lock");
    wait_until("it waits for the lock", || is_open_in(writer.child.id(), &lock));
    stopped.some_time().await;
    writer.child.kill().unwrap();
    let said = writer.rest();
    assert_eq!((said.acknowledged, said.errors), (vec![], vec![]));
    stopped.lock.unlock().unwrap();
    assert_eq!(stopped.shown().await, [""; 0]);
    assert_eq!(stopped.node.config().unwrap(), no_routes());
}

fn is_open_in(process: u32, file: &Path) -> bool {
    let is_it = |link: fs::DirEntry| fs::read_link(link.path()).is_ok_and(|path| path == file);
    let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    files.into_iter().any(is_it)
}
