//! Every grant, with its denial: one file a capability.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod changes;
mod config;
mod jetstream;
mod nats;
mod replication;
mod tables;

use harper_host::testing::{Cluster, FakeNode};
use harper_host::{BuildError, ComponentSource, Grants, Limits};
use harper_tests::hostile::hostile;
use harper_tests::{HOSTILE, Node};
use serde_json::{Value, json};

/// The hostile plugin on a node of a cluster that is not there, with these grants.
struct Granted {
    node: Node,
    fake: FakeNode,
}

impl Granted {
    async fn new(cluster: &str, grants: Grants) -> Self {
        Self::try_new(cluster, grants).await.unwrap()
    }

    async fn try_new(cluster: &str, grants: Grants) -> anyhow::Result<Self> {
        Self::of(HOSTILE, cluster, grants).await
    }

    /// The same plugin, each operation of which says that it changes nothing.
    async fn changing_nothing(cluster: &str, grants: Grants) -> Self {
        Self::of(&hostile(&json!({ "changes": false })), cluster, grants).await.unwrap()
    }

    async fn of(component: &[u8], cluster: &str, grants: Grants) -> anyhow::Result<Self> {
        let cluster: Cluster = serde_yaml::from_str(cluster)?;
        let fake = FakeNode::new(cluster);
        let node = Node::with("", |host| {
            let component = ComponentSource::bytes(component);
            fake.give_to(host).plugin("hostile", component, grants, Limits::default())
        });
        Ok(Self { node: node.await?, fake })
    }

    async fn send(&self, request: Value) -> Result<Value, String> {
        self.node.send(request).await.map_err(|error| error.message)
    }

    /// How often the cluster was asked.
    fn calls(&self) -> usize {
        self.fake.calls().len()
    }
}

/// Why no host is made with these grants.
async fn refused(grants: Grants) -> String {
    match Granted::try_new("{}", grants).await {
        Ok(_) => panic!("it was made"),
        Err(error) => {
            let error = error.downcast::<BuildError>().unwrap();
            assert!(matches!(error, BuildError::Reserved { .. }), "{error:?}");
            error.to_string()
        }
    }
}

fn denied(text: &str) -> Result<Value, String> {
    Err(format!("Error::Denied({text:?})"))
}

#[tokio::test]
async fn what_a_node_is_needs_no_grant() {
    let granted = Granted::new("{ node_name: node-a, uptime: 3 }", Grants::default()).await;
    let node = granted.send(json!({ "operation": "hostile_node" })).await;
    let expected = json!({
        "name": "node-a",
        "clustering": true,
        "ports": [9932, 9925],
        "uptime": 3000,
        "boot": 1,
    });
    assert_eq!(node, Ok(expected));
}
