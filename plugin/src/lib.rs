//! The logic of Harper's clustering operations.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `operations/` | one file an operation, named as the API names it |
//! | `operation.rs` | the list of operations, and the way from a request to its file |
//! | `capabilities.rs` | what the logic needs of its host, as traits |
//! | `routes.rs` | a route, and the two lists of routes in the configuration |
//! | `validate.rs` | collects everything that is wrong with a request |
//! | `component.rs` | the WebAssembly component: WIT on one side, the above on the other |
//!
//! The crate compiles to a component that imports nothing but `harper:plugin` (see `wit/`), and
//! natively, where unit tests run the same logic against fakes.

pub mod capabilities;
pub mod operation;
pub mod operations;
pub mod routes;
pub mod validate;

#[cfg(target_arch = "wasm32")]
mod component;

#[cfg(test)]
mod fake;

pub use operation::{Caller, Error, OPERATIONS, Operation, Request};
