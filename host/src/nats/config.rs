//! What an operator decides about the two servers.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Error, Route};
use crate::config::{Clustering, Listen, LogLevel};
use crate::node_name;

/// How a node's two servers run.
#[derive(Clone)]
pub struct Config {
    /// The node's name. The servers' names, and the domain of the streams, are made of it.
    pub node_name: String,
    /// The user as whom nodes join each other.
    pub user: String,
    /// Its password, and that of `<user>-admin`, who may ask about the network.
    pub password: Zeroizing<String>,
    /// Where clients of the hub connect.
    pub hub_clients: Listen,
    /// Where leaf servers join the hub.
    pub hub_leafnodes: Listen,
    /// Where other hubs join the hub.
    pub hub_cluster: Listen,
    /// Where clients of the leaf connect.
    pub leaf_clients: Listen,
    /// The name that all hubs of a cluster have in common.
    pub cluster_name: String,
    /// Hubs that the hub joins.
    pub hub_routes: Vec<Route>,
    /// Leafnode addresses of other nodes that the leaf joins, beside its own hub.
    pub leaf_routes: Vec<Route>,
    /// The folder of the streams.
    pub streams: PathBuf,
    /// What nodes know each other by.
    pub tls: Tls,
    /// The program nats-server; none looks on PATH.
    pub binary: Option<PathBuf>,
    /// How much of what the servers say is logged.
    pub log_level: LogLevel,
    /// A folder for the servers' files; it becomes this user's alone.
    pub folder: PathBuf,
}

/// The files that nodes know each other by, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The node's certificate, for servers and clients, and those above it.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
    /// The authority that vouches for the certificates of all nodes.
    pub certificate_authority: PathBuf,
    /// Whether to join servers whose certificate is not for the name they are called by.
    pub insecure: bool,
    /// Whether clients and leaf servers must show a certificate; hubs must in any case.
    pub verify: bool,
}

impl Config {
    /// What the settings say, for the node in the folder `root`. The lists of routes are empty: the
    /// configuration file has them.
    ///
    /// # Errors
    ///
    /// There is no node name.
    pub fn new(
        clustering: &Clustering,
        root: &Path,
        password: Zeroizing<String>,
        tls: Tls,
    ) -> Result<Self, Error> {
        let streams = match &clustering.streams.path {
            Some(path) => root.join(path),
            None => root.join("clustering").join("leaf"),
        };
        Ok(Self {
            node_name: clustering.node_name.clone().ok_or(Error::NoNodeName)?,
            user: clustering.user.clone(),
            password,
            hub_clients: clustering.hub_clients,
            hub_leafnodes: clustering.hub_leafnodes,
            hub_cluster: clustering.hub_cluster,
            leaf_clients: clustering.leaf_clients,
            cluster_name: clustering.cluster_name.clone(),
            hub_routes: Vec::new(),
            leaf_routes: Vec::new(),
            streams,
            tls,
            binary: clustering.nats_server.as_ref().map(|path| root.join(path)),
            log_level: clustering.log_level,
            folder: root.join("clustering").join("servers"),
        })
    }

    /// The user who may ask about the network.
    pub(super) fn admin(&self) -> String {
        format!("{}-admin", self.user)
    }

    pub(super) fn hub_name(&self) -> String {
        format!("{}-hub", self.node_name)
    }

    /// The leaf's name, and the domain of its streams.
    pub(super) fn leaf_name(&self) -> String {
        format!("{}-leaf", self.node_name)
    }

    /// What nats-server would misunderstand is refused.
    pub(super) fn check(&self) -> Result<(), Error> {
        node_name::check(&self.node_name)?;
        let password = self.password.as_str();
        if password.is_empty() || password.contains(char::is_control) {
            return Err(Error::Password("must be one line, and not empty"));
        }
        // It would be taken for a hash, which no password has.
        if ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| password.starts_with(prefix)) {
            return Err(Error::Password("must not begin as a bcrypt hash does"));
        }
        Ok(())
    }
}

/// Without the password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("node_name", &self.node_name).finish_non_exhaustive()
    }
}
