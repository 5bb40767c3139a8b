//! What is granted is bound to a file's hash, and keeps no node from starting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use harper_host::{BuildError, LoadError};
use harper_tests::hostile::hostile;
use harper_tests::plugins::{Folder, PluginNode as Node};
use serde_json::{Value, json};

async fn works(node: &Node) {
    let routes = node.send(json!({ "operation": "cluster_get_routes" })).await;
    assert_eq!(routes, Ok(json!({ "hub": [], "leaf": [] })), "the node works");
}

/// The plugin is not loaded, and this is why.
async fn not_loaded(folder: &Folder) -> String {
    let node = folder.host().await.unwrap();
    works(&node).await;
    let echo = node.ask(json!({ "operation": "hostile_echo" })).await;
    assert_eq!(echo, Err("Operation 'hostile_echo' not found".into()));
    let plugin = node.plugin("hostile").await;
    assert_eq!(plugin["loaded"], false);
    let metrics = node.host.metrics();
    assert!(metrics.contains("harper_plugins{state=\"not_loaded\"} 1\n"), "{metrics}");
    let reloaded = node.reload("hostile").await;
    assert_eq!(reloaded, Err(plugin["error"].as_str().unwrap().to_owned()));
    plugin["error"].as_str().unwrap().to_owned()
}

fn entry(sha256: Value) -> Value {
    json!([{ "name": "hostile", "file": "hostile.wasm", "sha256": sha256 }])
}

// covers: plugins.loaded
#[tokio::test]
async fn a_file_with_the_hash_that_was_granted() {
    let folder = Folder::new().unwrap();
    let sha256 = folder.component("hostile", &json!({ "version": 1 })).unwrap();
    folder.configure(&entry(json!(sha256.to_uppercase()))).unwrap();
    let node = folder.host().await.unwrap();
    works(&node).await;
    assert_eq!(node.send(json!({ "operation": "hostile_version" })).await, Ok(json!(1)));
    let plugin = node.plugin("hostile").await;
    assert_eq!((&plugin["loaded"], &plugin["error"]), (&json!(true), &Value::Null));
    assert_eq!(plugin["sha256"], sha256);
    assert_eq!(plugin["granted"], json!({}));
    assert_eq!(plugin["asked"]["nats"], json!({ "request": ["*.>"], "servers": true }));
    assert_eq!(plugin["file"], "hostile.wasm");
}

// covers: plugins.sha256
#[tokio::test]
async fn another_file_is_not_loaded() {
    let folder = Folder::new().unwrap();
    let want = folder.component("hostile", &json!({ "version": 1 })).unwrap();
    folder.configure(&entry(json!(want))).unwrap();
    let have = folder.component("hostile", &json!({ "version": 2 })).unwrap();
    assert_eq!(
        not_loaded(&folder).await,
        format!(
            "plugin 'hostile' is not the file that was granted: have sha256 {have}, want {want}; \
             look at it with 'harper-host plugin inspect hostile.wasm', and allow it with \
             'harper-host plugin grant hostile.wasm'"
        )
    );
}

// covers: plugins.sha256
#[tokio::test]
async fn without_a_hash_nothing_is_granted() {
    let folder = Folder::new().unwrap();
    let have = folder.component("hostile", &json!({})).unwrap();
    folder.configure(&entry(Value::Null)).unwrap();
    assert_eq!(
        not_loaded(&folder).await,
        format!(
            "plugin 'hostile' is granted nothing: have sha256 {have}, want one in 'plugins'; look \
             at it with 'harper-host plugin inspect hostile.wasm', and allow it with 'harper-host \
             plugin grant hostile.wasm'"
        )
    );
}

// covers: plugins.no-harm
#[tokio::test]
async fn what_is_no_plugin_keeps_no_node_from_starting() {
    let folder = Folder::new().unwrap();
    folder.configure(&entry(json!("0".repeat(64)))).unwrap();
    let error = not_loaded(&folder).await;
    assert!(error.starts_with("plugin 'hostile': its file cannot be read: "), "{error}");

    std::fs::create_dir(folder.path().join("hostile.wasm")).unwrap();
    assert_eq!(not_loaded(&folder).await, "plugin 'hostile': its file is no regular file");

    std::fs::remove_dir(folder.path().join("hostile.wasm")).unwrap();
    std::fs::write(folder.path().join("hostile.wasm"), "#!/bin/sh").unwrap();
    folder.configure(&entry(json!(harper_host::plugins::sha256(b"#!/bin/sh")))).unwrap();
    let error = not_loaded(&folder).await;
    assert!(error.starts_with("plugin 'hostile' is not a WebAssembly component: "), "{error}");
}

// covers: plugins.reserved
#[tokio::test]
async fn what_is_the_clusters_own_is_not_granted_by_the_configuration_either() {
    let folder = Folder::new().unwrap();
    let sha256 = folder.component("hostile", &json!({})).unwrap();
    for (grants, grant, reserved) in [
        (json!({ "nats": { "request": ["a.__request__"] } }), "a.__request__", "*.__request__"),
        (json!({ "nats": { "request": ["*.__request__"] } }), "*.__request__", "$JS.>"),
        (json!({ "nats": { "request": ["*.>"] } }), "*.>", "$JS.>"),
        (json!({ "nats": { "request": ["_INBOX.>"] } }), "_INBOX.>", "_INBOX.>"),
        (json!({ "nats": { "request": ["$SYS.REQ.x"] } }), "$SYS.REQ.x", "$SYS.>"),
        (json!({ "nats": { "request": ["txn.dev.dog"] } }), "txn.dev.dog", "txn.>"),
        (json!({ "tables": { "read": ["system.hdb_user"] } }), "system.hdb_user", "system.*"),
        (json!({ "tables": { "write": ["system.*"] } }), "system.*", "system.*"),
        (json!({ "tables": { "create": ["system.x"] } }), "system.x", "system.*"),
        (json!({ "config": { "write": ["plugins"] } }), "plugins", "plugins"),
        (
            json!({ "config": { "write": ["clustering.*"] } }),
            "clustering.*",
            "clustering.natsServer",
        ),
        (json!({ "replication": true }), "replication", "the flow between nodes"),
    ] {
        let plugin = json!({ "name": "hostile", "file": "hostile.wasm", "sha256": sha256, "grants": grants });
        folder.configure(&json!([plugin])).unwrap();
        let text = format!(
            "plugin 'hostile' cannot have all of its grants: the grant '{grant}' reaches \
             '{reserved}', which is the cluster's own"
        );
        assert_eq!(not_loaded(&folder).await, text);
    }
}

