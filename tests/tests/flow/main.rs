//! Rows that flow between whole nodes on real servers, whatever happens to these.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod cut;
mod dead_letters;
mod frozen;
mod full;
mod javascript;
mod killed;
mod readers;
mod rows;
mod streams;
mod subscriptions;

use std::collections::BTreeMap;
use std::ops::Range;

use harper_host::TableName;
use harper_host::data::{Data, Key, Row, Write};
use harper_host::flow::FlowConfig;
use harper_tests::nats::eventually;
use harper_tests::nodes::{ClusterNode, Nodes, Wanted};
use harper_tests::shared::{agreed, change};
use serde_json::{Value, json};

/// Nodes that rows flow between.
fn flowing() -> Wanted {
    Wanted { flow: Some(FlowConfig::default()), ..Wanted::default() }
}

/// Two nodes: what is written into `dev.dog` on the first goes to the second.
async fn from_first_to_second() -> Nodes {
    let cluster = Nodes::with(2, flowing()).await.unwrap();
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    first.make_table("dev.dog", &["id", "n"]).await.unwrap();
    first.send(change("add_node", "node-2", &[("dev.dog", ">")])).await.unwrap();
    agreed(&[first, second]).await.unwrap();
    cluster
}

/// Nodes whose rows flow as usual.
async fn nodes(n: usize) -> Nodes {
    nodes_with(n, FlowConfig::default()).await
}

async fn nodes_with(n: usize, config: FlowConfig) -> Nodes {
    Nodes::with(n, Wanted { flow: Some(config), ..Wanted::default() }).await.unwrap()
}

fn dog() -> TableName {
    TableName { database: "dev".into(), table: "dog".into() }
}

/// Makes the table on a node.
async fn make(node: &ClusterNode) {
    node.data.create_table(&dog(), "id", &[], "admin").await.unwrap();
}

/// Has a node take part in the table with another.
async fn share(node: &ClusterNode, other: &str, publish: bool, subscribe: bool) {
    let request = json!({
        "operation": "set_node_replication",
        "node_name": other,
        "subscriptions": [
            { "database": "dev", "table": "dog", "publish": publish, "subscribe": subscribe },
        ],
    });
    node.send(request).await.unwrap();
}

fn row(id: u64, value: &str) -> Row {
    Row::from_iter([("id".into(), id.into()), ("value".into(), value.into())])
}

/// Inserts rows, each by itself.
async fn insert(data: &Data, ids: Range<u64>, value: &str) {
    for id in ids {
        let written = data.write(&dog(), Write::Insert, vec![row(id, value)], "admin").await;
        assert_eq!(written.unwrap().written.len(), 1);
    }
}

/// The values of all rows.
async fn values(data: &Data, ids: Range<u64>) -> BTreeMap<u64, Value> {
    let keys = ids.map(|id| Key::try_from(json!(id)).unwrap()).collect();
    let found = data.get(&dog(), keys).await.unwrap_or_default();
    found.into_iter().map(|row| (row["id"].as_u64().unwrap(), row["value"].clone())).collect()
}

/// Waits until all these rows are there, among so many.
async fn arrive(data: &Data, ids: Range<u64>, count: u64) {
    let wanted = ids.end - ids.start;
    let all = eventually("all rows arrive", async || {
        values(data, ids.clone()).await.len() as u64 == wanted
            && data.table(&dog()).await.is_ok_and(|table| table.record_count >= count)
    });
    if let Err(error) = all.await {
        let found = values(data, ids.clone()).await;
        let missing: Vec<_> = ids.filter(|id| !found.contains_key(id)).collect();
        panic!("{error}: {} are missing: {missing:?}", missing.len());
    }
    assert_eq!(data.table(&dog()).await.unwrap().record_count, count);
    assert_eq!(data.dead_letters(0, 10).await.unwrap(), [], "nothing was laid aside");
}
