//! The logic of Harper's clustering operations.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `operations/` | one file an operation, named as the API names it |
//! | `peer/` | one file a request that other nodes send |
//! | `operation.rs` | the list of operations, and the way from a request to its file |
//! | `capabilities.rs` | what the logic needs of its host, as traits |
//! | `ask.rs` | a request to another node, and what can come of it |
//! | `nodes.rs` | names of nodes, and the records of those that this one shares tables with |
//! | `subscriptions.rs` | what a request says of the tables that two nodes are to share |
//! | `start_time.rs` | from when on transactions come |
//! | `manifest/` | a change of what two nodes share: on both nodes, or on neither |
//! | `recovery.rs` | what calls that did not end well have left, finished or undone |
//! | `uptime.rs` | how long a node has been running, as text |
//! | `routes.rs` | a route, and the two lists of routes in the configuration |
//! | `validate.rs` | collects everything that is wrong with a request |
//! | `component.rs` | the WebAssembly component: WIT on one side, the above on the other |
//!
//! The crate compiles to a component that imports nothing but `harper:plugin` (see `wit/`), and
//! natively, where unit tests run the same logic against fakes.

pub mod ask;
pub mod capabilities;
pub mod manifest;
pub mod nodes;
pub mod operation;
pub mod operations;
pub mod peer;
pub mod recovery;
pub mod routes;
pub mod start_time;
pub mod subscriptions;
pub mod uptime;
pub mod validate;

#[cfg(target_arch = "wasm32")]
mod component;

#[cfg(test)]
mod fake;

pub use operation::{Caller, Error, OPERATIONS, Operation, Request};
