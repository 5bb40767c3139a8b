//! Rows from node to node, on real servers.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test")]

mod javascript;
mod streams;
mod subscriptions;

use harper_host::flow::FlowConfig;
use harper_tests::nodes::{Nodes, Wanted};
use harper_tests::shared::{agreed, change};

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
