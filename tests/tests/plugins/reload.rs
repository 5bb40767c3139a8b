//! A plugin is loaded again while it works: no call is lost, and a bad one takes nobody's place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use harper_host::{Caller, Role};
use serde_json::{Value, json};

use crate::{Folder, Node};

/// The plugin in this version, granted.
fn grant(folder: &Folder, settings: &Value) -> String {
    let sha256 = folder.component("hostile", settings);
    folder.configure(&json!([{
        "name": "hostile", "file": "hostile.wasm", "sha256": sha256,
        "limits": { "concurrentCalls": 64 },
    }]));
    sha256
}

async fn version(node: &Node) -> Result<Value, String> {
    node.ask(json!({ "operation": "hostile_version" })).await
}

// covers: plugins.reload
#[tokio::test]
async fn new_calls_go_to_the_new_one_and_running_ones_end_on_the_old_one() {
    let folder = Folder::new();
    grant(&folder, &json!({ "version": 1 }));
    let node = folder.host().await;
    let running = tokio::spawn({
        let node = node.clone();
        async move { node.ask(json!({ "operation": "hostile_sleep", "amount": 1500 })).await }
    });
    tokio::task::yield_now().await;
    // It has other operations besides.
    let sha256 = grant(&folder, &json!({ "version": 2, "prefix": "other" }));
    let reloaded = node.reload("hostile").await.unwrap();
    assert_eq!(reloaded["message"], "plugin 'hostile' successfully reloaded");
    assert_eq!(reloaded["sha256"], sha256);
    assert!(reloaded["operations"].as_array().unwrap().contains(&json!("other_echo")));
    assert!(!running.is_finished(), "it still runs");
    assert_eq!(version(&node).await, Err("Operation 'hostile_version' not found".into()));
    assert_eq!(node.ask(json!({ "operation": "other_version" })).await, Ok(json!(2)));
    assert_eq!(running.await.unwrap(), Ok(Value::Null), "to its end");
    assert_eq!(node.plugin("hostile").await["sha256"], sha256);
}

// covers: plugins.reload.stays
#[tokio::test]
async fn what_is_wrong_with_the_new_one_leaves_the_old_one() {
    let folder = Folder::new();
    let one = grant(&folder, &json!({ "version": 1 }));
    let node = folder.host().await;
    let stays = async |why: &str| {
        let error = node.reload("hostile").await.unwrap_err();
        assert!(error.contains(why), "{error}");
        assert_eq!(version(&node).await, Ok(json!(1)));
        let plugin = node.plugin("hostile").await;
        assert_eq!((&plugin["loaded"], &plugin["sha256"]), (&json!(true), &json!(one)));
        assert_eq!(plugin["error"], error);
    };
    grant(&folder, &json!({ "version": 2, "describe": "trap" }));
    stays("could not describe itself").await;
    grant(&folder, &json!({ "version": 2, "asks": { "tables.read": ["x"] } }));
    stays("has a manifest that cannot be one").await;
    grant(&folder, &json!({ "version": 2, "prefix": "cluster", "only": "status" }));
    stays("which is there already").await;
    grant(&folder, &json!({ "version": 2 }));
    folder.component("hostile", &json!({ "version": 3 }));
    stays("is not the file that was granted").await;
    std::fs::remove_file(folder.path().join("hostile.wasm")).unwrap();
    stays("its file cannot be read").await;
    folder.configure(&json!(null));
    let error = node.reload("hostile").await.unwrap_err();
    assert_eq!(error, "there is no plugin 'hostile' among 'plugins' in harperdb-config.yaml");
    assert_eq!(version(&node).await, Ok(json!(1)));
    folder.configure(&json!("none"));
    let error = node.reload("hostile").await.unwrap_err();
    assert!(error.contains("'plugins' must be a list, or null (line "), "{error}");
    assert_eq!(version(&node).await, Ok(json!(1)));
    // And one that is right is taken after all that.
    grant(&folder, &json!({ "version": 4 }));
    node.reload("hostile").await.unwrap();
    assert_eq!(version(&node).await, Ok(json!(4)));
    assert_eq!(node.plugin("hostile").await["error"], Value::Null);
}

// covers: plugins.reload
#[tokio::test]
async fn one_that_was_not_loaded_at_the_start_is_loaded_once_it_is_granted() {
    let folder = Folder::new();
    folder.component("hostile", &json!({ "version": 1 }));
    folder.configure(&json!([{ "name": "hostile", "file": "hostile.wasm" }]));
    let node = folder.host().await;
    assert!(version(&node).await.is_err());
    grant(&folder, &json!({ "version": 1 }));
    node.reload("hostile").await.unwrap();
    assert_eq!(version(&node).await, Ok(json!(1)));
}

// covers: plugins.reload.super-user
#[tokio::test]
async fn only_super_users_see_and_load_plugins() {
    let folder = Folder::new();
    grant(&folder, &json!({ "version": 1 }));
    let node = folder.host().await;
    let caller = Caller::new("someone", Role::Named("dev".into()));
    for name in ["plugin_list", "plugin_reload"] {
        let request = json!({ "operation": name, "name": "hostile" });
        let error = node.host.dispatch(&caller, request).await.unwrap_err();
        assert_eq!(error.message, format!("Operation '{name}' is restricted to super_user roles"));
    }
}

/// Bytes of memory that this process has in use.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

fn mapped() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.ends_with(".cwasm")).count()
}

// covers: plugins.reload.load
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_call_is_lost_and_nothing_grows() {
    const ROUNDS: usize = 50;
    let folder = Folder::new();
    grant(&folder, &json!({ "version": 0 }));
    let node = folder.host().await;
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
        grant(&folder, &json!({ "version": round }));
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
