//! What the servers say goes to our log, without passwords.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use harper_host::config::LogLevel;
use harper_host::nats::{Route, ServerKind};
use harper_tests::nats::{Authority, NatsNode, PASSWORD, PATIENCE, eventually};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Lines {
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
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Lines {
    fn with(&self, text: &str) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
    }
}

// covers: nats.log
#[tokio::test]
async fn the_servers_log_goes_to_ours_without_passwords() {
    let lines = Lines::default();
    // One thread runs all of this test, tasks included.
    let _guard = tracing::subscriber::set_default(lines.clone());
    let authority = Authority::new().unwrap();
    let all = |config: &mut harper_host::nats::Config| config.log_level = LogLevel::Trace;
    let node = NatsNode::start(&authority, "one", all).await.unwrap();
    let route = Route { host: "127.0.0.1".into(), port: 1 };
    node.nats.set_routes(vec![route], vec![]).await.unwrap();
    eventually("the route is in the log", async || {
        !lines.with("Error trying to connect to route").is_empty()
    })
    .await
    .unwrap();
    node.stop().await;
    assert!(!lines.with("server=\"hub\"").is_empty() && !lines.with("server=\"leaf\"").is_empty());
    assert!(!lines.with("nats-server: Server is ready").is_empty());
    // As it is, and as it stands in URLs. Debug puts a backslash before a quote.
    for secret in [PASSWORD, "s3cret/", "s3cret%2F", "s3cret%2f"] {
        assert_eq!(lines.with(secret), [""; 0]);
    }
}

// covers: nats.routes.loop
#[tokio::test]
async fn a_leaf_route_to_a_node_that_is_joined_already_is_told_once() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let authority = Authority::new().unwrap();
    let two = NatsNode::start(&authority, "two", |_| {}).await.unwrap();
    let one = NatsNode::start(&authority, "one", |config| config.hub_routes = vec![two.route()]);
    let one = one.await.unwrap();
    let leafnodes = Route { host: "127.0.0.1".into(), port: two.nats.ports().hub_leafnodes };
    one.nats.set_routes_of(ServerKind::Leaf, vec![leafnodes]).await.unwrap();
    eventually("several have met it, in both accounts", async || {
        lines.with("Loop detected for leafnode").len() > 4
    })
    .await
    .unwrap();
    let is_error = |line: &String| line.starts_with("ERROR");
    assert!(!lines.with("Loop detected").iter().any(is_error), "no error beside");
    // Two nodes: the one with the route, and the one that it leads to.
    let told = lines.with("a leaf route leads to a node that is joined by hub routes already");
    assert!((1..=2).contains(&told.len()) && told[0].starts_with("WARN"), "{told:#?}");
    // What is to be done, and it helps: until then the other may be out of reach.
    one.nats.set_routes_of(ServerKind::Leaf, vec![]).await.unwrap();
    eventually("the other is reached", async || {
        one.nats.request("$JS.two-leaf.API.INFO", "".into(), PATIENCE).await.is_ok()
    })
    .await
    .unwrap();
}
