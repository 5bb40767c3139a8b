//! Many nodes, of which most say nothing.

use std::time::{Duration, Instant};

use harper_host::nats::RequestError;
use harper_tests::nats::eventually;
pub(crate) use prometheus::value;
use serde_json::json;

use crate::{nodes, publishes, subscribes};

/// Nodes that are there and do not answer.
const SILENT: usize = 100;

// covers: replication.away.frozen, replication.metrics
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_silent_nodes_delay_nobody() {
    let cluster = nodes(2).await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    second.put("node-1", publishes(&["dev.dog", "dev.cat"])).await;
    second.settle("node-1").await.unwrap();
    let client = second.servers.nats.client();
    let mut subscriptions = Vec::new();
    for n in 0..SILENT {
        // Before the other by their names.
        let name = format!("a-silent-{n}");
        let subject = format!("$JS.{name}-leaf.API.INFO");
        subscriptions.push(client.subscribe(subject).await.unwrap());
    }
    client.flush().await.unwrap();
    let last = format!("$JS.a-silent-{}-leaf.API.INFO", SILENT - 1);
    eventually("they are there", async || {
        let soon = Duration::from_millis(100);
        let asked = first.servers.nats.request(&last, Vec::new().into(), soon).await;
        matches!(asked, Err(RequestError::Timeout(_)))
    })
    .await
    .unwrap();
    for n in 0..SILENT {
        first.put(&format!("a-silent-{n}"), subscribes(&["dev.dog"])).await;
    }
    let host = host(first).await;
    let failures = || value(&host.metrics(), "harper_replication_failures_total{of=\"durables\"}");
    let before = failures();
    first.put("node-2", subscribes(&["dev.dog", "dev.cat"])).await;
    first.settle("node-2").await.unwrap();
    let silent = failures() - before;
    assert!(silent < SILENT as f64 / 2.0, "{silent} nodes were waited for");
    let metrics = host.metrics();
    let wanted = value(&metrics, "harper_replication_durables_wanted");
    assert_eq!(wanted, SILENT as f64 + 2.0);
    assert_eq!(value(&metrics, "harper_replication_durables_present"), 2.0);
}

// covers: replication.metrics
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wanted_and_there_is_counted() {
    let cluster = nodes(1).await;
    let node = &cluster.nodes[0];
    let host = host(node).await;
    node.put("b", publishes(&["dev.dog", "dev.cat"])).await;
    node.settle("b").await.unwrap();
    let count = |series: &str| value(&host.metrics(), &format!("harper_replication_{series}"));
    assert_eq!([count("streams_wanted"), count("streams_present")], [2.0, 2.0]);
    node.put("b", json!([])).await;
    node.settle("b").await.unwrap();
    assert_eq!([count("streams_wanted"), count("streams_present")], [0.0, 0.0]);
    assert_eq!(count("failures_total{of=\"streams\"}"), 0.0);
}

// covers: replication.many
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_nodes_with_a_hundred_subscriptions_delay_nobody() {
    let cluster = nodes(2).await;
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    second.put("node-1", publishes(&["dev.dog"])).await;
    second.settle("node-1").await.unwrap();
    let tables: Vec<_> = (0..100).map(|n| format!("dev.t{n}")).collect();
    let tables: Vec<_> = tables.iter().map(String::as_str).collect();
    // Nobody is there.
    let all = (0..1000).map(async |n| first.put(&format!("away-{n}"), subscribes(&tables)).await);
    for some in all.collect::<Vec<_>>() {
        some.await;
    }
    let began = Instant::now();
    first.put("node-2", subscribes(&["dev.dog"])).await;
    first.settle("node-2").await.unwrap();
    // A second by itself; the machine may have more to do.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    println!("settled after {took:?} beside a thousand nodes that are away");
}

/// A host that counts for a node.
pub(crate) async fn host(node: &crate::Node) -> harper_host::Host {
    let file = node.servers.folder().join(harper_host::config::FILE_NAME);
    std::fs::write(file, "").unwrap();
    let host = harper_host::Host::builder().root_path(node.servers.folder());
    host.replicator(node.replicator.clone()).build().await.unwrap()
}

mod prometheus {
    /// The value of one series.
    pub(crate) fn value(text: &str, series: &str) -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
    }
}
