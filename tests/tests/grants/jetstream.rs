//! `jetstream`, by domain and stream, to look and to purge apart.

use harper_host::Grants;
use serde_json::{Value, json};

use crate::{Granted, denied};

const CLUSTER: &str = "
streams:
  node-a-leaf/dogs: 10
  node-a-leaf/cats: 20
  node-b-leaf/dogs: 30
";

fn grants(inspect: &[&str], purge: &[&str]) -> Grants {
    let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let mut grants = Grants::default();
    grants.jetstream.inspect = patterns(inspect);
    grants.jetstream.purge = patterns(purge);
    grants
}

async fn send(granted: &Granted, what: &str, domain: &str, stream: &str) -> Result<Value, String> {
    let operation = format!("hostile_jetstream_{what}");
    granted.send(json!({ "operation": operation, "domain": domain, "stream": stream })).await
}

fn denied_to(what: &str, stream: &str) -> Result<Value, String> {
    denied(&format!("The plugin is not granted to {what} '{stream}'"))
}

// covers: grants.jetstream
#[tokio::test]
async fn looking() {
    let granted = Granted::new(CLUSTER, grants(&["node-a-leaf/dogs"], &[])).await;
    let looked = send(&granted, "inspect", "node-a-leaf", "dogs").await;
    assert_eq!(looked, Ok(json!([10, 1000, 10])));
    for (domain, stream) in [("node-a-leaf", "cats"), ("node-b-leaf", "dogs")] {
        let looked = send(&granted, "inspect", domain, stream).await;
        assert_eq!(looked, denied_to("inspect", &format!("{domain}/{stream}")));
    }
    let purged = send(&granted, "purge", "node-a-leaf", "dogs").await;
    assert_eq!(purged, denied_to("purge", "node-a-leaf/dogs"), "to look is not to purge");
    assert_eq!(granted.calls(), 1);
}

// covers: grants.jetstream
#[tokio::test]
async fn purging() {
    let granted = Granted::new(CLUSTER, grants(&[], &["node-a-leaf/*"])).await;
    assert_eq!(send(&granted, "purge", "node-a-leaf", "dogs").await, Ok(json!(10)));
    let keep = json!({
        "operation": "hostile_jetstream_purge",
        "domain": "node-a-leaf",
        "stream": "cats",
        "keep": 5,
    });
    assert_eq!(granted.send(keep).await, Ok(json!(15)));
    let before = json!({
        "operation": "hostile_jetstream_purge",
        "domain": "node-a-leaf",
        "stream": "cats",
        "before": 5,
    });
    assert_eq!(granted.send(before).await, Ok(json!(4)));
    let nothing = send(&granted, "purge", "node-a-leaf", "birds").await;
    assert_eq!(nothing, Err("Error::NotFound".into()));
    let purged = send(&granted, "purge", "node-b-leaf", "dogs").await;
    assert_eq!(purged, denied_to("purge", "node-b-leaf/dogs"));
    let looked = send(&granted, "inspect", "node-a-leaf", "dogs").await;
    assert_eq!(looked, denied_to("inspect", "node-a-leaf/dogs"), "to purge is not to look");
}

// covers: grants.jetstream
#[tokio::test]
async fn of_any_domain() {
    let granted = Granted::new(CLUSTER, grants(&["*/dogs"], &[])).await;
    for domain in ["node-a-leaf", "node-b-leaf"] {
        send(&granted, "inspect", domain, "dogs").await.unwrap();
    }
    let looked = send(&granted, "inspect", "node-a-leaf", "cats").await;
    assert_eq!(looked, denied_to("inspect", "node-a-leaf/cats"));
}

// covers: grants.jetstream
#[tokio::test]
async fn what_is_no_name() {
    let granted = Granted::new(CLUSTER, grants(&["*/*"], &["*/*"])).await;
    for (domain, stream) in [("", "dogs"), ("a.b", "dogs"), ("node-a-leaf", "*"), ("a", "b c")] {
        for what in ["inspect", "purge"] {
            let error = send(&granted, what, domain, stream).await.unwrap_err();
            assert!(error.starts_with("Error::InvalidRequest("), "{error}");
        }
    }
    assert_eq!(granted.calls(), 0);
}

// covers: grants.jetstream
#[tokio::test]
async fn nothing_is_granted_unless_it_is() {
    let granted = Granted::new(CLUSTER, Grants::default()).await;
    for what in ["inspect", "purge"] {
        let asked = send(&granted, what, "node-a-leaf", "dogs").await;
        assert_eq!(asked, denied_to(what, "node-a-leaf/dogs"));
    }
    assert_eq!(granted.calls(), 0);
}
