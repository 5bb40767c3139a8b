//! Other people's plugins, as the configuration has them: one file a concern.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod budgets;
mod clashes;
mod command_line;
mod doors;
mod granted;
mod misfits;
mod openapi;
mod reload;

use harper_tests::plugins::{Folder, PluginNode as Node};
use serde_json::{Value, json};

/// A plugin `hostile` with these grants and limits, allowed by its hash.
async fn node(grants: Value, limits: Value) -> (Folder, Node) {
    let folder = Folder::new().unwrap();
    let sha256 = folder.component("hostile", &json!({})).unwrap();
    folder
        .configure(&json!([{
            "name": "hostile", "file": "hostile.wasm", "sha256": sha256, "grants": grants,
            "limits": limits,
        }]))
        .unwrap();
    let node = folder.host().await.unwrap();
    (folder, node)
}
