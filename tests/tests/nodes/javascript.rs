//! A Harper 4 node as another node of the cluster, through real hubs and leaves: it asks ours and
//! answers it.

use std::time::Duration;

use harper_tests::nodes::{ClusterNode, Nodes, Wanted};
use harper_tests::peer::{Behaviour, Credentials, Peer, Tls};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(10);

/// A Harper node beside one of ours: it uses that one's leaf.
async fn harper(at: &ClusterNode) -> Peer {
    let config = &at.servers.config;
    let credentials =
        Credentials { user: config.user.clone(), password: config.password.to_string() };
    let tls = Tls {
        authority: config.tls.certificate_authority.clone(),
        certificate: config.tls.certificate.clone(),
        key: config.tls.private_key.clone(),
    };
    let url = format!("nats://127.0.0.1:{}", at.servers.nats.ports().leaf_clients);
    Peer::start("harper", &url, &credentials, Some(&tls)).await.unwrap()
}

async fn status(node: &ClusterNode) -> Value {
    let reply = node.send(json!({ "operation": "cluster_status" })).await.unwrap();
    reply["connections"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_harper_node_is_asked() {
    let wanted = Wanted { status_timeout: Duration::from_secs(1), ..Wanted::default() };
    let cluster = Nodes::with(2, wanted).await.unwrap();
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    first.remember("harper", json!([])).await.unwrap();
    assert_eq!(status(first).await["status"], "NoResponders");
    let peer = harper(second).await;
    harper_tests::nats::eventually("it is heard of", async || {
        status(first).await["status"] == "open"
    })
    .await
    .unwrap();
    let connection = status(first).await;
    assert!(connection["ports"]["clustering"].is_u64(), "{connection}");
    assert!(connection["ports"]["operations_api"].is_u64(), "{connection}");
    assert!(connection["latency_ms"].is_u64(), "{connection}");
    // As Harper's own node is asked.
    let asked = peer.next_request().await.unwrap().body;
    assert_eq!(asked["operation"], "cluster_status");
    assert_eq!(asked["node_name"], "node-1");
    assert!(asked["system_info"]["hdb_version"].is_string(), "{asked}");

    for (behaviour, expected) in [
        (Behaviour::Error("not today".into()), "closed"),
        (Behaviour::Silent, "Timeout"),
        (Behaviour::Garbage, "closed"),
        (Behaviour::Normal, "open"),
    ] {
        peer.behave(None, behaviour).await.unwrap();
        assert_eq!(status(first).await["status"], expected);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_harper_node_asks() {
    let cluster = Nodes::of(2).await.unwrap();
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    let peer = harper(second).await;
    let ask = async |operation: &str| {
        let body = json!({ "operation": operation, "node_name": "harper" });
        peer.ask(first.name(), body, PATIENCE).await.unwrap().body
    };
    let reply = ask("cluster_status").await;
    assert_eq!(reply["status"], "success");
    let clustering = &reply["message"]["ports"]["clustering"];
    assert_eq!(*clustering, first.servers.route().port);
    assert!(reply["message"]["uptime"].as_str().unwrap().ends_with('s'), "{reply}");
    for info in [&reply["system_info"], &reply["message"]["system_info"]] {
        assert!(info["hdb_version"].is_string() && info["node_version"].is_string(), "{reply}");
    }
    let reply = ask("describe_all").await;
    assert_eq!((&reply["status"], &reply["message"]), (&json!("success"), &json!({})));
    let reply = ask("restart").await;
    assert_eq!(reply["status"], "error");
    assert!(reply["message"].as_str().unwrap().contains("restart"), "{reply}");
    let reply = peer.send(first.name(), b"\xc1\xc1", PATIENCE).await.unwrap().body;
    assert_eq!(reply["status"], "error");
    cluster.stop().await;
}
