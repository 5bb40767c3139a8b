//! HTTP as it may look on the wire: old, pipelined, absurd, broken.

use super::node::{ECHO, JSON, Node, bob, config, head, post, soon};
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn kept_alive_and_pipelined() {
    let node = Node::start(config()).await;
    let mut client = node.connect().await;
    let one = |n: usize| post(&[JSON, &bob()], format!(r#"{{"operation":"echo","n":{n}}}"#));
    client.send((0..20).flat_map(one).collect::<Vec<_>>()).await;
    for n in 0..20 {
        assert_eq!(client.reply().await.json()["request"]["n"], n, "in order");
    }
    client.send(one(20)).await;
    assert_eq!(client.reply().await.json()["request"]["n"], 20);
}

#[tokio::test]
async fn http_1_0() {
    let node = Node::start(config()).await;
    let mut client = node.connect().await;
    let length = ECHO.len();
    let head = format!("POST / HTTP/1.0\r\n{JSON}\r\n{}\r\nContent-Length: {length}", bob());
    let request = format!("{head}\r\n\r\n{ECHO}");
    client.send(request).await;
    assert_eq!(client.reply().await.json()["user"], "bob");
    client.closed().await;
}

#[tokio::test]
async fn a_request_that_arrives_byte_by_byte() {
    let node = Node::start(config()).await;
    let mut client = node.connect().await;
    for byte in post(&[JSON, &bob()], r#"{"operation":"echo","é":1}"#) {
        client.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.reply().await.json()["request"]["é"], 1);
}

#[tokio::test]
async fn chunks_and_trailers() {
    let node = Node::start(config()).await;
    let mut client = node.connect().await;
    client.send(head("POST / HTTP/1.1", &[JSON, &bob(), "Transfer-Encoding: chunked"])).await;
    client
        .send("1;x=y\r\n{\r\n13\r\n\"operation\":\"echo\"}\r\n0\r\nAuthorization: x\r\n\r\n")
        .await;
    assert_eq!(client.reply().await.json()["user"], "bob");
    for broken in ["zz\r\n", "-1\r\n{}\r\n0\r\n\r\n", "1\r\n{}", "ffffffffffffffffff\r\n{}"] {
        let mut client = node.connect().await;
        client.send(head("POST / HTTP/1.1", &[JSON, &bob(), "Transfer-Encoding: chunked"])).await;
        client.send(broken).await;
        let reply = client.reply().await;
        assert_eq!(reply.error(), (400, "The request body could not be read".into()), "{broken:?}");
        client.closed().await;
    }
}

/// hyper answers these itself, without a body.
#[tokio::test]
async fn what_is_no_request() {
    let node = Node::start(config()).await;
    let many: Vec<_> = (0..200).map(|n| format!("X-{n}: y")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let long = format!("X: {}", "y".repeat(100_000));
    let path = format!("GET /{} HTTP/1.1", "x".repeat(100_000));
    for (request, statuses) in [
        (head("GET /health HTTP/1.1", &many), &[431][..]),
        (head("GET /health HTTP/1.1", &[&long]), &[431]),
        (head(&path, &[]), &[414, 431]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(9), &[400]),
        (head("POST / HTTP/1.1", &["Content-Length: -1"]), &[400]),
        (head("POST / HTTP/1.1", &["Content-Length: 1", "Content-Length: 2"]), &[400]),
        (head("POST / HTTP/1.1", &["Transfer-Encoding: gzip"]), &[400]),
        (head("POST / HTTP/1.1", &["a b: c"]), &[400]),
        (b"\r\n\r\n\r\n\0".to_vec(), &[400]),
    ] {
        let mut client = node.connect().await;
        // It may be cut off before all is sent.
        let _ = soon(tokio::io::AsyncWriteExt::write_all(&mut client.0, &request)).await;
        let reply = client.reply().await;
        let start = String::from_utf8_lossy(&request[..request.len().min(60)]).into_owned();
        assert!(statuses.contains(&reply.status), "{start}: {reply:?}");
        assert_eq!(reply.text, "");
        let _ = soon(client.0.read_to_end(&mut Vec::new())).await;
    }
    let mut http2 = node.connect().await;
    http2.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    http2.closed().await;
    assert_eq!(node.ask(head("GET /health HTTP/1.1", &[])).await.status, 200);
}

/// A body that two readers could end in two places must not smuggle a second request in.
#[tokio::test]
async fn two_lengths_are_one_request() {
    let node = Node::start(config()).await;
    let mut client = node.connect().await;
    let both = ["Content-Length: 5", "Transfer-Encoding: chunked", JSON, &bob()];
    client.send(head("POST / HTTP/1.1", &both)).await;
    client.send("2\r\n{}\r\n0\r\n\r\n").await;
    let status = client.reply().await.status;
    assert!(status == 200 || status == 400, "{status}");
    client.send(head("GET /health HTTP/1.1", &[])).await;
    let mut rest = vec![0; 15];
    let next = soon(client.0.read_exact(&mut rest)).await;
    assert!(next.is_err() || rest == b"HTTP/1.1 200 OK", "{}", String::from_utf8_lossy(&rest));
}
