//! A plugin is loaded again while it works: no call is lost, and a bad one takes nobody's place.

use harper_host::{Caller, Role};
use harper_tests::plugins::{Folder, PluginNode as Node};
use serde_json::{Value, json};

/// The plugin in this version, granted.
fn grant(folder: &Folder, settings: &Value) -> String {
    let sha256 = folder.component("hostile", settings).unwrap();
    folder
        .configure(&json!([{
            "name": "hostile", "file": "hostile.wasm", "sha256": sha256,
            "limits": { "concurrentCalls": 64 },
        }]))
        .unwrap();
    sha256
}

async fn version(node: &Node) -> Result<Value, String> {
    node.ask(json!({ "operation": "hostile_version" })).await
}

// covers: plugins.reload
#[tokio::test]
async fn new_calls_go_to_the_new_one_and_running_ones_end_on_the_old_one() {
    let folder = Folder::new().unwrap();
    grant(&folder, &json!({ "version": 1 }));
    let node = folder.host().await.unwrap();
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
    let folder = Folder::new().unwrap();
    let one = grant(&folder, &json!({ "version": 1 }));
    let node = folder.host().await.unwrap();
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
    folder.component("hostile", &json!({ "version": 3 })).unwrap();
    stays("is not the file that was granted").await;
    std::fs::remove_file(folder.path().join("hostile.wasm")).unwrap();
    stays("its file cannot be read").await;
    folder.configure(&json!(null)).unwrap();
    let error = node.reload("hostile").await.unwrap_err();
    assert_eq!(error, "there is no plugin 'hostile' among 'plugins' in harperdb-config.yaml");
    assert_eq!(version(&node).await, Ok(json!(1)));
    folder.configure(&json!("none")).unwrap();
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
    let folder = Folder::new().unwrap();
    folder.component("hostile", &json!({ "version": 1 })).unwrap();
    folder.configure(&json!([{ "name": "hostile", "file": "hostile.wasm" }])).unwrap();
    let node = folder.host().await.unwrap();
    assert!(version(&node).await.is_err());
    grant(&folder, &json!({ "version": 1 }));
    node.reload("hostile").await.unwrap();
    assert_eq!(version(&node).await, Ok(json!(1)));
}

// covers: plugins.reload.super-user
#[tokio::test]
async fn only_super_users_see_and_load_plugins() {
    let folder = Folder::new().unwrap();
    grant(&folder, &json!({ "version": 1 }));
    let node = folder.host().await.unwrap();
    let caller = Caller::new("someone", Role::Named("dev".into()));
    for name in ["plugin_list", "plugin_reload"] {
        let request = json!({ "operation": name, "name": "hostile" });
        let error = node.host.dispatch(&caller, request).await.unwrap_err();
        assert_eq!(error.message, format!("Operation '{name}' is restricted to super_user roles"));
    }
}
