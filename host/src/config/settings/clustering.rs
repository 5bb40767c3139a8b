//! The keys below `clustering`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::table::*;
use super::{LogLevel, address, log_level, number, text, value};

/// How this node takes part in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Clustering {
    /// `clustering.enabled`.
    pub enabled: bool,
    /// `clustering.nodeName`.
    pub node_name: Option<String>,
    /// `clustering.user`.
    pub user: String,
    /// `clustering.logLevel`.
    pub log_level: LogLevel,
    /// `clustering.republishMessages`.
    pub republish_messages: bool,
    /// `clustering.statusTimeout`.
    pub status_timeout: Duration,
    /// `clustering.natsServer`, as it is written.
    pub nats_server: Option<PathBuf>,
    /// `clustering.hubServer.cluster.name`.
    pub cluster_name: String,
    /// `clustering.hubServer.cluster.network`.
    pub hub_cluster: Listen,
    /// `clustering.hubServer.leafNodes.network`.
    pub hub_leafnodes: Listen,
    /// `clustering.hubServer.network`.
    pub hub_clients: Listen,
    /// `clustering.leafServer.network`.
    pub leaf_clients: Listen,
    /// `clustering.leafServer.streams`.
    pub streams: Streams,
    /// `clustering.tls`.
    pub tls: ClusteringTls,
}

/// Where a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub host: IpAddr,
    /// The port; 0 takes a free one.
    pub port: u16,
}

/// What the streams of tables keep; none is unlimited.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Streams {
    /// `clustering.leafServer.streams.path`, as it is written.
    pub path: Option<PathBuf>,
    /// `clustering.leafServer.streams.maxAge`.
    pub max_age: Option<Duration>,
    /// `clustering.leafServer.streams.maxBytes`.
    pub max_bytes: Option<u64>,
    /// `clustering.leafServer.streams.maxMsgs`.
    pub max_messages: Option<u64>,
    /// `clustering.leafServer.streams.maxConsumeMsgs`.
    pub max_consume_messages: Option<u64>,
}

/// The files that nodes know each other by.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusteringTls {
    /// `clustering.tls.certificate`, as it is written.
    pub certificate: Option<PathBuf>,
    /// `clustering.tls.privateKey`, as it is written.
    pub private_key: Option<PathBuf>,
    /// `clustering.tls.certificateAuthority`, as it is written.
    pub certificate_authority: Option<PathBuf>,
    /// `clustering.tls.insecure`.
    pub insecure: bool,
    /// `clustering.tls.verify`.
    pub verify: bool,
}

impl Clustering {
    /// What a document without violations says.
    pub(super) fn of(document: &Value) -> Self {
        let flag = |path| value(document, path) == true;
        let limit = |path| number(&value(document, path));
        let name = |path| text(&value(document, path));
        let file = |path| value(document, path).as_str().map(PathBuf::from);
        let listen = |host, port| Listen {
            host: address(document, host),
            port: limit(port).and_then(|port| port.try_into().ok()).unwrap_or_default(),
        };
        Self {
            enabled: flag(ENABLED),
            node_name: name(NODE_NAME),
            user: name(USER).unwrap_or_default(),
            log_level: log_level(document, CLUSTERING_LOG_LEVEL),
            republish_messages: flag(REPUBLISH),
            status_timeout: Duration::from_millis(limit(STATUS_TIMEOUT).unwrap_or_default()),
            nats_server: file(NATS_SERVER),
            cluster_name: name(CLUSTER_NAME).unwrap_or_default(),
            hub_cluster: listen(CLUSTER_HOST, CLUSTER_PORT),
            hub_leafnodes: listen(LEAFNODES_HOST, LEAFNODES_PORT),
            hub_clients: listen(HUB_HOST, HUB_PORT),
            leaf_clients: listen(LEAF_HOST, LEAF_PORT),
            streams: Streams {
                path: file(STREAMS_PATH),
                max_age: limit(MAX_AGE).map(Duration::from_secs),
                max_bytes: limit(MAX_BYTES),
                max_messages: limit(MAX_MSGS),
                max_consume_messages: limit(MAX_CONSUME_MSGS),
            },
            tls: ClusteringTls {
                certificate: file(CLUSTERING_CERTIFICATE),
                private_key: file(CLUSTERING_PRIVATE_KEY),
                certificate_authority: file(CERTIFICATE_AUTHORITY),
                insecure: flag(INSECURE),
                verify: flag(VERIFY),
            },
        }
    }

    /// What keeps a node with these settings from starting, though each by itself is right.
    pub fn contradiction(&self) -> Option<&'static str> {
        if !self.enabled {
            return None;
        }
        if self.node_name.is_none() {
            return Some("'clustering.nodeName' is required when 'clustering.enabled' is true");
        }
        let tls = &self.tls;
        if tls.certificate.is_some() != tls.private_key.is_some() {
            return Some(
                "'clustering.tls.certificate' and 'clustering.tls.privateKey' belong together",
            );
        }
        if tls.certificate.is_some() && tls.certificate_authority.is_none() {
            return Some(
                "'clustering.tls.certificate' needs 'clustering.tls.certificateAuthority'",
            );
        }
        let listens = [self.hub_cluster, self.hub_leafnodes, self.hub_clients, self.leaf_clients];
        let ports: Vec<_> = listens.map(|one| one.port).into_iter().filter(|p| *p != 0).collect();
        let twice = (1..ports.len()).any(|end| ports[..end].contains(&ports[end]));
        twice.then_some(
            "'clustering.hubServer' and 'clustering.leafServer' have the same port more than once",
        )
    }
}
