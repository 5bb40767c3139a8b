//! `nats`, by subject, and who is in the network by itself.

use harper_host::{Grants, RESERVED_SUBJECTS};
use serde_json::{Value, json};

use crate::{Granted, denied, refused};

const CLUSTER: &str = "
node_name: node-a
servers:
  - { name: node-a-hub }
peers:
  orders.eu.new:
    bytes: [79, 75]
";

fn grants(subjects: &[&str]) -> Grants {
    let mut grants = Grants::default();
    grants.nats.request = subjects.iter().map(|subject| subject.parse().unwrap()).collect();
    grants
}

async fn ask(granted: &Granted, subject: &str) -> Result<Value, String> {
    granted.send(json!({ "operation": "hostile_nats_request", "subject": subject })).await
}

fn denied_to(subject: &str) -> Result<Value, String> {
    denied(&format!("The plugin is not granted to send requests to '{subject}'"))
}

// covers: grants.nats
#[tokio::test]
async fn one_subject() {
    let granted = Granted::new(CLUSTER, grants(&["orders.eu.new"])).await;
    assert_eq!(ask(&granted, "orders.eu.new").await, Ok(json!([79, 75])));
    assert_eq!(granted.calls(), 1);
    let others = ["orders", "orders.eu", "orders.eu.new.x", "orders.eu.NEW", "node-b.__request__"];
    for subject in others.into_iter().chain(["$JS.API.INFO", "$SYS.REQ.SERVER.PING", "_INBOX.x"]) {
        assert_eq!(ask(&granted, subject).await, denied_to(subject));
    }
    assert_eq!(granted.calls(), 1, "nothing went out");
}

// covers: grants.nats
#[tokio::test]
async fn subjects_by_wildcard() {
    let granted = Granted::new(CLUSTER, grants(&["orders.*.new", "jobs.eu.>"])).await;
    assert_eq!(ask(&granted, "orders.eu.new").await, Ok(json!([79, 75])));
    for subject in ["orders.us.new", "jobs.eu.a", "jobs.eu.a.b"] {
        assert_eq!(ask(&granted, subject).await, Err("Error::NoResponders".into()));
    }
    for subject in ["orders.new", "orders.a.b.new", "jobs.eu", "jobs.us.a"] {
        assert_eq!(ask(&granted, subject).await, denied_to(subject));
    }
}

// covers: grants.nats
#[tokio::test]
async fn what_is_no_subject() {
    let granted = Granted::new(CLUSTER, grants(&["orders.*.new", "jobs.eu.>"])).await;
    for subject in
        ["", ".", "orders.*.new", "jobs.eu.>", "jobs.eu..a", "jobs.eu.a b", "jobs.eu.\r\n"]
    {
        let error = ask(&granted, subject).await.unwrap_err();
        assert!(error.starts_with("Error::InvalidRequest("), "{subject:?}: {error}");
    }
    assert_eq!(granted.calls(), 0, "nothing went out");
}

// covers: grants.servers
#[tokio::test]
async fn who_is_in_the_network() {
    let mut servers = Grants::default();
    servers.nats.servers = true;
    let granted = Granted::new(CLUSTER, servers).await;
    let request = json!({ "operation": "hostile_nats_servers" });
    assert_eq!(granted.send(request.clone()).await, Ok(json!(["node-a-hub"])));
    assert_eq!(ask(&granted, "orders.eu.new").await, denied_to("orders.eu.new"));

    let granted = Granted::new(CLUSTER, grants(&["orders.eu.new"])).await;
    let text = "The plugin is not granted to know who is in the network";
    assert_eq!(granted.send(request).await, denied(text));
    assert_eq!(granted.calls(), 0, "nobody was asked");
}

// covers: grants.nats
#[tokio::test]
async fn nothing_is_granted_unless_it_is() {
    let granted = Granted::new(CLUSTER, Grants::default()).await;
    assert_eq!(ask(&granted, "orders.eu.new").await, denied_to("orders.eu.new"));
    assert_eq!(granted.calls(), 0);
}

// covers: grants.reserved
#[tokio::test]
async fn the_clusters_own_subjects_are_for_nobody_else() {
    for subject in RESERVED_SUBJECTS {
        refused(grants(&[subject])).await;
    }
    let reaching = [
        ("$JS.API.INFO", "$JS.>"),
        ("$SYS.REQ.*.PING", "$SYS.>"),
        ("_INBOX.x", "_INBOX.>"),
        ("txn.dev.dog.*", "txn.>"),
        ("node-b.__request__", "*.__request__"),
        ("orders.*", "*.__request__"),
        ("orders.>", "*.__request__"),
        ("*.>", "$JS.>"),
    ];
    for (pattern, reserved) in reaching {
        let text = format!(
            "plugin 'hostile' cannot have all of its grants: the grant '{pattern}' reaches \
             '{reserved}', which is the cluster's own"
        );
        assert_eq!(refused(grants(&["orders.eu.new", pattern])).await, text);
    }
    // What only begins like that, or is longer, is another subject.
    Granted::new("{}", grants(&["$JSX.a", "txns.a", "orders.eu.__request__"])).await;
}
