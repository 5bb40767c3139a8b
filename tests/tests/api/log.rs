//! What the log says of a request, and what it must not.

use std::{
    fmt::{Debug, Write},
    sync::{LazyLock, Mutex},
};

use serde_json::json;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::node::{JSON, Node, basic, config, post};

static LINES: LazyLock<Mutex<Vec<String>>> = LazyLock::new(Mutex::default);

/// Catches all that is logged in this process.
pub(crate) fn catch() {
    let _ = tracing::subscriber::set_global_default(Catch);
}

struct Catch;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, " {field}={value}").unwrap();
    }
}

impl Subscriber for Catch {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        LINES.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

pub(crate) fn lines_with(text: &str) -> Vec<String> {
    LINES.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
}

#[tokio::test]
async fn one_line_a_request_and_nothing_secret() {
    let node = Node::start(config()).await;
    let secret = "s3cret-s3cret";
    let role = harper_host::Role::SuperUser;
    node.users.add("logged", secret, &role, true).await.unwrap();
    let header = basic(format!("logged:{secret}"));
    let body = json!({ "operation": "log_test", "password": secret, "x": secret }).to_string();
    assert_eq!(node.ask(post(&[JSON, &header], body)).await.status, 200);
    let lines = lines_with("operation=log_test");
    assert_eq!(lines.len(), 1);
    for part in ["INFO", "status=200", "user=logged", "peer=127.0.0.1", " ms="] {
        assert!(lines[0].contains(part), "{part}: {}", lines[0]);
    }
    let body = json!({ "operation": "echo", "username": "logged", "password": secret }).to_string();
    assert_eq!(node.ask(post(&[JSON], &body)).await.status, 200);
    assert_eq!(node.ask(post(&[JSON], &body[..body.len() - 1])).await.status, 401);
    assert_eq!(node.ask(post(&[JSON, &header], &body[..body.len() - 1])).await.status, 400);
    assert_eq!(node.ask(post(&[JSON, &basic(format!("{secret}:x"))], "{}")).await.status, 401);
    assert_eq!(lines_with("user=logged").len(), 3);
    assert_eq!(lines_with(secret), [""; 0]);
    assert_eq!(lines_with(&header["Authorization: Basic ".len()..]), [""; 0]);
}

#[tokio::test]
async fn an_unknown_operations_name_is_not_in_the_log() {
    let node = Node::start(config()).await;
    let name = format!("evil\n\x1b[2J\u{202e}\u{2028}{}", "x".repeat(1000));
    assert_eq!(node.call(json!({ "operation": name })).await.status, 400);
    assert_eq!(lines_with("evil"), [""; 0]);
    assert!(!lines_with("operation=unknown").is_empty());
    for operation in [json!(1), json!(["evil"]), json!(null)] {
        assert_eq!(node.call(json!({ "operation": operation })).await.status, 400);
    }
    assert_eq!(lines_with("evil"), [""; 0]);
}