// covers: plugins.development
#[tokio::test]
async fn in_development_the_hash_is_not_asked_for() {
    let folder = Folder::new().unwrap();
    folder.component("hostile", &json!({ "version": 1 })).unwrap();
    let file = folder.path().join("hostile.wasm");
    // What is granted is that of the entry of the same name, which is not loaded besides.
    folder
        .configure(&json!([{
            "name": "hostile", "file": "elsewhere.wasm", "sha256": "0".repeat(64),
            "grants": { "config": { "read": ["a.b"] } },
        }]))
        .unwrap();
    let node = folder.host_with(|host| host.plugin_in_development(&file, false)).await.unwrap();
    let get = |path: &str| json!({ "operation": "hostile_config_get", "path": path });
    assert_eq!(node.ask(get("a.b")).await, Ok(json!(["1"])));
    let denied = "Error::Denied(\"The plugin is not granted to read 'a.c'\")";
    assert_eq!(node.ask(get("a.c")).await, Err(denied.into()));
    folder.component("hostile", &json!({ "version": 2 })).unwrap();
    node.reload("hostile").await.unwrap();
    assert_eq!(node.send(json!({ "operation": "hostile_version" })).await, Ok(json!(2)));
    assert_eq!(node.ask(get("a.b")).await, Ok(json!(["1"])));

    let node = folder.host_with(|host| host.plugin_in_development(&file, true)).await.unwrap();
    assert_eq!(node.ask(get("a.c")).await, Ok(json!(["2"])));
    let granted = &node.plugin("hostile").await["granted"];
    assert_eq!(granted["nats"], json!({ "servers": true }), "but for what is the cluster's own");
    assert_eq!(granted.get("replication"), None);

    // Whoever names a file wants to know what is wrong with it.
    let missing = folder.path().join("missing.wasm");
    let built = folder.host_with(|host| host.plugin_in_development(&missing, false)).await;
    assert!(matches!(built.err(), Some(BuildError::PluginFile(_))));
    let built = folder.host_with(|host| host.plugin_in_development("Ä.wasm", false)).await;
    let error = built.err().unwrap().to_string();
    assert!(error.starts_with("'Ä' is no name for a plugin: "), "{error}");
}

/// Time to look at a file that another one takes the place of.
// covers: plugins.sha256
#[tokio::test]
async fn what_was_hashed_is_what_runs() {
    let folder = Folder::new().unwrap();
    let sha256 = folder.component("hostile", &json!({ "version": 1 })).unwrap();
    folder.configure(&entry(json!(sha256))).unwrap();
    let file = folder.path().join("hostile.wasm");
    let other = hostile(&json!({ "version": 2 }));
    let stop = Arc::new(AtomicBool::new(false));
    let swapping = std::thread::spawn({
        let (stop, one) = (stop.clone(), hostile(&json!({ "version": 1 })));
        move || {
            let aside = file.with_extension("aside");
            for bytes in [&other, &one].into_iter().cycle() {
                if stop.load(Relaxed) {
                    break;
                }
                std::fs::write(&aside, bytes).unwrap();
                std::fs::rename(&aside, &file).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    let node = folder.host().await.unwrap();
    for _ in 0..20 {
        // Loaded or refused, it is never the other one.
        let _ = node.reload("hostile").await;
        if node.plugin("hostile").await["loaded"] == true {
            assert_eq!(node.send(json!({ "operation": "hostile_version" })).await, Ok(json!(1)));
        }
    }
    stop.store(true, Relaxed);
    swapping.join().unwrap();
}

/// What the program gives is the program's: a fault in it is a fault of the program.
#[tokio::test]
async fn a_plugin_of_the_program_is_not_loaded_again() {
    let folder = Folder::new().unwrap();
    folder.configure(&json!(null)).unwrap();
    let source = || harper_host::ComponentSource::bytes(hostile(&json!({})));
    let node = folder
        .host_with(|host| host.plugin("hostile", source(), Default::default(), Default::default()));
    let node = node.await.unwrap();
    let text = "the plugin 'hostile' was given by the program, and is not loaded again";
    assert_eq!(node.reload("hostile").await, Err(text.into()));
    assert_eq!(node.plugin("hostile").await["loaded"], true);
    let text = "there is no plugin 'other' among 'plugins' in harperdb-config.yaml";
    assert_eq!(node.reload("other").await, Err(text.into()));
    let built = folder.host_with(|host| {
        let host = host.plugin("one", source(), Default::default(), Default::default());
        host.plugin("two", source(), Default::default(), Default::default())
    });
    let error = built.await.err().unwrap();
    assert!(matches!(error, BuildError::Plugin(LoadError::Taken { .. })), "{error:?}");
}
