//! What authors of plugins have: two plugins as examples, a node that is not there, and calls that are
//! recorded and replayed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod cluster_health;
mod commands;
mod count_rows;
mod golden;
mod peers;
mod transcripts;

use harper_host::plugins::Description;
use harper_host::{Caller, Error, Grants, Host};
use serde_json::Value;

/// What a component asks for.
async fn asked(component: &[u8]) -> Grants {
    Description::of_bytes(component.to_vec()).await.offer.unwrap().asked
}

/// A component imports nothing but interfaces of ours.
async fn imports_nothing_else(component: &[u8]) {
    let description = Description::of_bytes(component.to_vec()).await;
    let names: Vec<_> = description.imports.iter().map(|import| &import.name).collect();
    assert!(names.iter().all(|name| name.starts_with("harper:plugin/")), "{names:?}");
    assert!(!names.is_empty());
}

async fn send(host: &Host, request: Value) -> Result<Value, Error> {
    host.dispatch(&Caller::super_user("admin"), request).await
}
