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

/// By its entry, or by the hash in it alone.
// covers: plugins.reload.ends
#[tokio::test]
async fn one_that_is_granted_nothing_any_more_ends() {
    let without_hash = json!([{ "name": "hostile", "file": "hostile.wasm" }]);
    for configured in [json!(null), without_hash] {
        let folder = Folder::new().unwrap();
        grant(&folder, &json!({ "version": 1 }));
        let node = folder.host().await.unwrap();
        let running = tokio::spawn({
            let node = node.clone();
            async move { node.ask(json!({ "operation": "hostile_sleep", "amount": 500 })).await }
        });
        tokio::task::yield_now().await;
        folder.configure(&configured).unwrap();
        assert_eq!(version(&node).await, Ok(json!(1)), "until it is loaded again");
        let hint = node.plugin("hostile").await["hint"].clone();
        assert!(hint.as_str().unwrap().ends_with("'harper-host plugin reload hostile' ends it"));
        let reloaded = node.reload("hostile").await;
        match configured.is_null() {
            true => {
                let text = "plugin 'hostile' is among 'plugins' in harperdb-config.yaml no longer, \
                            and has ended";
                assert_eq!(reloaded.unwrap()["message"], text);
                assert_eq!(node.plugin("hostile").await, Value::Null);
            }
            false => {
                let error = reloaded.unwrap_err();
                assert!(error.starts_with("plugin 'hostile' is granted nothing: "), "{error}");
                let plugin = node.plugin("hostile").await;
                assert_eq!((&plugin["loaded"], &plugin["error"]), (&json!(false), &json!(error)));
            }
        }
        assert_eq!(version(&node).await, Err("Operation 'hostile_version' not found".into()));
        assert_eq!(running.await.unwrap(), Ok(Value::Null), "to its end");
        // And another one may have its operations.
        grant(&folder, &json!({ "version": 2 }));
        node.reload("hostile").await.unwrap();
        assert_eq!(version(&node).await, Ok(json!(2)));
        assert_eq!(node.plugin("hostile").await["hint"], Value::Null);
    }
    let folder = Folder::new().unwrap();
    folder.configure(&json!(null)).unwrap();
    let error = folder.host().await.unwrap().reload("hostile").await.unwrap_err();
    assert_eq!(error, "there is no plugin 'hostile' among 'plugins' in harperdb-config.yaml");
}

// covers: plugins.list
#[tokio::test]
async fn where_the_list_and_the_file_do_not_agree_it_is_said() {
    let folder = Folder::new().unwrap();
    folder.configure(&json!(null)).unwrap();
    let node = folder.host().await.unwrap();
    assert_eq!(node.plugin("hostile").await, Value::Null);
    let hint = async || node.plugin("hostile").await["hint"].clone();
    let sha256 = grant(&folder, &json!({ "version": 1 }));
    let text = "it is granted and not loaded: 'harper-host plugin reload hostile' loads it";
    let expected = json!({
        "name": "hostile", "loaded": false, "file": "hostile.wasm", "hint": text,
    });
    assert_eq!(node.plugin("hostile").await, expected);
    node.reload("hostile").await.unwrap();
    assert_eq!(hint().await, Value::Null);
    let text = "it runs as it was granted before: 'harper-host plugin reload hostile' loads it as \
                it is now";
    // Other grants, other limits, and another file.
    let entry = json!({
        "name": "hostile", "file": "hostile.wasm", "sha256": sha256,
        "limits": { "concurrentCalls": 64 },
    });
    for (key, value) in [
        ("grants", json!({ "nats": { "servers": true } })),
        ("limits", json!({ "cpu": 1000 })),
        ("sha256", json!("0".repeat(64))),
    ] {
        let mut other = entry.clone();
        other[key] = value;
        folder.configure(&json!([other])).unwrap();
        assert_eq!(hint().await, text, "{key}");
    }
    folder.configure(&json!([entry])).unwrap();
    assert_eq!(hint().await, Value::Null);
    folder.configure(&json!([{ "name": "other", "file": "other.wasm" }])).unwrap();
    let text = "nothing is granted to it: 'harper-host plugin grant other.wasm' does that";
    assert_eq!(node.plugin("other").await["hint"], text);
    // A file that cannot be read is no reason not to list them.
    folder.configure(&json!("none")).unwrap();
    assert_eq!(node.plugin("hostile").await["loaded"], true);
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
