//! A node's two nats-servers, real ones, on ports that the OS picks.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod apart;
mod errors;
mod hung;
mod lifecycle;
mod log;
mod network;
mod orphans;
mod restarts;
mod routes;
mod strangers;
