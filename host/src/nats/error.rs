//! What can go wrong with the servers, as the operator reads it.

use std::io;
use std::path::PathBuf;

use super::ServerKind;
use crate::node_name::NodeNameError;

/// Why the servers do not run. Each text names the key of the configuration that is to be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A node in a cluster needs a name.
    #[error("'clustering.nodeName' is required when 'clustering.enabled' is true")]
    NoNodeName,
    /// No node can have this name.
    #[error(transparent)]
    NodeName(#[from] NodeNameError),
    /// The cluster's password cannot be one.
    #[error("the cluster's password {0}")]
    Password(&'static str),
    /// A route has a host that is none, or port 0.
    #[error("'{0}' is no route: a host name or an address, and a port")]
    Route(String),
    /// There is no nats-server.
    #[error(
        "nats-server is not on PATH: install it (apt-get install nats-server, or brew install \
         nats-server), or name it in 'clustering.natsServer'"
    )]
    NoProgram,
    /// The one that is named does not run.
    #[error("'clustering.natsServer': {} cannot be run: {reason}", path.display())]
    Program {
        /// The program.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is too old.
    #[error("{} is nats-server {version}, and 2.9 or later is needed: see 'clustering.natsServer'", path.display())]
    OldProgram {
        /// The program.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// A file or a folder of the servers cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Files {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate, a key or an authority cannot be used.
    #[error("'{key}': {} cannot be used: {reason}", path.display())]
    Tls {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Someone else listens there.
    #[error("'{key}': the port {port} is in use")]
    PortInUse {
        /// The key of the configuration.
        key: &'static str,
        /// The port.
        port: u16,
    },
    /// The server cannot listen there for another reason.
    #[error("'{key}': {reason}")]
    Listen {
        /// The key of the configuration.
        key: &'static str,
        /// What the system said.
        reason: String,
    },
    /// The streams' folder cannot be used.
    #[error("'clustering.leafServer.streams.path': {} cannot be used: {reason}", path.display())]
    Streams {
        /// The folder.
        path: PathBuf,
        /// What the system or the server said.
        reason: String,
    },
    /// Another live node has the name.
    #[error(
        "'clustering.nodeName': another node of the cluster has the name '{name}': give this one \
         another"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The server ended while it started.
    #[error("the {server} server ended: {reason}")]
    Ended {
        /// Which.
        server: ServerKind,
        /// What it said.
        reason: String,
    },
    /// The server did not get ready in time.
    #[error("the {server} server was not ready in time: {reason}")]
    NotReady {
        /// Which.
        server: ServerKind,
        /// What was waited for.
        reason: String,
    },
    /// The operating system does not let us.
    #[error("the {server} server cannot be started: {source}")]
    Spawn {
        /// Which.
        server: ServerKind,
        /// Why.
        source: io::Error,
    },
    /// The servers were stopped meanwhile.
    #[error("the servers are being stopped")]
    Stopped,
}

/// Why a list of routes is not what the server has. The lists are kept: a server that starts anew
/// has them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoutesError {
    /// A route has a host that is none, or port 0.
    #[error("'{0}' is no route: a host name or an address, and a port")]
    Invalid(String),
    /// The server is not running at the moment, and will have the routes when it is.
    #[error("the {0} server is not running; it will have the routes when it starts")]
    Down(ServerKind),
    /// The server was restarted and has other routes all the same.
    #[error("the hub server did not take the routes over: {reason}")]
    NotApplied {
        /// What it said.
        reason: String,
    },
    /// The server, restarted for its routes, does not run.
    #[error(transparent)]
    Start(#[from] Error),
}
