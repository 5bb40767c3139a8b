//! Each capability with its three answers: asked for and granted, granted and not asked for, asked for
//! and not granted. What each pattern covers is shown in tests/tests/grants.

use harper_host::testing::{Cluster, FakeNode};
use harper_tests::plugins::{Folder, PluginNode as Node};
use serde_json::{Value, json};

const CLUSTER: &str = "
node_name: node-a
servers:
  - { name: node-a-hub }
peers:
  orders.eu.new: { bytes: [79, 75] }
tables:
  dev.dog: [id]
streams:
  node-a-leaf/dogs: 10
";

/// A kind of grant, its pattern, and a request that needs it.
struct Door {
    kind: &'static str,
    pattern: Value,
    request: Value,
    /// What is denied, as the plugin is told.
    what: &'static str,
}

fn doors() -> Vec<Door> {
    let door = |kind, pattern, request: Value, what| {
        let mut request = request;
        let operation = format!("hostile_{}", request["operation"].as_str().unwrap());
        request["operation"] = json!(operation);
        Door { kind, pattern, request, what }
    };
    let dog = |operation: &str| {
        json!({
            "operation": operation, "database": "dev", "table": "dog", "key": "1",
            "value": "{\"id\":\"1\"}", "expected": null, "hash_attribute": "id",
        })
    };
    let dogs = |operation: &str| json!({ "operation": operation, "domain": "node-a-leaf", "stream": "dogs" });
    let key = |operation: &str| json!({ "operation": operation, "path": "a.b", "value": "7" });
    vec![
        door("config.read", json!(["a.b"]), key("config_get"), "read 'a.b'"),
        door("config.write", json!(["a.b"]), key("config_set"), "write 'a.b'"),
        door(
            "nats.request",
            json!(["orders.eu.>"]),
            json!({ "operation": "nats_request", "subject": "orders.eu.new" }),
            "send requests to 'orders.eu.new'",
        ),
        door(
            "nats.servers",
            json!(true),
            json!({ "operation": "nats_servers" }),
            "know who is in the network",
        ),
        door(
            "jetstream.inspect",
            json!(["*/dogs"]),
            dogs("jetstream_inspect"),
            "inspect 'node-a-leaf/dogs'",
        ),
        door(
            "jetstream.purge",
            json!(["node-a-leaf/*"]),
            dogs("jetstream_purge"),
            "purge 'node-a-leaf/dogs'",
        ),
        door("tables.read", json!(["dev.*"]), dog("tables_get"), "read the table 'dev.dog'"),
        door("tables.read", json!(["dev.dog"]), dog("tables_list"), "read the table 'dev.dog'"),
        door("tables.write", json!(["*.*"]), dog("tables_put"), "write the table 'dev.dog'"),
        door("tables.create", json!(["dev.*"]), dog("tables_create"), "create the table 'dev.dog'"),
        door(
            "tables.describe",
            json!(true),
            json!({ "operation": "tables_describe" }),
            "know which tables there are",
        ),
    ]
}

/// A node whose plugin asks for this, and is granted that.
async fn node(folder: &Folder, asks: &Value, grants: &Value) -> (Node, FakeNode) {
    let sha256 = folder.component("hostile", &json!({ "asks": asks })).unwrap();
    let plugin =
        json!({ "name": "hostile", "file": "hostile.wasm", "sha256": sha256, "grants": grants });
    folder.configure(&json!([plugin])).unwrap();
    let cluster: Cluster = serde_yaml::from_str(CLUSTER).unwrap();
    let fake = FakeNode::new(cluster);
    let node = folder.host_with(|host| fake.give_to(host)).await.unwrap();
    assert_eq!(node.plugin("hostile").await["loaded"], true);
    (node, fake)
}

fn denied(why: &str, what: &str) -> Result<Value, String> {
    Err(format!("Error::Denied({:?})", format!("{why} {what}")))
}

