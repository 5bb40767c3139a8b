//! The HTTP face: Harper's operations API, `POST /` with a JSON object, and `GET /health`.
//!
//! ```text
//! server      binds, accepts, drains          tasks   operations outlive the client who asked
//! connection  one client, by hyper            transport   its socket, with an end to patience
//! operation   one request, from head to reply:
//!             auth (who asks)  body (what)  dispatch  reply (the only place that writes one)
//! ```
//!
//! Decisions that the protocol leaves open:
//! - An `Authorization` header that is not well-formed Basic counts as no credentials: `Must login`,
//!   and the body is not looked at for others.
//! - `WWW-Authenticate` goes out with each 401, as HTTP asks for, except to a script in a browser
//!   (it sends `Origin`): there it would open the browser's own dialog, and the browser would then
//!   keep the credentials and send them along with what other pages ask for.
//! - Beyond the cap on connections the next ones wait in the kernel's queue, which is bounded. To
//!   close them with a 503 would cost what the cap saves, and a client would only try again.
//! - A connection without a request is closed after the header time limit, kept alive or fresh.
//! - Dispatching is never cancelled by a client who goes away, only by the end of the drain.

mod auth;
mod body;
mod connection;
mod operation;
mod reply;
mod server;
mod tasks;
mod transport;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

pub use server::{BindError, Server};

/// Where the API listens, and how much of anything a client may have.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address, `operationsApi.network.host`.
    pub host: IpAddr,
    /// The port, `operationsApi.network.port`; 0 takes a free one.
    pub port: u16,
    /// Whether plain HTTP may leave this machine, `operationsApi.network.allowPlaintext`.
    pub allow_plaintext: bool,
    /// The largest request body, in bytes, `operationsApi.network.maxBodySize`.
    pub max_body_size: usize,
    /// How many connections are served at the same time; the next ones wait.
    pub max_connections: usize,
    /// How long a client may take for a request's head, or be idle between two.
    pub header_timeout: Duration,
    /// How long a client may take for a request's body, and to begin to take the reply.
    pub body_timeout: Duration,
    /// How long running requests have at shutdown.
    pub drain: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            host: Ipv4Addr::LOCALHOST.into(),
            port: 9925,
            allow_plaintext: false,
            max_body_size: 16 << 20,
            max_connections: 1000,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            drain: Duration::from_secs(8),
        }
    }
}
