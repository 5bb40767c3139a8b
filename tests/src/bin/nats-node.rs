//! A node's servers in a process of its own, for the test of what is left when that ends.
//!
//! `nats-node waits|exits|aborts|panics`: starts them, prints their process ids, and ends in that way
//! when its input does.

use std::io::{Read, Write, stdin, stdout};

use anyhow::{Context, Result};
use harper_host::nats::ServerKind;
use harper_tests::nats::{Authority, NatsNode, pid};

#[tokio::main]
async fn main() -> Result<()> {
    let ends = std::env::args().nth(1).context("how does it end?")?;
    let authority = Authority::new()?;
    let node = NatsNode::start(&authority, "one", |_| {}).await?;
    let [hub, leaf] = [ServerKind::Hub, ServerKind::Leaf].map(|one| pid(&node.nats, one));
    println!("{} {}", hub.context("the hub is up")?, leaf.context("the leaf is up")?);
    stdout().flush()?;
    // Blocks this thread on purpose: nothing may depend on it.
    stdin().read_to_end(&mut Vec::new())?;
    match &*ends {
        "exits" => std::process::exit(3),
        "aborts" => std::process::abort(),
        "panics" => panic!("as it was told"),
        _ => std::future::pending().await,
    }
}
