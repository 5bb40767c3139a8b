//! A server of your own that performs clustering operations: the host as a library, with a
//! configuration that lives in memory instead of `harperdb-config.yaml`.
//!
//! `cargo run --example embed`

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use harper_host::{
    BoxFuture, Caller, Change, Config, ConfigError, Error, Host, KeyPath, Operation, Snapshot,
};
use serde_json::{Value, json};

/// Key paths and their values, and how often they were changed.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<(BTreeMap<KeyPath, Value>, u64)>>);

impl Config for Memory {
    fn get(&self, paths: Vec<KeyPath>) -> BoxFuture<'_, Result<Snapshot, ConfigError>> {
        Box::pin(async move {
            let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let value = |path| state.0.get(path).cloned().unwrap_or_default();
            let values = paths.iter().map(value).collect();
            Ok(Snapshot { revision: state.1.to_string(), values })
        })
    }

    fn set(
        &self,
        expected: String,
        changes: Vec<Change>,
    ) -> BoxFuture<'_, Result<String, ConfigError>> {
        Box::pin(async move {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if expected != state.1.to_string() {
                // The plugin reads again and tries again.
                return Err(ConfigError::Conflict);
            }
            state.0.extend(changes.into_iter().map(|change| (change.path, change.value)));
            state.1 += 1;
            Ok(state.1.to_string())
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let memory = Memory::default();
    let host = Host::builder()
        .config(memory.clone())
        // An operation of your own, behind the same dispatch and the same check of roles.
        .operation(Operation::new("hello", "Greet the caller"), |caller: Caller, _| async move {
            Ok(json!(format!("Hello {}", caller.username)))
        })
        .build()
        .await?;

    // Who asks is for you to find out: dispatch trusts the caller that it is given.
    let admin = Caller::super_user("admin");
    let requests = [
        json!({ "operation": "hello" }),
        json!({
            "operation": "cluster_set_routes",
            "server": "hub",
            "routes": [{ "host": "10.0.0.2", "port": 9932 }],
        }),
        json!({ "operation": "cluster_get_routes" }),
        json!({ "operation": "cluster_set_routes", "server": "mars" }),
    ];
    for request in requests {
        println!("{request}");
        match host.dispatch(&admin, request).await {
            Ok(reply) => println!("  {reply}"),
            Err(Error { kind, message, .. }) => println!("  {kind:?}: {message}"),
        }
    }

    let state = memory.0.lock().unwrap_or_else(PoisonError::into_inner);
    for (path, value) in &state.0 {
        println!("in memory: {path} = {value}");
    }
    Ok(())
}
