//! How requests, connections and the server end.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use harper_host::{
    api::{BindError, Config, Server},
    store::Store,
    users::Users,
};
use tokio::time::Instant;

use super::node::{Client, ECHO, JSON, Node, bob, config, head, host, post, soon};

async fn hold(node: &Node) -> Client {
    let mut client = node.connect().await;
    client.send(post(&[JSON, &bob()], r#"{"operation":"hold"}"#)).await;
    node.gate.begun().await;
    client
}

// covers: cli.run.drain
#[tokio::test]
async fn running_requests_are_drained_and_idle_connections_closed_at_once() {
    let mut node = Node::start(config()).await;
    let mut idle = node.connect().await;
    idle.send(post(&[JSON, &bob()], ECHO)).await;
    assert_eq!(idle.reply().await.status, 200);
    let mut fresh = node.connect().await;
    let mut half = node.connect().await;
    half.send("POST / HTTP/1.1\r\nHost").await;
    let mut again = node.connect().await;
    again.send(post(&[JSON, &bob()], ECHO)).await;
    assert_eq!(again.reply().await.status, 200);
    again.send("POST / HTTP/1.1\r\nHost").await;
    let mut running = hold(&node).await;
    let start = Instant::now();
    node.stop();
    idle.closed().await;
    fresh.closed().await;
    half.closed().await;
    again.closed().await;
    assert!(start.elapsed() < Duration::from_secs(1));
    let refused = tokio::net::TcpStream::connect(node.address).await;
    assert!(refused.is_err(), "nobody is accepted any more");
    assert!(!node.served.is_finished());
    node.gate.open.add_permits(1);
    let reply = running.reply().await;
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    running.closed().await;
    soon(node.served).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "no idle client holds it up");
}

#[tokio::test]
async fn what_does_not_end_in_time_is_dropped() {
    let drain = Duration::from_millis(150);
    let mut node = Node::start(Config { drain, ..config() }).await;
    let mut running = hold(&node).await;
    let mut body = node.connect().await;
    body.send(head("POST / HTTP/1.1", &[JSON, &bob(), "Content-Length: 9"])).await;
    let start = Instant::now();
    node.stop();
    soon(node.served).await.unwrap();
    assert_eq!(node.gate.running.load(SeqCst), 0, "nothing of it runs any more");
    assert!((drain..drain * 10).contains(&start.elapsed()));
    running.closed().await;
    body.closed().await;
}

#[tokio::test]
async fn a_client_who_goes_away_stops_nothing_halfway() {
    let mut node = Node::start(config()).await;
    drop(hold(&node).await);
    let gone = hold(&node).await;
    gone.0.into_inner().set_zero_linger().unwrap();
    node.gate.open.add_permits(1);
    node.gate.ended(1).await;
    node.stop();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!node.served.is_finished(), "the drain waits for it");
    node.gate.open.add_permits(1);
    node.gate.ended(2).await;
    soon(node.served).await.unwrap();
}

/// `look` holds as `hold` does, and says that it changes nothing.
#[tokio::test]
async fn what_only_reads_ends_with_its_client() {
    let node = Node::start(config()).await;
    let mut client = node.connect().await;
    client.send(post(&[JSON, &bob()], r#"{"operation":"look"}"#)).await;
    node.gate.begun().await;
    drop(client);
    soon(async {
        while node.gate.running.load(SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(node.gate.done.load(SeqCst), 0);
}

#[tokio::test]
async fn a_server_that_is_dropped_leaves_nothing_behind() {
    let node = Node::start(config()).await;
    let mut running = hold(&node).await;
    node.served.abort();
    assert!(node.served.await.unwrap_err().is_cancelled());
    running.closed().await;
    soon(async {
        while node.gate.running.load(SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(node.gate.done.load(SeqCst), 0);
    assert!(tokio::net::TcpStream::connect(node.address).await.is_err());
}

// covers: http.plaintext-beyond-loopback
#[tokio::test]
async fn where_it_cannot_listen() {
    let root = tempfile::tempdir().unwrap();
    let users = Users::open(Store::open(root.path()).await.unwrap(), Duration::ZERO);
    let (host, _gate) = host().await;
    let bind = async |config| Server::bind(config, host.clone(), users.clone()).await;
    let refused = async |config| match bind(config).await {
        Err(error) => error,
        Ok(server) => panic!("listens on {}", server.addresses()),
    };
    let first = bind(config()).await.unwrap();
    let port = first.addresses().http.unwrap().port();
    let error = refused(Config { port: Some(port), ..config() }).await;
    assert_eq!(
        error.to_string(),
        format!("operationsApi.network.port {port} is in use on 127.0.0.1")
    );
    for host in ["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1"] {
        let error = refused(Config { host: host.parse().unwrap(), ..config() }).await;
        assert!(matches!(error, BindError::Plaintext(_)));
        assert!(error.to_string().contains("operationsApi.network.allowPlaintext"), "{error}");
    }
    // A documentation address: nobody has it.
    let host = "192.0.2.1".parse().unwrap();
    let error = refused(Config { host, allow_plaintext: true, ..config() }).await;
    let text = "operationsApi.network.host 192.0.2.1 is not an address of this machine";
    assert_eq!(error.to_string(), text);
    for host in ["127.0.0.2", "::1"] {
        if let Err(error) = bind(Config { host: host.parse().unwrap(), ..config() }).await {
            assert!(matches!(error, BindError::NoSuchAddress(_)), "no such loopback here: {error}");
        }
    }
}
