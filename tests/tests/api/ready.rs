//! Whether the node is ready for work, as a load balancer asks.

use serde_json::json;

use super::node::{JSON, Node, bob, config, head, post, soon};

// covers: http.ready
#[tokio::test]
async fn it_is_ready_when_all_its_parts_are() {
    let node = Node::start(config()).await;
    let ask = || node.ask(head("GET /ready HTTP/1.1", &[]));
    let reply = ask().await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "status": "ready" })));
    node.readiness.not_ready("nats", "the leaf server is starting");
    node.readiness.not_ready("ingest", "it is catching up");
    let text = "Not ready: it is catching up; the leaf server is starting";
    assert_eq!(ask().await.error(), (503, text.into()));
    node.readiness.ready("ingest");
    assert_eq!(ask().await.error(), (503, "Not ready: the leaf server is starting".into()));
    assert_eq!(node.ask(head("GET /health HTTP/1.1", &[])).await.status, 200, "it lives");
    node.readiness.ready("nats");
    assert_eq!(ask().await.status, 200);
    assert_eq!(node.ask(post(&[JSON, &bob()], "{}")).await.status, 400);
}

#[tokio::test]
async fn it_is_not_ready_when_it_ends() {
    let mut node = Node::start(config()).await;
    let mut running = node.connect_socket().await;
    running.send(post(&[JSON], r#"{"operation":"hold"}"#)).await;
    node.gate.begun().await;
    assert_eq!(node.readiness.check(), Ok(()));
    node.stop();
    soon(async {
        while node.readiness.check().is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(node.readiness.check(), Err("Not ready: the node is stopping".into()));
    assert!(!node.served.is_finished());
    node.gate.open.add_permits(1);
    assert_eq!(running.reply().await.status, 200);
}
