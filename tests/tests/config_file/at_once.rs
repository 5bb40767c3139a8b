//! Many writers at the same time, writers that wait, and writers that end halfway.

use std::collections::HashSet;
use std::fs::{self, File};
use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use harper_host::config::{ConfigFile, FILE_NAME};
use harper_host::{
    BoxFuture, Change, Clock, Config, ConfigError, ErrorKind, Host, KeyPath, Snapshot,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    ALL_THE_WHILE, HEAD, HUB, SOON, TAIL, Writer, file, hub, hub_in, names, no_routes, node, set,
    wait_until,
};

/// Reads the file all the while until `stop`: it is whole each time, and routes are only ever
/// added at the end. Returns how many states it saw.
fn read_all_the_while(path: &std::path::Path, stop: &AtomicBool) -> usize {
    let mut states = 0;
    let mut before: Vec<String> = Vec::new();
    while !stop.load(SeqCst) {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.starts_with(HEAD) && text.ends_with(TAIL), "{text}");
        let routes = hub_in(&ConfigFile::open(path).unwrap().document().unwrap());
        assert_eq!(routes.get(..before.len()), Some(&*before), "a route was lost or moved");
        states += usize::from(routes.len() > before.len());
        before = routes;
    }
    states
}

/// All that was acknowledged is there once, and each task's routes in the order it added them.
fn check_routes(routes: &[String], acknowledged: &[String]) {
    let there: HashSet<_> = routes.iter().collect();
    assert_eq!(there.len(), routes.len(), "a route is there twice");
    assert_eq!(there, acknowledged.iter().collect());
    let order = |route: &String| {
        let (task, n) = route.rsplit_once('-').unwrap();
        (task.to_owned(), n.parse::<u32>().unwrap())
    };
    let mut in_file: Vec<_> = routes.iter().map(order).collect();
    in_file.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(in_file.is_sorted(), "a task's routes are not in order: {routes:?}");
}

// covers: routes.file.two-processes
#[tokio::test]
async fn two_processes() {
    let node = node().await;
    let path = file(&node);
    let mut writers = ["one", "two"].map(|name| Writer::adding(node.folder.path(), name, 16, 4));
    let stop = AtomicBool::new(false);
    let (states, said) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_all_the_while(&path, &stop));
        writers.iter_mut().for_each(Writer::go);
        let said =
            writers.map(|writer| scope.spawn(|| writer.rest())).map(|run| run.join().unwrap());
        stop.store(true, SeqCst);
        (reader.join().unwrap(), said)
    });
    let [one, two] = said;
    assert_eq!([one.errors, two.errors], [vec![], vec![]] as [Vec<String>; 2]);
    assert_eq!([one.acknowledged.len(), two.acknowledged.len()], [64, 64]);
    check_routes(&hub(&node).await, &[one.acknowledged, two.acknowledged].concat());
    assert!(states > 10, "the reader saw {states} states only");
    assert_eq!(names(&node.folder.path().join("backup")).len(), 20);
}

// covers: routes.file.two-processes
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hosts_in_one_process() {
    let node = node().await;
    let other = Host::builder().root_path(node.folder.path()).build().await.unwrap();
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let host = if task % 2 == 0 { node.host.clone() } else { other.clone() };
            tokio::spawn(async move {
                for n in 0..3 {
                    set(&host, &format!("task-{task}-{n}")).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let all = (0..16).flat_map(|task| (0..3).map(move |n| format!("task-{task}-{n}")));
    check_routes(&hub(&node).await, &all.collect::<Vec<_>>());
}

/// A configuration of an embedder, in which another writer is always faster.
struct AlwaysChanged {
    routes: Value,
    sets: Arc<AtomicU32>,
}

impl Config for AlwaysChanged {
    fn get(&self, paths: Vec<KeyPath>) -> BoxFuture<'_, Result<Snapshot, ConfigError>> {
        let values = paths.iter().map(|_| self.routes.clone()).collect();
        Box::pin(async { Ok(Snapshot { revision: "1".into(), values }) })
    }

    fn set(&self, _: String, _: Vec<Change>) -> BoxFuture<'_, Result<String, ConfigError>> {
        self.sets.fetch_add(1, SeqCst);
        Box::pin(async { Err(ConfigError::Conflict) })
    }
}

/// A clock on which a wait takes no time.
#[derive(Default)]
struct FastClock(AtomicU64);

impl Clock for FastClock {
    fn now(&self) -> u64 {
        0
    }

    fn monotonic(&self) -> u64 {
        // What happens between two looks at it takes a microsecond.
        self.0.fetch_add(1000, SeqCst)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        self.0.fetch_add(duration.as_nanos().try_into().unwrap(), SeqCst);
        Box::pin(async {})
    }
}

// covers: routes.file.lock-409
#[tokio::test]
async fn who_always_loses_is_told_so() {
    let sets = Arc::new(AtomicU32::new(0));
    let config = AlwaysChanged { routes: Value::Null, sets: sets.clone() };
    let host = Host::builder().config(config).clock(FastClock::default()).build().await.unwrap();
    let error = timeout(SOON, set(&host, "a")).await.unwrap().unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Conflict, ALL_THE_WHILE));
    let sets = sets.load(SeqCst);
    assert!((64..=1000).contains(&sets), "{sets} attempts");
}

