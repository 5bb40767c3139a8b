//! The node's two nats-servers, and what is asked of the network through them.
//!
//! The **hub** joins other nodes' hubs by routes. The **leaf** keeps the streams of tables, and joins
//! its own hub, and whatever the leaf list names, in two accounts: `HDB` for data, `SYS` for questions
//! about the network. Both run as children: [`Supervisor`] starts, watches, restarts and ends them.
//! [`Nats`] asks.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `config.rs` | what an operator decides, typed |
//! | `route.rs` | addresses of other nodes, as the configuration file has them |
//! | `program.rs` | finding nats-server, and how old it is |
//! | `document.rs` | the configuration that a server reads, and its file |
//! | `spawn.rs` | starting a process that does not outlive this one |
//! | `output.rs` | what a server says: into our log, without passwords, and what follows from it |
//! | `process.rs` | one running server |
//! | `keeper.rs` | one server that is kept running |
//! | `pulse.rs` | whether one that runs still answers |
//! | `supervisor.rs` | both, in order |
//! | `heard.rs` | whether the nodes that the hub has joined are heard |
//! | `tls.rs` | how this host itself connects |
//! | `client.rs` | requests |
//! | `names.rs` | whether another node has this one's name |
//! | `network.rs` | who is in the network |
//! | `capability.rs` | both, as plugins may use them |
//! | `streams.rs` | making streams and durable consumers |
//! | `state.rs` | what is known of both servers at the moment, and its metrics |

mod capability;
mod client;
mod config;
mod document;
mod error;
mod heard;
mod keeper;
mod names;
mod network;
mod output;
mod process;
mod program;
mod pulse;
mod route;
mod spawn;
mod state;
mod streams;
mod supervisor;
#[cfg(test)]
mod tests;
mod tls;

pub use client::{Nats, RequestError};
pub use config::{Config, Tls};
pub use error::{Error, RoutesError};
pub use network::{Server, Servers, ServersError};
pub use route::{Route, RouteError};
pub use state::{Ports, ServerKind, ServerState};
pub use supervisor::Supervisor;

#[cfg(test)]
pub(crate) use streams::DurableInfo;
pub(crate) use streams::{Consumer, Deliver, FAR, StreamConfig, acks_all_from};

/// The account of data.
const DATA_ACCOUNT: &str = "HDB";
/// The account that may ask servers about themselves.
const SYSTEM_ACCOUNT: &str = "SYS";
/// Bytes of the largest message.
pub(crate) const MAX_PAYLOAD: usize = 64 << 20;
