//! The table of errors in the specification, row by row, and what a reply looks like.

use futures_util::future::join_all;
use serde_json::json;

use super::node::{ECHO, JSON, Node, basic, bob, config, head, post};

#[tokio::test]
async fn no_credentials() {
    let node = Node::start(config()).await;
    for body in [
        "",
        "{}",
        "{",
        "[]",
        "\u{0}",
        r#"{"operation":"echo","username":"bob"}"#,
        r#"{"username":"bob","password":["right"]}"#,
        r#"{"username":"bob","password":"right""#,
    ] {
        assert_eq!(node.ask(post(&[JSON], body)).await.error(), (401, "Must login".into()));
    }
    let good = r#"{"username":"bob","password":"right"}"#;
    for header in [
        "Authorization: Bearer x",
        "Authorization: Basic !",
        "Authorization:",
        &basic("bob"),
        &basic(b"bob:\xff"),
    ] {
        let reply = node.ask(post(&[JSON, header], good)).await;
        assert_eq!(reply.error(), (401, "Must login".into()), "{header}");
    }
}

// covers: http.401.no-difference
#[tokio::test]
async fn wrong_credentials_are_told_apart_by_nothing() {
    let node = Node::start(config()).await;
    let requests =
        ["bob:wrong", "nobody:right", "node:right", "off:right", ":", ":right"].map(|sent| {
            let (name, password) = sent.split_once(':').unwrap();
            let body = json!({ "username": name, "password": password }).to_string();
            [post(&[JSON, &basic(sent)], "{}"), post(&[JSON], body)]
        });
    let replies = join_all(requests.iter().flatten().map(|request| node.ask(request))).await;
    let mut replies: Vec<_> = replies
        .iter()
        .map(|reply| {
            assert_eq!(reply.error(), (401, "Login failed".into()));
            let mut lines = format!("{reply:?}");
            lines.replace_range(lines.find("(\"date\"").unwrap()..lines.find("GMT").unwrap(), "");
            lines
        })
        .collect();
    replies.dedup();
    assert_eq!(replies.len(), 1, "{replies:#?}");
}

#[tokio::test]
async fn bodies_that_are_no_object() {
    let node = Node::start(config()).await;
    let invalid = "Request body is not valid JSON:";
    let deep = "[".repeat(1000);
    for (body, text) in [
        (&b""[..], format!("{invalid} it ends while parsing a value at line 1 column 0")),
        (b"{\n \"a\":\n  ?}", format!("{invalid} expected value at line 3 column 3")),
        (b"{\"\xff\":1}", format!("{invalid} invalid unicode code point at line 1 column 3")),
        (b"[1]", "Request body must be a JSON object, found an array at line 1 column 1".into()),
        (
            deep.as_bytes(),
            format!(
                "{invalid} arrays and objects are nested deeper than 127 levels at line 1 column 128"
            ),
        ),
    ] {
        assert_eq!(node.ask(post(&[JSON, &bob()], body)).await.error(), (400, text));
    }
}

#[tokio::test]
async fn each_kind_of_error_has_its_status() {
    let node = Node::start(config()).await;
    for (operation, status) in [
        ("invalid", 400),
        ("unauthorized", 401),
        ("forbidden", 403),
        ("conflict", 409),
        ("too_large", 413),
        ("busy", 503),
        ("failed", 500),
    ] {
        let reply = node.call(json!({ "operation": operation })).await;
        assert_eq!(reply.error(), (status, "as asked".into()));
    }
}

#[tokio::test]
async fn only_json_is_taken() {
    let node = Node::start(config()).await;
    let text = "Content-Type must be application/json".to_owned();
    for kind in [
        "X: y",
        "Content-Type:",
        "Content-Type: text/plain",
        "Content-Type: application/jsonp",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: text/plain; application/json",
    ] {
        // Before the credentials are looked at.
        assert_eq!(node.ask(post(&[kind], "{}")).await.error(), (415, text.clone()), "{kind}");
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON", "application/json ;x=y"] {
        let kind = format!("Content-Type: {kind}");
        assert_eq!(node.ask(post(&[&kind, &bob()], ECHO)).await.status, 200, "{kind}");
    }
}

#[tokio::test]
async fn other_paths_and_methods() {
    let node = Node::start(config()).await;
    for (line, status, text) in [
        ("GET /x HTTP/1.1", 404, "Not found"),
        ("POST /health/ HTTP/1.1", 404, "Not found"),
        ("POST //../ HTTP/1.1", 404, "Not found"),
        ("GET / HTTP/1.1", 405, "Method not allowed"),
        ("OPTIONS / HTTP/1.1", 405, "Method not allowed"),
        ("OPTIONS * HTTP/1.1", 404, "Not found"),
        ("POST /health HTTP/1.1", 405, "Method not allowed"),
        ("TRACE / HTTP/1.1", 405, "Method not allowed"),
    ] {
        let reply = node.ask(head(line, &[])).await;
        assert_eq!(reply.error(), (status, text.into()), "{line}");
        let allowed = if line.contains("health") { "GET,HEAD" } else { "POST" };
        assert_eq!(reply.header("allow"), (status == 405).then_some(allowed), "{line}");
    }
}

#[tokio::test]
async fn health_needs_no_login_and_head_has_no_body() {
    let node = Node::start(config()).await;
    let mut client = node.connect().await;
    client.send(head("GET /health HTTP/1.1", &[])).await;
    assert_eq!(client.reply().await.json(), json!({ "status": "ok" }));
    client.send(head("HEAD /health HTTP/1.1", &[])).await;
    let reply = client.reply_to("HEAD").await;
    assert_eq!((reply.status, reply.header("content-length")), (200, Some("15")));
    client.send(head("HEAD / HTTP/1.1", &[])).await;
    assert_eq!(client.reply_to("HEAD").await.status, 405);
    client.send(head("GET /health HTTP/1.1", &[])).await;
    assert_eq!(client.reply().await.status, 200, "the connection is still in step");
}

// covers: http.result.string
#[tokio::test]
async fn results() {
    let node = Node::start(config()).await;
    let reply = node.call(json!({ "operation": "text" })).await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "message": "done" })));
    let reply = node.call(json!({ "operation": "echo", "z": 1, "a": { "é": null } })).await;
    assert_eq!(
        reply.text,
        r#"{"user":"bob","role":"SuperUser","origin":"127.0.0.1","request":{"operation":"echo","z":1,"a":{"é":null}}}"#
    );
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_server_goes_on() {
    let node = Node::start(config()).await;
    let mut client = node.connect().await;
    client.send(post(&[JSON, &bob()], r#"{"operation":"panic"}"#)).await;
    assert_eq!(client.reply().await.error(), (500, "Internal error".into()));
    client.send(post(&[JSON, &bob()], r#"{"operation":"text"}"#)).await;
    assert_eq!(client.reply().await.status, 200, "on the same connection");
}
