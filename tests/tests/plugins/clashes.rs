//! Two owners of one operation: the second is refused, and both are named.

use harper_host::{Caller, Operation, Role};
use harper_tests::plugins::Folder;
use serde_json::{Value, json};

/// Why the plugin `second` is not loaded, whose operations begin like this, beside the first one.
async fn clash(folder: &Folder, second: &Value) -> String {
    let one = folder.component("first", &json!({ "prefix": "first" })).unwrap();
    let two = folder.component("second", second).unwrap();
    folder
        .configure(&json!([
            { "name": "first", "file": "first.wasm", "sha256": one },
            { "name": "second", "file": "second.wasm", "sha256": two },
        ]))
        .unwrap();
    let node = folder.host_with(|host| {
        host.operation(Operation::new("mine_version", "Of the embedder"), async |_, _| {
            Ok(json!("mine"))
        })
    });
    let node = node.await.unwrap();
    assert_eq!(node.plugin("first").await["loaded"], true);
    assert_eq!(node.send(json!({ "operation": "mine_version" })).await, Ok(json!("mine")));
    let plugin = node.plugin("second").await;
    assert_eq!(plugin["loaded"], false, "{plugin}");
    plugin["error"].as_str().unwrap().to_owned()
}

// covers: plugins.clashes
#[tokio::test]
async fn with_another_plugin() {
    let error = clash(&Folder::new().unwrap(), &json!({ "prefix": "first" })).await;
    let text = "plugin 'second' describes the operation 'first_echo', which is there already: it is \
                of the plugin 'first'";
    assert_eq!(error, text);
}

// covers: plugins.clashes
#[tokio::test]
async fn with_an_operation_of_the_embedder() {
    let error =
        clash(&Folder::new().unwrap(), &json!({ "prefix": "mine", "only": "version" })).await;
    let text = "plugin 'second' describes the operation 'mine_version', which is there already: it \
                is the host's own";
    assert_eq!(error, text);
}

// covers: plugins.clashes
#[tokio::test]
async fn with_the_clustering_plugin() {
    let settings = json!({ "prefix": "cluster", "only": "status" });
    let error = clash(&Folder::new().unwrap(), &settings).await;
    let text = "plugin 'second' describes the operation 'cluster_status', which is there already: it \
                is of the plugin 'clustering'";
    assert_eq!(error, text);
}

// covers: plugins.clashes
#[tokio::test]
async fn with_a_native_operation_also_where_there_is_none() {
    // This host has neither users nor tables, and these are nobody's.
    for (prefix, name) in [("add", "user"), ("plugin", "list"), ("describe", "all")] {
        let error =
            clash(&Folder::new().unwrap(), &json!({ "prefix": prefix, "only": name })).await;
        let text = format!(
            "plugin 'second' describes the operation '{prefix}_{name}', which is there already: it \
             is the host's own"
        );
        assert_eq!(error, text);
    }
}

// covers: plugins.clashes
#[tokio::test]
async fn of_a_plugin_with_itself() {
    let error = clash(&Folder::new().unwrap(), &json!({ "only": "twice", "twice": true })).await;
    let text = "plugin 'second' describes the operation 'hostile_twice', which is there already: it \
                is its own, described twice";
    assert_eq!(error, text);
}

/// What a role may not do, no plugin gives it.
// covers: plugins.super-user
#[tokio::test]
async fn nobody_lowers_what_an_operation_asks_for() {
    let folder = Folder::new().unwrap();
    // `version` is for anybody here.
    let sha256 = folder
        .component("second", &json!({ "prefix": "cluster", "only": "status", "open": true }))
        .unwrap();
    folder
        .configure(&json!([{ "name": "second", "file": "second.wasm", "sha256": sha256 }]))
        .unwrap();
    let node = folder.host().await.unwrap();
    let caller = Caller::new("someone", Role::Named("dev".into()));
    let request = json!({ "operation": "cluster_status" });
    let error = node.host.dispatch(&caller, request).await.unwrap_err();
    assert_eq!(error.message, "Operation 'cluster_status' is restricted to super_user roles");
}
