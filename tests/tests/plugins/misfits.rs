//! Plugins that do not say what they are, or say it badly: refused when they are loaded.

use harper_host::testing::FakeNode;
use harper_tests::plugins::Folder;
use serde_json::{Value, json};

/// Why the plugin is not loaded.
async fn refused(settings: &Value) -> String {
    let folder = Folder::new().unwrap();
    let sha256 = folder.component("hostile", settings).unwrap();
    let limits = json!({ "cpu": 100 });
    folder
        .configure(&json!([{
            "name": "hostile", "file": "hostile.wasm", "sha256": sha256, "limits": limits,
        }]))
        .unwrap();
    let node = folder.host().await.unwrap();
    let routes = node.send(json!({ "operation": "cluster_get_routes" })).await;
    assert!(routes.is_ok(), "the node works");
    let plugin = node.plugin("hostile").await;
    assert_eq!(plugin["loaded"], false, "{plugin}");
    plugin["error"].as_str().unwrap().to_owned()
}

// covers: plugins.describe
#[tokio::test]
async fn one_that_does_not_describe_itself() {
    let error = refused(&json!({ "describe": "trap" })).await;
    let text = "plugin 'hostile' could not describe itself: Operation 'describe' failed \
                unexpectedly: the host's log has the cause";
    assert_eq!(error, text);
    let error = refused(&json!({ "describe": "loop" })).await;
    let text = "plugin 'hostile' could not describe itself: Operation 'describe' was stopped: it \
                used more than 100 ms of processor time";
    assert_eq!(error, text);
    let error = refused(&json!({ "describe": "log" })).await;
    let text = "plugin 'hostile' could not describe itself: Operation 'describe' was stopped: it \
                made more than 100 calls to the host";
    assert_eq!(error, text);
}

// covers: plugins.describe
#[tokio::test]
async fn one_that_says_too_much() {
    let error = refused(&json!({ "operations": 201 })).await;
    assert!(error.contains("describes 201 operations in "), "{error}");
    assert!(error.ends_with("at most 200 in 1048576 bytes are taken"), "{error}");
    let long = json!({ "description": "x".repeat(6000) });
    let error = refused(&json!({ "operations": 190, "schema": long })).await;
    assert!(error.contains("describes 190 operations in "), "{error}");
    // Just as many are taken.
    let folder = Folder::new().unwrap();
    let sha256 = folder.component("hostile", &json!({ "operations": 200 })).unwrap();
    folder
        .configure(&json!([{ "name": "hostile", "file": "hostile.wasm", "sha256": sha256 }]))
        .unwrap();
    let plugin = folder.host().await.unwrap().plugin("hostile").await;
    assert_eq!(plugin["operations"].as_array().map(Vec::len), Some(200));
}

// covers: plugins.manifest
#[tokio::test]
async fn one_that_asks_for_what_there_is_not() {
    let error = refused(&json!({ "asks": { "tables.read": ["dev.dog", "dev"] } })).await;
    let text = "plugin 'hostile' has a manifest that cannot be one: tables.read: 'dev' is not ";
    assert!(error.starts_with(text), "{error}");
    let many = vec!["a.b"; 1001];
    let error = refused(&json!({ "asks": { "config.read": many } })).await;
    let text = "plugin 'hostile' has a manifest that cannot be one: it has 1001 patterns, and at \
                most 1000 are taken";
    assert_eq!(error, text);
}

/// When it says what it is, nothing is granted yet, whatever it will be.
// covers: plugins.describe
#[tokio::test]
async fn to_be_described_a_plugin_needs_nothing() {
    let folder = Folder::new().unwrap();
    let sha256 = folder.component("hostile", &json!({})).unwrap();
    folder
        .configure(&json!([{
            "name": "hostile", "file": "hostile.wasm", "sha256": sha256,
            "grants": { "nats": { "servers": true }, "tables": { "read": ["*.*"] } },
        }]))
        .unwrap();
    let fake = FakeNode::new(serde_yaml::from_str("{}").unwrap());
    let node = folder.host_with(|host| fake.give_to(host)).await.unwrap();
    assert_eq!(node.plugin("hostile").await["loaded"], true);
    assert_eq!(fake.calls().len(), 0);
}
