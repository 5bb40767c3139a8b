//! How much of anything a client may have: bytes, time and connections.

use std::time::Duration;

use harper_host::api::Config;
use serde_json::json;
use tokio::{io::AsyncReadExt, time::Instant};

use super::node::{ECHO, JSON, Node, SOON, bob, config, head, post, soon};

const BRIEF: Duration = Duration::from_millis(150);

fn too_large(limit: usize) -> (u16, String) {
    let key = "operationsApi.network.maxBodySize";
    (413, format!("The request body is over the limit of {limit} bytes ({key})"))
}

// covers: http.413.not-read
#[tokio::test]
async fn a_body_that_is_announced_too_large_is_not_read() {
    let node = Node::start(config()).await;
    for login in [&*bob(), "X: no login"] {
        for length in ["16777217", "9007199254740993"] {
            let length = format!("Content-Length: {length}");
            let mut client = node.connect().await;
            client.send(head("POST / HTTP/1.1", &[JSON, login, &length])).await;
            let reply = client.reply().await;
            assert_eq!(reply.error(), too_large(16 << 20));
            assert_eq!(reply.header("connection"), Some("close"));
            client.closed().await;
        }
    }
}

#[tokio::test]
async fn a_body_that_grows_too_large_is_cut_off() {
    let node = Node::start(Config { max_body_size: 1000, ..config() }).await;
    for login in [&*bob(), "X: no login"] {
        let mut client = node.connect().await;
        client.send(head("POST / HTTP/1.1", &[JSON, login, "Transfer-Encoding: chunked"])).await;
        client.send(format!("3e8\r\n{}\r\n", " ".repeat(1000))).await;
        client.send("1\r\n \r\n").await;
        assert_eq!(client.reply().await.error(), too_large(1000));
        client.closed().await;
    }
    let mut fits = br#"{"operation":"text","username":"bob","password":"right"}"#.to_vec();
    fits.resize(1000, b' ');
    assert_eq!(node.ask(post(&[JSON], &fits)).await.status, 200);
    fits.push(b' ');
    assert_eq!(node.ask(post(&[JSON], &fits)).await.error(), too_large(1000));
}

/// Who sends all before reading anything gets the refusal, not a connection reset.
#[tokio::test]
async fn a_client_that_sends_on_can_read_the_refusal() {
    let node = Node::start(config()).await;
    for _ in 0..5 {
        let mut client = node.connect().await;
        client.send(post(&[JSON, &bob()], vec![b' '; 17 << 20])).await;
        assert_eq!(client.reply().await.error(), too_large(16 << 20));
    }
}

#[tokio::test]
async fn the_largest_body_is_taken() {
    let node = Node::start(config()).await;
    let mut body = format!(r#"{{"operation":"text","a":"{}""#, "x".repeat(15 << 20)).into_bytes();
    body.resize((16 << 20) - 1, b' ');
    body.push(b'}');
    assert_eq!(node.ask(post(&[JSON, &bob()], &body)).await.json(), json!({ "message": "done" }));
}

// covers: http.limits.body-time
#[tokio::test]
async fn a_slow_body_is_a_408() {
    let node = Node::start(Config { body_timeout: BRIEF, ..config() }).await;
    for (login, framing, some) in [
        (&*bob(), "Content-Length: 9", "{"),
        ("X: none", "Transfer-Encoding: chunked", "1\r\n{\r\n"),
    ] {
        let mut client = node.connect().await;
        client.send(head("POST / HTTP/1.1", &[JSON, login, framing])).await;
        client.send(some).await;
        let reply = client.reply().await;
        assert_eq!(reply.error(), (408, "The request body did not arrive in time".into()));
        assert_eq!(reply.header("connection"), Some("close"));
        client.closed().await;
    }
}

// covers: http.limits.header-time
#[tokio::test]
async fn slow_heads_and_idle_connections_are_closed() {
    let node = Node::start(Config { header_timeout: BRIEF, ..config() }).await;
    let start = Instant::now();
    for head in ["", "POST / HTTP/1.1\r\nHost: x\r\n"] {
        let mut client = node.connect().await;
        client.send(head).await;
        client.closed().await;
    }
    let mut client = node.connect().await;
    client.send(post(&[JSON, &bob()], ECHO)).await;
    assert_eq!(client.reply().await.status, 200);
    client.closed().await;
    assert!(start.elapsed() >= 3 * BRIEF);
    // Not the time of the whole request, which may run for longer.
    let mut client = node.connect().await;
    client.send(post(&[JSON, &bob()], r#"{"operation":"hold"}"#)).await;
    node.gate.begun().await;
    tokio::time::sleep(2 * BRIEF).await;
    node.gate.open.add_permits(1);
    assert_eq!(client.reply().await.status, 200);
}

// covers: http.limits.connections
#[tokio::test]
async fn beyond_the_cap_connections_wait() {
    let node = Node::start(Config { max_connections: 2, ..config() }).await;
    let (first, _second) = (node.connect().await, node.connect().await);
    let mut third = node.connect().await;
    third.send(head("GET /health HTTP/1.1", &[])).await;
    assert!(tokio::time::timeout(BRIEF, third.0.get_mut().readable()).await.is_err());
    drop(first);
    assert_eq!(third.reply().await.status, 200);
}

#[tokio::test]
async fn who_does_not_take_the_reply_is_cut_off() {
    let node = Node::start(Config { body_timeout: BRIEF, max_connections: 1, ..config() }).await;
    let big = post(&[JSON, &bob()], r#"{"operation":"big","size":20000000}"#);
    let mut lazy = node.connect().await;
    lazy.send(&big).await;
    let mut next = node.connect().await;
    next.send(head("GET /health HTTP/1.1", &[])).await;
    assert_eq!(next.reply().await.status, 200, "its place is free again");
    drop(next);
    let mut taken = Vec::new();
    let _ = soon(lazy.0.read_to_end(&mut taken)).await;
    assert!(taken.len() < 20_000_000, "{}", taken.len());
    // Slow, but reading: it gets all of it, in more time than its patience.
    let mut slow = node.connect().await;
    slow.send(&big).await;
    let (start, mut size) = (Instant::now(), 0);
    let mut bytes = vec![0; 1 << 20];
    while size < 20_000_000 {
        tokio::time::sleep(BRIEF / 5).await;
        let read = soon(slow.0.read(&mut bytes)).await.unwrap();
        assert!(read > 0, "cut off after {size}");
        size += read;
    }
    assert!(start.elapsed() > 2 * BRIEF && start.elapsed() < SOON);
}
