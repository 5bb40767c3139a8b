//! The HTTP face: Harper's operations API, `POST /` with a JSON object, and `GET /health` and `/ready`;
//! on a port, on one with TLS, and on a Unix socket in the node's folder.
//!
//! ```text
//! server      accepts, drains                 tasks   operations outlive the client who asked
//! listeners   where it listens: tcp, socket   tls     the certificate
//! connection  one client, by hyper            transport   its stream, with an end to patience
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
//!   A few places more are the Unix socket's alone.
//! - Who closes their side of a connection after a request has gone away, as far as anyone can tell
//!   before the reply is sent: what only reads ends then, and there is no reply.
//! - What hyper refuses by itself has no body, as it allows none: a head that is not HTTP (400), or
//!   is too large (431).
//! - A connection without a request is closed after the header time limit, kept alive or fresh.
//! - On the Unix socket nobody logs in, and whoever gets through is super_user: they could read and
//!   replace the node's files as well. Credentials there are parameters of the operation, such as
//!   those of a user to add.
//! - Dispatching is never cancelled by a client who goes away, only by the end of the drain.

mod auth;
mod body;
mod connection;
mod listeners;
mod metrics;
mod openapi;
mod operation;
mod ready;
mod reply;
mod server;
mod socket;
mod tasks;
mod tls;
mod transport;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

pub use listeners::{Addresses, BindError};
pub use ready::Readiness;
pub use server::Server;
pub use socket::SocketError;
pub use tls::TlsError;

use crate::config::Settings;

/// The name of the Unix socket in a node's folder.
pub const SOCKET_NAME: &str = "operations-server";

/// Where the API listens, and how much of anything a client may have.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address, `operationsApi.network.host`.
    pub host: IpAddr,
    /// The port for plain HTTP, `operationsApi.network.port`; 0 takes a free one.
    pub port: Option<u16>,
    /// The port for HTTPS, `operationsApi.network.securePort`; 0 takes a free one.
    pub secure_port: Option<u16>,
    /// The PEM file with the certificate for HTTPS, `tls.certificate`.
    pub certificate: Option<PathBuf>,
    /// The PEM file with its private key, `tls.privateKey`.
    pub private_key: Option<PathBuf>,
    /// The folder, for nobody else, where a certificate is made when these two name none.
    pub keys: Option<PathBuf>,
    /// The Unix socket, [`SOCKET_NAME`] in the node's folder. Whoever can connect to it is
    /// super_user, so it is for this process's user alone.
    pub socket: Option<PathBuf>,
    /// Whether plain HTTP may leave this machine, `operationsApi.network.allowPlaintext`.
    pub allow_plaintext: bool,
    /// The largest request body, in bytes, `operationsApi.network.maxBodySize`.
    pub max_body_size: usize,
    /// How many connections are served at the same time; the next ones wait. The Unix socket has a
    /// few places beside them.
    pub max_connections: usize,
    /// How long a client may take for a request's head or for the TLS handshake, or be idle between
    /// two requests.
    pub header_timeout: Duration,
    /// How long a client may take for a request's body, and to begin to take the reply.
    pub body_timeout: Duration,
    /// How long running requests have at shutdown.
    pub drain: Duration,
}

impl Config {
    /// The same, for the node in `root_path`: with its Unix socket and its folder for keys, and with
    /// relative paths below it.
    pub fn in_folder(self, root_path: &Path) -> Config {
        let below = |path: PathBuf| root_path.join(path);
        Config {
            socket: Some(root_path.join(SOCKET_NAME)),
            keys: Some(root_path.join("keys")),
            certificate: self.certificate.map(below),
            private_key: self.private_key.map(below),
            ..self
        }
    }
}

/// What the settings say, without a Unix socket and without a folder for keys.
impl From<&Settings> for Config {
    fn from(settings: &Settings) -> Config {
        Config {
            host: settings.host,
            port: settings.port,
            secure_port: settings.secure_port,
            certificate: settings.certificate.clone(),
            private_key: settings.private_key.clone(),
            keys: None,
            socket: None,
            allow_plaintext: settings.allow_plaintext,
            max_body_size: settings.max_body_size,
            max_connections: settings.max_connections,
            header_timeout: settings.headers_timeout,
            body_timeout: settings.body_timeout,
            drain: settings.shutdown_timeout,
        }
    }
}

/// What an empty configuration file says, without a Unix socket.
impl Default for Config {
    fn default() -> Config {
        Config::from(&Settings::default())
    }
}