/// All that anybody's plugin may be granted here.
fn all() -> (Value, Value) {
    let (mut asks, mut grants) = (json!({}), json!({}));
    for Door { kind, pattern, .. } in doors() {
        let (capability, what) = kind.split_once('.').unwrap();
        asks[kind] = pattern.clone();
        grants[capability][what] = pattern;
    }
    (asks, grants)
}

// covers: plugins.two-keys
#[tokio::test]
async fn a_door_opens_to_two_keys() {
    let folder = Folder::new().unwrap();
    let (_, all_grants) = all();
    for door in doors() {
        let Door { kind, pattern, request, .. } = &door;
        // What is asked for opens this door, and no grant alone another one.
        let (node, _) = node(&folder, &json!({ *kind: pattern }), &all_grants).await;
        let reply = node.ask(request.clone()).await;
        match *kind {
            // The revision in the request is none: it is looked at once both keys are there.
            "config.write" => assert_eq!(reply, Err("Error::Conflict".into())),
            _ => assert!(reply.is_ok(), "{kind}: {reply:?}"),
        }
        let mut others = doors().into_iter().filter(|other| other.kind != *kind);
        let Door { request, what, .. } = others.next().unwrap();
        assert_eq!(node.ask(request).await, denied("The plugin did not ask to", what), "{kind}");
    }
}

// covers: plugins.two-keys
#[tokio::test]
async fn and_to_none_alone() {
    let folder = Folder::new().unwrap();
    let (asks, grants) = all();
    for (asks, grants, why) in [
        (json!({}), grants, "The plugin did not ask to"),
        (asks, json!({}), "The plugin is not granted to"),
    ] {
        let (node, fake) = node(&folder, &asks, &grants).await;
        for Door { kind, request, what, .. } in doors() {
            assert_eq!(node.ask(request).await, denied(why, what), "{kind}");
        }
        assert_eq!(fake.calls().len(), 0, "nobody was asked");
    }
}

/// What both allow is what is in both, and not what is in either.
// covers: plugins.two-keys
#[tokio::test]
async fn patterns_meet() {
    let folder = Folder::new().unwrap();
    let grants = json!({ "nats": { "request": ["orders.eu.>"] } });
    let (node, _) = node(&folder, &json!({ "nats.request": ["orders.*.new"] }), &grants).await;
    let ask = async |subject: &str| {
        node.ask(json!({ "operation": "hostile_nats_request", "subject": subject })).await
    };
    assert_eq!(ask("orders.eu.new").await, Ok(json!([79, 75])));
    let not_granted = denied("The plugin is not granted to", "send requests to 'orders.us.new'");
    assert_eq!(ask("orders.us.new").await, not_granted);
    let not_asked = denied("The plugin did not ask to", "send requests to 'orders.eu.old'");
    assert_eq!(ask("orders.eu.old").await, not_asked);
}

/// To ask for what nobody is given gives nothing, and takes nothing from what is given.
// covers: grants.replication
#[tokio::test]
async fn to_ask_for_the_clusters_own_is_of_no_use() {
    let folder = Folder::new().unwrap();
    let asks = json!({ "replication": true, "nats.request": ["*.>"], "tables.read": ["system.*"] });
    let grants = json!({ "nats": { "request": ["orders.eu.>"] }, "tables": { "read": ["*.*"] } });
    let (node, fake) = node(&folder, &asks, &grants).await;
    let streams =
        json!({ "operation": "hostile_ensure_streams", "database": "dev", "table": "dog" });
    let denied_to = |what: &str| denied("The plugin is not granted to", what);
    assert_eq!(node.ask(streams).await, denied_to("use 'replication'"));
    let ask = |subject: &str| json!({ "operation": "hostile_nats_request", "subject": subject });
    let reply = node.ask(ask("node-b.__request__")).await;
    assert_eq!(reply, denied_to("send requests to 'node-b.__request__'"));
    let users =
        json!({ "operation": "hostile_tables_list", "database": "system", "table": "hdb_user" });
    assert_eq!(node.ask(users).await, denied_to("read the table 'system.hdb_user'"));
    assert_eq!(fake.calls().len(), 0);
    assert_eq!(node.ask(ask("orders.eu.new")).await, Ok(json!([79, 75])));
}
