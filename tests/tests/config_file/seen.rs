//! What is done to the file by hand is seen.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harper_host::config::ConfigFile;
use harper_host::{Change, Config, ConfigError};
use serde_json::{Value, json};
use tracing::{Metadata, Subscriber, span};

use crate::{HEAD, HUB, TAIL, file, hub, hub_in, no_routes, node, route, set, wait_until};

// covers: routes.file.hand-edit-seen
#[tokio::test]
async fn an_edit_between_two_calls() {
    let node = node().await;
    set(&node.host, "a").await.unwrap();
    let edited = node.config().unwrap().replace("host: a", "host: b  # mine");
    fs::write(file(&node), &edited).unwrap();
    assert_eq!(hub(&node).await, ["b"]);
    set(&node.host, "c").await.unwrap();
    assert_eq!(hub(&node).await, ["b", "c"]);
    assert!(node.config().unwrap().contains("host: b  # mine\n"));
}

// covers: routes.file.hand-edit-seen
#[tokio::test]
async fn an_edit_with_the_same_size_and_time() {
    let node = node().await;
    set(&node.host, "a").await.unwrap();
    assert_eq!(hub(&node).await, ["a"]);
    let path = file(&node);
    let about = || {
        let metadata = fs::metadata(&path).unwrap();
        (metadata.ino(), metadata.len(), metadata.modified().unwrap())
    };
    let before = about();
    // In place, as some editors do.
    fs::write(&path, node.config().unwrap().replace("host: a", "host: b")).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(before.2).unwrap();
    assert_eq!(about(), before);
    assert_eq!(hub(&node).await, ["b"]);
    set(&node.host, "c").await.unwrap();
    assert_eq!(hub(&node).await, ["b", "c"]);
}

/// A file that has been as it is for some time is not read at each call: whatever can be done to it
/// without a trace in its size and mtime is seen all the same, at the next call.
// covers: routes.file.hand-edit-seen
#[tokio::test]
async fn an_edit_of_a_file_that_was_left_alone_for_long() {
    let text = |host: &str| no_routes().replace("null", &format!("[{{ host: {host}, port: 1 }}]"));
    let set_time = |path: &Path, time| {
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    };
    let modified = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let mut nodes = Vec::new();
    for _ in 0..6 {
        let node = node().await;
        let (path, folder) = (file(&node), node.folder.path());
        // What will take its place is as old, as long, and has the same mtime.
        fs::write(&path, text("a")).unwrap();
        fs::write(folder.join("other"), text("b")).unwrap();
        set_time(&folder.join("other"), modified(&path));
        nodes.push(node);
    }
    let linked = file(&nodes[3]);
    let folder = nodes[3].folder.path();
    fs::rename(&linked, folder.join("one")).unwrap();
    symlink("one", &linked).unwrap();
    symlink("other", folder.join("link")).unwrap();
    let changed = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        UNIX_EPOCH + Duration::new(metadata.ctime() as u64, metadata.ctime_nsec() as u32)
    };
    let old = Duration::from_secs(4);
    wait_until("the files grow old", || {
        std::thread::sleep(Duration::from_millis(20));
        nodes.iter().all(|node| changed(&file(node)).elapsed().is_ok_and(|age| age > old))
    });
    type Edit<'e> = &'e dyn Fn(&Path, &Path);
    let edits: [Edit<'_>; 6] = [
        // In place.
        &|path, _| fs::write(path, text("b")).unwrap(),
        &|path, _| {
            let before = modified(path);
            fs::write(path, text("b")).unwrap();
            set_time(path, before);
        },
        // By another file.
        &|path, folder| fs::rename(folder.join("other"), path).unwrap(),
        // By another target of the link.
        &|path, folder| fs::rename(folder.join("link"), path).unwrap(),
        // In place, with a time of the future.
        &|path, _| {
            fs::write(path, text("b")).unwrap();
            set_time(path, SystemTime::now() + Duration::from_secs(3600));
        },
        // The folder of it.
        &|path, folder| {
            let moved = folder.with_extension("moved");
            fs::rename(folder, &moved).unwrap();
            fs::create_dir(folder).unwrap();
            fs::rename(moved.join("other"), path).unwrap();
            fs::remove_dir_all(moved).unwrap();
        },
    ];
    let is_aside = |n: usize| [3, 5].contains(&n);
    for (n, (node, edit)) in nodes.iter().zip(edits).enumerate() {
        for _ in 0..3 {
            assert_eq!(hub(node).await, ["a"], "edit {n}");
        }
        edit(&file(node), node.folder.path());
        // What is not in the file's own place shows some milliseconds later.
        let end = Instant::now() + Duration::from_secs(1);
        while is_aside(n) && hub(node).await == ["a"] && Instant::now() < end {
            tokio::task::yield_now().await;
        }
        assert_eq!(hub(node).await, ["b"], "edit {n}");
        // Also right after, when the new one is young.
        fs::write(file(node), text("c")).unwrap();
        assert_eq!(hub(node).await, ["c"], "edit {n}");
    }
}

