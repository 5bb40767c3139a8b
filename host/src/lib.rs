//! Runs Harper plugins sandboxed and serves Harper's operations API.
//!
//! # Embedding
//!
//! ```
//! use harper_host::{Caller, Host};
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! harper_host::config::create_if_missing(&folder.join(harper_host::config::FILE_NAME))?;
//! let host = Host::builder().root_path(folder).build().await?;
//!
//! let request = json!({
//!     "operation": "cluster_set_routes",
//!     "server": "hub",
//!     "routes": [{ "host": "3.22.181.22", "port": 12345 }],
//! });
//! let reply = host.dispatch(&Caller::super_user("admin"), request).await?;
//! assert_eq!(reply["message"], "cluster routes successfully set");
//! # Ok(())
//! # }
//! ```
//!
//! Every capability is a trait ([`Config`], [`Log`], [`Clock`], [`Node`], [`Nats`], [`JetStream`],
//! [`Tables`], [`Replication`]) that the builder takes an
//! implementation of: `examples/embed.rs` brings its own configuration.
//!
//! # Serving the API
//!
//! As `harper-host run` does: by HTTP or HTTPS, as the configuration says, and on a Unix socket.
//!
//! ```
//! use harper_host::config::{self, ConfigFile};
//! use harper_host::{Host, api, store::Store, users::Users};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! # std::fs::write(folder.join(config::FILE_NAME), "operationsApi: { network: { port: 0 } }")?;
//! # let stop = std::future::ready(());
//! let file = ConfigFile::open(folder.join(config::FILE_NAME))?;
//! let settings = file.settings()?;
//! let users = Users::open(Store::open(folder).await?, settings.cache_ttl);
//! let host = Host::builder().root_path(folder).config_file(file).users(users.clone()).build().await?;
//!
//! let config = api::Config::from(&settings).in_folder(folder);
//! let server = api::Server::bind(config, host, users).await?;
//! println!("ready at {}", server.addresses());
//! // Until `stop` resolves and running requests have been answered.
//! server.serve(stop).await;
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! | folder | what it is for |
//! | --- | --- |
//! | `api/` | the operations API over HTTP, HTTPS and a Unix socket |
//! | `operations/` | operations of the host's own |
//! | `openapi.rs` | all operations, as an OpenAPI document |
//! | `dispatch/` | from an operation's JSON to whoever performs it |
//! | `audit/` | who changed what, and when |
//! | `runtime/` | components: an engine, instances, and the limits of each call |
//! | `capabilities/` | what plugins may use, one file a WIT interface, each behind a grant |
//! | `plugins/` | what other people's plugins there are, and what they may do |
//! | `nats/` | the two NATS servers of a node in a cluster |
//! | `live_routes.rs` | keeps their routes as the configuration has them |
//! | `node_name.rs` | what this node may be called |
//! | `peers.rs` | answers what other nodes ask |
//! | `flow/` | rows from node to node: publishes what was changed here, applies what comes |
//! | `replication/` | keeps streams and durable consumers as the records of nodes say |
//! | `files.rs` | files whose paths somebody else may have prepared |
//! | `figures/` | how far each subscription is, and what waits to go out |
//! | `recovery.rs` | has what operations have left finished or undone |
//! | `config/` | the file `harperdb-config.yaml`, and the settings in it |
//! | `users/` | who may log in |
//! | `keys/` | the certificates and the password of the cluster |
//! | `pem/` | certificates and private keys in files |
//! | `data/` | databases, tables and rows, with versions and a change log |
//! | `transaction/` | what messages on the tables' streams say |
//! | `store/` | the node's database |
//! | `testing/` | a host without a node, for those who write plugins |
//! | `transcript/` | what a plugin asked and was told during a call, recorded and replayed |

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod api;
pub mod audit;
mod capabilities;
pub mod config;
pub mod data;
mod describe;
mod dispatch;
pub mod figures;
pub mod files;
pub mod flow;
mod host;
mod json;
pub mod keys;
pub mod live_routes;
mod metrics;
pub mod nats;
mod node_name;
pub mod openapi;
pub mod operations;
pub mod peers;
mod pem;
pub mod plugins;
pub mod recovery;
pub mod replication;
mod runtime;
pub mod store;
pub mod testing;
pub mod transaction;
pub mod transcript;
pub mod users;
mod wit;

pub use capabilities::{
    BoxFuture, Capabilities, Change, Clock, Config, ConfigError, ConfigGrants, Durable, Entry,
    Extent, Grant, GrantError, Grants, Held, JetStream, JetStreamError, JetStreamGrants, KeyPath,
    KeyPattern, Level, Log, ManifestError, Nats, NatsError, NatsGrants, Node, NodeInfo, Page,
    Ports, RESERVED_KEYS, RESERVED_SUBJECTS, ROWS_OF_A_PAGE, Replication, ReplicationError,
    ReservedError, Row, SYSTEM_DATABASE, ServerInfo, Snapshot, StreamInfo, StreamPattern,
    SubjectPattern, SystemClock, SystemInfo, TableGrants, TableInfo, TableName, TablePattern,
    Tables, TablesError, Texts, ThisNode, TracingLog,
};
pub use describe::describe;
pub use dispatch::{Caller, Error, ErrorKind, Origin, Reply, Role, Rows};
pub use host::{BuildError, Host, HostBuilder};
pub use node_name::NodeNameError;
pub use plugins::PluginSettings;
pub use runtime::{ComponentSource, Interface, Limits, LimitsError, LoadError, Operation};

/// The clustering plugin, as a component that any host of `harper:plugin@0.1.0` can run.
pub const CLUSTERING_COMPONENT: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/clustering.wasm"));
