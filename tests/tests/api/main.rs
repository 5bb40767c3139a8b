//! The HTTP face as a client meets it, over raw sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod ends;
mod errors;
mod limits;
mod log;
mod login;
mod node;
mod ready;
mod socket;
mod tls;
mod wire;