// covers: routes.file.hand-edit-seen
#[tokio::test]
async fn an_edit_between_reading_and_writing() {
    let node = node().await;
    let config = ConfigFile::open(file(&node)).unwrap();
    let snapshot = config.get(vec![HUB.parse().unwrap()]).await.unwrap();
    let edited = format!("{HEAD}\n          - {{ host: mine, port: 1 }}{TAIL}");
    fs::write(file(&node), &edited).unwrap();
    let change = Change { path: HUB.parse().unwrap(), value: json!([route("a")]) };
    let set = config.set(snapshot.revision.clone(), vec![change.clone()]).await;
    assert_eq!(set, Err(ConfigError::Conflict));
    assert_eq!(node.config().unwrap(), edited);

    // Equal contents are an equal revision, whoever wrote them.
    fs::write(file(&node), no_routes()).unwrap();
    config.set(snapshot.revision, vec![change]).await.unwrap();
    assert_eq!(hub_in(&config.document().unwrap()), ["a"]);
}

/// What is at the file's place, or not, is told clearly, and all is well when it is back.
// covers: routes.file.hand-edit-seen
#[tokio::test]
async fn a_file_that_goes_and_comes_back() {
    let node = node().await;
    fs::remove_file(file(&node)).unwrap();
    let error = set(&node.host, "a").await.unwrap_err();
    let text = "harperdb-config.yaml cannot be read: No such file or directory (os error 2)";
    assert_eq!(error.message, text);
    assert!(!file(&node).exists());
    let get = json!({ "operation": "cluster_get_routes" });
    assert_eq!(node.send(get.clone()).await.unwrap_err().message, text);

    fs::write(file(&node), "").unwrap();
    assert_eq!(node.send(get).await.unwrap(), json!({ "hub": [], "leaf": [] }));
    set(&node.host, "a").await.unwrap();
    assert_eq!(hub(&node).await, ["a"]);
    assert_ne!(ConfigFile::open(file(&node)).unwrap().document().unwrap(), Value::Null);
}

/// Counts warnings.
struct Warnings(Arc<AtomicU32>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, SeqCst);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Who wrote it may not have waited for the disk, and may not live any more. Here is a file that no
/// disk has: it is read all the same, and the log says once that it could not be made durable.
// covers: routes.file.told-when-durable
#[test]
fn what_others_wrote_is_made_durable_before_it_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(harper_host::config::FILE_NAME);
    std::os::unix::fs::symlink("/proc/sys/kernel/ostype", &path).unwrap();
    let warnings = Arc::<AtomicU32>::default();
    tracing::subscriber::with_default(Warnings(warnings.clone()), || {
        let config = ConfigFile::open(&path).unwrap();
        assert_eq!(warnings.load(SeqCst), 1);
        assert_eq!(config.document().unwrap(), "Linux");
        assert_eq!(warnings.load(SeqCst), 1, "what is known to be durable is not synced again");
        fs::remove_file(&path).unwrap();
        fs::write(&path, no_routes()).unwrap();
        config.document().unwrap();
        assert_eq!(warnings.load(SeqCst), 1, "a disk can do it");
    });
}
