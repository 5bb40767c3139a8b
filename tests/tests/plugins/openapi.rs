//! The OpenAPI document of a node with a plugin, before a validator of OpenAPI 3.1.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use harper_host::Role;
use harper_host::config::ConfigFile;
use harper_host::store::Store;
use harper_host::users::Users;
use harper_tests::api::{ApiNode, Reply, ask};
use harper_tests::javascript;
use harper_tests::plugins::Folder;
use serde_json::{Value, json};

async fn start(folder: &Folder) -> ApiNode {
    let users = Users::open(Store::open(folder.path()).await.unwrap(), Duration::ZERO);
    users.create_first_super_user("admin", "right").await.unwrap();
    users.add("eve", "right", &Role::Named("dev".into()), true).await.unwrap();
    drop(users);
    let file = ConfigFile::open(folder.path().join("harperdb-config.yaml")).unwrap();
    let plugins = file.settings().unwrap().plugins;
    ApiNode::start_with(folder.path(), |host| host.plugins(plugins)).await.unwrap()
}

async fn get(node: &ApiNode, login: Option<&str>) -> Reply {
    let login = login.map(|login| Base64::encode_string(login.as_bytes()));
    let headers: Vec<_> =
        login.map(|login| format!("Authorization: Basic {login}")).into_iter().collect();
    ask(node.address, "GET /openapi.json", &headers, b"").await.unwrap()
}

/// What the validator says; nothing when it has nothing to say.
fn validated(document: &str) -> String {
    let mut validator = javascript::command("openapi.js")
        .unwrap()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    validator.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
    let output = validator.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.success(), said.is_empty(), "{said}");
    said
}

// covers: openapi.valid, openapi.all, openapi.login
#[tokio::test]
async fn a_validator_takes_it() {
    let folder = Folder::new().unwrap();
    let schema = json!({
        "properties": { "tree": { "$ref": "#/$defs/tree" } },
        "$defs": { "tree": { "type": "array", "items": { "$ref": "#/$defs/tree" } } },
        "examples": [{ "tree": [[], [[]]] }],
    });
    let only = json!({ "only": "tree", "schema": schema });
    let sha256 = folder.component("hostile", &only).unwrap();
    folder
        .configure(&json!([{ "name": "hostile", "file": "hostile.wasm", "sha256": sha256 }]))
        .unwrap();
    let node = start(&folder).await;

    let refused =
        |reply: &Reply| (reply.status, serde_json::from_str::<Value>(&reply.body).unwrap());
    let login = json!({ "error": "Must login" });
    assert_eq!(refused(&get(&node, None).await), (401, login));
    let role = json!({ "error": "The list of operations is restricted to super_user roles" });
    assert_eq!(refused(&get(&node, Some("eve:right")).await), (403, role));

    let reply = get(&node, Some("admin:right")).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    let document: Value = serde_json::from_str(&reply.body).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in ["cluster_status", "add_user", "insert", "plugin_reload", "hostile_tree"] {
        assert_eq!(schemas[name]["properties"]["operation"], json!({ "const": name }));
    }
    assert_eq!(schemas["hostile_tree"]["x-harper"]["plugin"], "hostile");
    // The example of a third party is its own.
    let mut checked = document.clone();
    let schema = &mut checked["components"]["schemas"]["hostile_tree"];
    schema["examples"][0]["operation"] = json!("hostile_tree");
    assert_eq!(validated(&checked.to_string()), "");

    let mut broken = checked.clone();
    broken["paths"]["/"]["post"]["responses"] = json!([]);
    assert_ne!(validated(&broken.to_string()), "", "it does look");
    let mut broken = checked;
    broken["components"]["schemas"]["cluster_status"]["examples"] = json!([{ "operation": 1 }]);
    assert!(validated(&broken.to_string()).starts_with("cluster_status: "));
    node.stop().await.unwrap();
}
