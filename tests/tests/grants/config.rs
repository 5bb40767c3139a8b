//! `config`, by key path.

use harper_host::{Grants, Limits};
use harper_tests::Node;
use serde_json::{Value, json};

const CONFIG: &str = "a:\n  b: 1\n  c: 2\nsecret: x\n";

async fn node(read: &[&str], write: &[&str]) -> Node {
    let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let mut grants = Grants::default();
    grants.config.read = patterns(read);
    grants.config.write = patterns(write);
    Node::with_hostile(CONFIG, grants, Limits::default()).await.unwrap()
}

async fn get(node: &Node, path: &str) -> Result<Value, String> {
    let request = json!({ "operation": "hostile_config_get", "path": path });
    node.send(request).await.map_err(|error| error.message)
}

async fn set(node: &Node, path: &str) -> Result<Value, String> {
    let request = json!({ "operation": "hostile_config_set", "path": path, "value": "7" });
    node.send(request).await.map_err(|error| error.message)
}

fn denied(what: &str, path: &str) -> String {
    format!("Error::Denied(\"The plugin is not granted to {what} '{path}'\")")
}

#[tokio::test]
async fn reading() {
    let node = node(&["a.b"], &[]).await;
    assert_eq!(get(&node, "a.b").await, Ok(json!(["1"])));
    for path in ["a", "a.c", "secret", "clustering.hubServer.cluster.network.routes"] {
        assert_eq!(get(&node, path).await, Err(denied("read", path)));
    }
    assert_eq!(set(&node, "a.b").await, Err(denied("write", "a.b")), "read is not write");
}

#[tokio::test]
async fn reading_below() {
    let node = node(&["a.*"], &[]).await;
    assert_eq!(get(&node, "a.c").await, Ok(json!(["2"])));
    assert_eq!(get(&node, "a").await, Err(denied("read", "a")));
    assert_eq!(get(&node, "secret").await, Err(denied("read", "secret")));
}

#[tokio::test]
async fn writing() {
    let node = node(&[], &["a.b"]).await;
    // The revision in the request is none, which is looked at only once the grant is.
    assert_eq!(set(&node, "a.b").await, Err("Error::Conflict".into()));
    for path in ["a", "a.c", "secret"] {
        assert_eq!(set(&node, path).await, Err(denied("write", path)));
    }
    assert_eq!(get(&node, "a.b").await, Err(denied("read", "a.b")), "write is not read");
    assert_eq!(node.config().unwrap(), CONFIG);
}

#[tokio::test]
async fn nothing_is_granted_unless_it_is() {
    let node = node(&[], &[]).await;
    assert_eq!(get(&node, "a.b").await, Err(denied("read", "a.b")));
    assert_eq!(set(&node, "a.b").await, Err(denied("write", "a.b")));
}

#[tokio::test]
async fn a_path_that_is_none() {
    let node = node(&["a.*"], &["a.*"]).await;
    for path in ["", "a.*", "a..b", "a.b\n", "/etc/passwd", &"a.".repeat(40)] {
        let error = get(&node, path).await.unwrap_err();
        assert!(error.starts_with("Error::InvalidRequest("), "{path:?}: {error}");
    }
}
