//! A plugin: the operation `cluster_health`, which says which nodes answer and which do not.
//!
//! It asks every server of the network. Known is a node whose hub answers, one that another hub has
//! a route to, and one that stands in the table `ops.nodes`, where the operator may keep the names
//! of those that should be there (attribute `name`).
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code, reason = "the canonical ABI, in what wit-bindgen generates")]

mod health;

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "extension", generate_all });
}

use bindings::exports::harper::plugin::manifest::{self, Grants};
use bindings::exports::harper::plugin::operations::{Caller, Error, Guest, Operation};
use serde_json::{Value, json};

struct ClusterHealth;

impl manifest::Guest for ClusterHealth {
    fn asks() -> Grants {
        let (database, table) = health::INVENTORY;
        Grants {
            config_read: vec![],
            config_write: vec![],
            nats_request: vec![],
            nats_servers: true,
            jetstream_inspect: vec![],
            jetstream_purge: vec![],
            tables_read: vec![format!("{database}.{table}")],
            tables_write: vec![],
            tables_create: vec![],
            tables_describe: false,
            replication: false,
        }
    }
}

impl Guest for ClusterHealth {
    fn describe() -> Vec<Operation> {
        let schema = json!({
            "type": "object",
            "properties": {
                "operation": { "const": "cluster_health" },
                "timeout": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": health::LONGEST_TIMEOUT,
                    "description": "Milliseconds for which a silent node is waited for; 2000 without it",
                },
            },
            "required": ["operation"],
            "examples": [{ "operation": "cluster_health" }],
        });
        vec![Operation {
            name: "cluster_health".into(),
            super_user: true,
            changes: false,
            warning: None,
            help: "Say which nodes of the cluster answer and which do not".into(),
            schema: schema.to_string(),
        }]
    }

    async fn handle(_: Caller, request: String) -> Result<String, Error> {
        let request: Value = serde_json::from_str(&request)
            .map_err(|error| Error::Other(format!("The request is no JSON: {error}")))?;
        health::cluster_health(&request).await.map(|reply| reply.to_string())
    }
}

bindings::export!(ClusterHealth with_types_in bindings);
