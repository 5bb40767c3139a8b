//! Fifty reloads under load. It is alone in its process, whose memory and threads it counts.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use harper_tests::plugins::{Folder, PluginNode as Node};
use serde_json::{Value, json};

/// The plugin in this version, granted.
fn grant(folder: &Folder, version: usize) {
    let sha256 = folder.component("hostile", &json!({ "version": version })).unwrap();
    folder
        .configure(&json!([{
            "name": "hostile", "file": "hostile.wasm", "sha256": sha256,
            "limits": { "concurrentCalls": 64 },
        }]))
        .unwrap();
}

async fn version(node: &Node) -> Result<Value, String> {
    node.ask(json!({ "operation": "hostile_version" })).await
}

/// Bytes of memory that this process has in use.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Threads of this process.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Compiled components whose code is in memory.
fn mapped() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let files =
        maps.lines().filter_map(|line| line.split(' ').find(|word| word.contains(".cwasm")));
    files.collect::<BTreeSet<_>>().len()
}

// covers: plugins.reload.load
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_call_is_lost_and_nothing_grows() {
    const ROUNDS: usize = 50;
    let folder = Folder::new().unwrap();
    grant(&folder, 0);
    let node = folder.host().await.unwrap();
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|n| {
            let (node, stop, done) = (node.clone(), stop.clone(), done.clone());
            tokio::spawn(async move {
                let mut last = 0;
                while !stop.load(SeqCst) {
                    // Some are in the middle of something when they are overtaken.
                    if n == 0 {
                        let sleep = json!({ "operation": "hostile_sleep", "amount": 5 });
                        node.ask(sleep).await.unwrap();
                    }
                    let version = version(&node).await.unwrap().as_u64().unwrap();
                    assert!(version >= last, "{version} after {last}");
                    last = version;
                    done.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    let mut after_some = None;
    for round in 1..=ROUNDS {
        grant(&folder, round);
        let before = done.load(SeqCst);
        node.reload("hostile").await.unwrap();
        assert_eq!(version(&node).await, Ok(json!(round)));
        let deadline = Instant::now() + Duration::from_secs(10);
        while done.load(SeqCst) < before + 8 {
            assert!(Instant::now() < deadline, "calls go on");
            tokio::task::yield_now().await;
        }
        if round == 10 {
            after_some = Some((memory(), threads()));
        }
    }
    stop.store(true, SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    let (memory_then, threads_then) = after_some.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    // A thread ends a moment after its last call.
    while threads() > threads_then + 2 || mapped() > 2 {
        assert!(Instant::now() < deadline, "{} threads, {} mapped", threads(), mapped());
        tokio::task::yield_now().await;
    }
    // A component's code is some megabyte: forty that stayed would be forty.
    let grown = memory().saturating_sub(memory_then);
    assert!(grown < 20 << 20, "{grown} bytes more than after ten rounds");
    let cached = std::fs::read_dir(folder.path().join("cache/components")).unwrap().count();
    assert!(cached <= 16, "{cached} compiled components are kept");
}
