//! A host without a node, for those who write plugins: everything that a plugin may use, in memory.
//!
//! [`FakeNode`] is a node whose network, streams and tables are told what to say, by a [`Cluster`],
//! and which writes down what it was asked. Other nodes can be slow, silent, die and lie; time is
//! [`Time`], which passes as soon as everybody waits, so that a test with timeouts takes none.
//! Grants and limits are the real ones: between a plugin and this is the host as it runs.
//!
//! ```no_run
//! use harper_host::testing::{Cluster, FakeNode, Peer};
//! use harper_host::{Caller, ComponentSource, Grants, Limits};
//! use serde_json::json;
//!
//! # async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster {
//!     config: json!({ "orders": { "region": "eu" } }),
//!     peers: [("orders.eu.new".into(), Peer::replying(json!({ "number": 7 })).after(1500))].into(),
//!     ..Cluster::default()
//! };
//! let node = FakeNode::new(cluster);
//! let plugin = ComponentSource::bytes(std::fs::read("plugin.wasm")?);
//! let mut grants = Grants::default();
//! grants.nats.request.push("orders.eu.new".parse()?);
//! let host = node.host_with("orders", plugin, grants, Limits::default()).await?;
//! let reply = host.dispatch(&Caller::super_user("me"), json!({ "operation": "order" })).await?;
//! assert_eq!(reply["number"], 7);
//! assert_eq!(node.calls()[0]["nats.request"]["subject"], "orders.eu.new");
//! assert_eq!(node.time().passed().as_millis(), 1500);
//! # Ok(())
//! # }
//! ```
//!
//! | file | what it holds |
//! | --- | --- |
//! | `cluster.rs` | what a node is told to be like |
//! | `node.rs` | the node, and the host on top of it |
//! | `network.rs` | other nodes and streams |
//! | `tables.rs` | tables and records |
//! | `config.rs` | a configuration in memory |
//! | `time.rs` | a clock that need not wait |
//! | `case.rs` | test cases that are folders, for `harper-host plugin test` |

mod case;
mod cluster;
mod config;
mod network;
mod node;
mod tables;
mod time;

pub use case::{Case, CaseError, Tested, WriteError};
pub use cluster::{Cluster, Peer, Server};
pub use config::MemoryConfig;
pub use node::FakeNode;
pub use time::Time;
