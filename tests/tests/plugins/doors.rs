//! Each capability with its three answers: asked for and granted, granted and not asked for, asked for
//! and not granted. What each pattern covers is shown in tests/tests/grants.

use harper_tests::cluster::{Cluster, FakeNode};
use serde_json::{Value, json};

use crate::{Folder, Node};

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

/// The grant, as the configuration has it.
fn grants(door: &Door) -> Value {
    let (capability, what) = door.kind.split_once('.').unwrap();
    json!({ capability: { what: door.pattern } })
}

async fn ask(asks: Value, grants: Value, request: &Value) -> (Result<Value, String>, usize) {
    let folder = Folder::new();
    let sha256 = folder.component("hostile", &json!({ "asks": asks }));
    let plugin =
        json!({ "name": "hostile", "file": "hostile.wasm", "sha256": sha256, "grants": grants });
    folder.configure(&json!([plugin]));
    let cluster: Cluster = serde_yaml::from_str(CLUSTER).unwrap();
    let fake = FakeNode::new(cluster);
    let node: Node = folder.host_with(|host| fake.give_to(host)).await;
    assert_eq!(node.plugin("hostile").await["loaded"], true);
    (node.ask(request.clone()).await, fake.calls().len())
}

fn denied(why: &str, what: &str) -> Result<Value, String> {
    Err(format!("Error::Denied({:?})", format!("{why} {what}")))
}

// covers: plugins.two-keys
#[tokio::test]
async fn a_door_opens_to_two_keys_and_to_none_alone() {
    for door in doors() {
        let Door { kind, pattern, request, what } = &door;
        let asked = json!({ *kind: pattern });
        let (reply, _) = ask(asked.clone(), grants(&door), request).await;
        match *kind {
            // The revision in the request is none: it is looked at once both keys are there.
            "config.write" => assert_eq!(reply, Err("Error::Conflict".into())),
            _ => assert!(reply.is_ok(), "{kind}: {reply:?}"),
        }
        let (reply, calls) = ask(json!({}), grants(&door), request).await;
        assert_eq!(reply, denied("The plugin did not ask to", what), "{kind}");
        assert_eq!(calls, 0, "{kind}: nobody was asked");
        let (reply, calls) = ask(asked, json!({}), request).await;
        assert_eq!(reply, denied("The plugin is not granted to", what), "{kind}");
        assert_eq!(calls, 0, "{kind}: nobody was asked");
    }
}

/// What both allow is what is in both, and not what is in either.
// covers: plugins.two-keys
#[tokio::test]
async fn patterns_meet() {
    let ask = async |asked: &str, granted: &str, subject: &str| {
        let request = json!({ "operation": "hostile_nats_request", "subject": subject });
        let grants = json!({ "nats": { "request": [granted] } });
        ask(json!({ "nats.request": [asked] }), grants, &request).await.0
    };
    assert_eq!(ask("orders.*.new", "orders.eu.>", "orders.eu.new").await, Ok(json!([79, 75])));
    let not_granted = denied("The plugin is not granted to", "send requests to 'orders.us.new'");
    assert_eq!(ask("orders.*.new", "orders.eu.>", "orders.us.new").await, not_granted);
    let not_asked = denied("The plugin did not ask to", "send requests to 'orders.eu.old'");
    assert_eq!(ask("orders.*.new", "orders.eu.>", "orders.eu.old").await, not_asked);
    // To ask for what nobody is given gives nothing, and takes nothing from what is given.
    assert_eq!(ask("*.>", "orders.eu.>", "orders.eu.new").await, Ok(json!([79, 75])));
}

// covers: grants.replication
#[tokio::test]
async fn to_ask_for_the_flow_between_nodes_is_of_no_use() {
    let request =
        json!({ "operation": "hostile_ensure_streams", "database": "dev", "table": "dog" });
    let (reply, calls) = ask(json!({ "replication": true }), json!({}), &request).await;
    assert_eq!(reply, denied("The plugin is not granted to", "use 'replication'"));
    assert_eq!(calls, 0);
}