// covers: routes.file.lock-409
#[tokio::test]
async fn who_always_loses_with_many_routes_is_told_so() {
    let routes = (0..10_000).map(|n| json!({ "host": format!("node-{n}.example.org"), "port": 1 }));
    let config = AlwaysChanged { routes: routes.collect(), sets: Arc::default() };
    let host = Host::builder().config(config).build().await.unwrap();
    let error = timeout(SOON, set(&host, "a")).await.unwrap().unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Conflict, ALL_THE_WHILE));
}

// covers: routes.file.lock-409
#[tokio::test]
async fn a_lock_that_is_held_for_long() {
    let node = node().await;
    let lock = node.folder.path().join(format!("{FILE_NAME}.lock"));
    let mut holder = Writer::start(&[], &["hold", lock.to_str().unwrap()]);
    let started = Instant::now();
    let (one, other) = tokio::join!(set(&node.host, "a"), set(&node.host, "b"));
    for error in [one.unwrap_err(), other.unwrap_err()] {
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Conflict, ALL_THE_WHILE));
    }
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    assert_eq!(hub(&node).await, [""; 0], "reading needs no lock");
    assert_eq!(node.config().unwrap(), no_routes());
    assert_eq!(names(node.folder.path()), [FILE_NAME, &format!("{FILE_NAME}.lock")]);

    holder.go();
    assert!(holder.rest().errors.is_empty());
    set(&node.host, "a").await.unwrap();
    assert_eq!(hub(&node).await, ["a"]);
}

/// How many times this process has the file open.
fn opened(file: &std::path::Path) -> usize {
    let is_it = |link: &fs::DirEntry| fs::read_link(link.path()).is_ok_and(|path| path == file);
    fs::read_dir("/proc/self/fd").unwrap().flatten().filter(is_it).count()
}

/// Somebody takes the lock file for a left-over: the one who waits for the old one must not write
/// beside the one who holds the new one.
// covers: routes.file.two-processes
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_file_that_is_removed() {
    let node = node().await;
    let lock = node.folder.path().canonicalize().unwrap().join(format!("{FILE_NAME}.lock"));
    let old = File::create(&lock).unwrap();
    old.lock().unwrap();
    let host = node.host.clone();
    let writer = tokio::spawn(async move { set(&host, "a").await });
    wait_until("the writer waits", || opened(&lock) == 2);
    fs::remove_file(&lock).unwrap();
    let new = File::create(&lock).unwrap();
    new.lock().unwrap();
    drop(old);
    wait_until("the writer waits again", || opened(&lock) == 2 || writer.is_finished());
    assert!(!writer.is_finished(), "it wrote without the lock");
    drop(new);
    writer.await.unwrap().unwrap();
    assert_eq!(hub(&node).await, ["a"]);
}

// covers: routes.file.atomic
#[tokio::test]
async fn killed_writers() {
    let node = node().await;
    let path = file(&node);
    let mut acknowledged = Vec::new();
    // Not random, but no writer is ever at the same point when its time comes.
    for round in 0..20 {
        let mut writer = Writer::adding(node.folder.path(), &format!("r{round}"), 4, 1000);
        writer.go();
        for _ in 0..round % 4 {
            acknowledged.push(writer.line().unwrap().strip_prefix("ok ").unwrap().to_owned());
        }
        let moment = Instant::now() + Duration::from_micros(round * 377);
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        writer.child.kill().unwrap();
        let said = writer.rest();
        assert_eq!(said.errors, [""; 0]);
        assert!(said.acknowledged.len() < 1000, "it was killed at work");
        acknowledged.extend(said.acknowledged);

        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(HEAD) && text.ends_with(TAIL), "{text}");
        let routes: HashSet<_> = hub(&node).await.into_iter().collect();
        for route in &acknowledged {
            assert!(routes.contains(route), "{route} was acknowledged and is lost");
        }
    }
    // Whether or not one of them left any.
    fs::write(node.folder.path().join(format!(".{FILE_NAME}.new-x")), "half of it").unwrap();
    set(&node.host, "last").await.unwrap();
    assert_eq!(names(node.folder.path()), ["backup", FILE_NAME, &format!("{FILE_NAME}.lock")]);
    assert_eq!(hub(&node).await.last().unwrap(), "last");
}

fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

// covers: routes.file.cancelled
#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_dropped_halfway() {
    let node = node().await;
    let config = ConfigFile::open(file(&node)).unwrap();
    let change = |host: &str| {
        vec![Change { path: HUB.parse().unwrap(), value: json!([{ "host": host, "port": 1 }]) }]
    };
    let revision = async || {
        let snapshot = config.get(vec![HUB.parse().unwrap()]).await.unwrap();
        (snapshot.revision, snapshot.values[0].clone())
    };
    for polls in 0..20 {
        let (before, _) = revision().await;
        let host = format!("dropped-{polls}");
        {
            // One that waits for its turn behind another that is at work; both are given up.
            let mut first = pin!(config.set(before.clone(), change(&host)));
            let mut second = pin!(config.set(before, change(&host)));
            for _ in 0..polls {
                if poll(first.as_mut()).is_ready() || poll(second.as_mut()).is_ready() {
                    break;
                }
            }
        }
        // The next one gets in; when the one before it was still at work, at its second attempt.
        let next = format!("next-{polls}");
        let deadline = Instant::now() + SOON;
        loop {
            let (revision, _) = revision().await;
            match timeout(SOON, config.set(revision, change(&next))).await.unwrap() {
                Ok(_) => break,
                Err(ConfigError::Conflict) => assert!(Instant::now() < deadline),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(revision().await.1, json!([{ "host": next, "port": 1 }]));
        let text = node.config().unwrap();
        assert!(text.starts_with(HEAD) && text.ends_with(TAIL), "{text}");
    }
}

// covers: routes.file.cancelled
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn operations_that_are_dropped_halfway() {
    let node = node().await;
    for round in 0..30 {
        let host = node.host.clone();
        let dropped = tokio::spawn(async move { set(&host, &format!("dropped-{round}")).await });
        let moment = Instant::now() + Duration::from_micros(round * 97);
        while Instant::now() < moment {
            tokio::task::yield_now().await;
        }
        dropped.abort();
        timeout(SOON, set(&node.host, &format!("kept-{round}"))).await.unwrap().unwrap();
    }
    let routes = hub(&node).await;
    let kept: Vec<_> = routes.iter().filter(|route| route.starts_with("kept")).collect();
    assert_eq!(
        kept,
        (0..30).map(|n| format!("kept-{n}")).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    let there: HashSet<_> = routes.iter().collect();
    assert_eq!(there.len(), routes.len(), "a route is there twice");
}

// covers: routes.file.lock-no-link
#[tokio::test]
async fn a_lock_file_that_is_none() {
    let node = node().await;
    let lock = node.folder.path().join(format!("{FILE_NAME}.lock"));
    let elsewhere = tempfile::tempdir().unwrap();
    let theirs = elsewhere.path().join("theirs");

    let cannot = |why: &str| format!("{FILE_NAME} cannot be written: its lock file: {why}");
    let refused = async |why: &str| {
        let error = timeout(SOON, set(&node.host, "a")).await.unwrap().unwrap_err();
        assert_eq!((error.kind, error.message), (ErrorKind::Failed, cannot(why)));
        assert_eq!(node.config().unwrap(), no_routes());
        assert_eq!(names(node.folder.path()), [FILE_NAME, &format!("{FILE_NAME}.lock")]);
    };
    std::os::unix::fs::symlink(&theirs, &lock).unwrap();
    refused("Too many levels of symbolic links (os error 40)").await;
    assert!(!theirs.exists(), "nothing is made behind the link");
    fs::write(&theirs, "theirs").unwrap();
    refused("Too many levels of symbolic links (os error 40)").await;
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");

    fs::remove_file(&lock).unwrap();
    assert!(Command::new("mkfifo").arg(&lock).status().unwrap().success());
    refused("No such device or address (os error 6)").await;

    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    refused("Is a directory (os error 21)").await;

    fs::remove_dir(&lock).unwrap();
    set(&node.host, "a").await.unwrap();
    assert_eq!(fs::metadata(&lock).unwrap().mode() & 0o777, 0o600);
}

/// A writer waits for another for as long as that takes milliseconds.
// covers: routes.file.lock-409
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_held_for_a_moment() {
    let node = node().await;
    let lock = node.folder.path().canonicalize().unwrap().join(format!("{FILE_NAME}.lock"));
    let held = File::create(&lock).unwrap();
    held.lock().unwrap();
    let host = node.host.clone();
    let writer = tokio::spawn(async move { set(&host, "a").await });
    wait_until("the writer waits", || opened(&lock) == 2);
    drop(held);
    writer.await.unwrap().unwrap();
    assert_eq!(hub(&node).await, ["a"]);
}
