//! The table of all keys: each with its default, its meaning and its type.

use std::net::IpAddr;

use serde_json::Value;

use super::{number, text, value};
use crate::node_name;

/// A key of the configuration file.
#[derive(Debug)]
pub(in crate::config) struct Setting {
    /// The key path.
    pub(in crate::config) path: &'static str,
    /// The default, as YAML.
    pub(in crate::config) default: &'static str,
    /// What it means, for the operator.
    pub(in crate::config) meaning: &'static str,
    pub(in crate::config) kind: Kind,
}

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Kind {
    /// An IP address.
    Address,
    /// A number within these bounds.
    Number(u64, u64),
    /// A port; null, said explicitly, is none.
    Port,
    /// A number of at least 1 and at most this; null, said explicitly, is no limit.
    Limit(u64),
    /// A node's name, which becomes a part of subjects; or null.
    NodeName,
    /// The name of a user or of a cluster.
    Name,
    /// A file's path, or null.
    Path,
    /// true or false.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of routes, which the operations manage.
    Routes,
    /// The list of plugins, which is managed by hand and by `harper-host plugin`.
    Plugins,
}

impl Kind {
    /// Whether null says something else than nothing does.
    pub(in crate::config) fn null_is_a_value(self) -> bool {
        matches!(self, Self::Port | Self::Limit(_))
    }
}

impl Setting {
    /// The environment variable that overrides it.
    pub(in crate::config) fn variable(&self) -> String {
        self.path.replace('.', "_").to_ascii_uppercase()
    }

    /// What is wrong with the document's value, if anything is, such as `must be true or false`.
    pub(in crate::config) fn violation(&self, document: &Value) -> Option<String> {
        let value = value(document, self.path);
        match self.kind {
            Kind::Address => {
                let address = value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
                address.is_none().then(|| "must be an IP address".to_owned())
            }
            Kind::Number(least, most) => {
                let fits = number(&value).is_some_and(|number| (least..=most).contains(&number));
                (!fits).then(|| format!("must be an integer from {least} to {most}"))
            }
            Kind::Port => {
                let fits = value.is_null() || number(&value).is_some_and(|number| number <= 65535);
                (!fits).then(|| "must be an integer from 0 to 65535, or null".to_owned())
            }
            Kind::Limit(most) => {
                let within = |number| (1..=most).contains(&number);
                let fits = value.is_null() || number(&value).is_some_and(within);
                (!fits).then(|| format!("must be an integer from 1 to {most}, or null"))
            }
            Kind::NodeName => {
                let is_name = |name: String| node_name::check(&name).is_ok();
                let fits = value.is_null() || text(&value).is_some_and(is_name);
                (!fits).then(|| format!("must be a name, or null: {}", node_name::RULE))
            }
            Kind::Name => {
                let fits = text(&value).is_some_and(|name| is_name(&name));
                (!fits).then(|| {
                    "must be a name of up to 128 bytes without whitespace and colons".to_owned()
                })
            }
            Kind::Path => {
                let fits = value.is_null() || value.as_str().is_some_and(|path| !path.is_empty());
                (!fits).then(|| "must be the path of a file, or null".to_owned())
            }
            Kind::Flag => (!value.is_boolean()).then(|| "must be true or false".to_owned()),
            Kind::Choice(words) => {
                let fits = value.as_str().is_some_and(|word| words.contains(&word));
                (!fits).then(|| format!("must be one of [{}]", words.join(", ")))
            }
            // The operations read them, and say what is wrong with them, whenever they are asked.
            Kind::Routes => None,
            // It has violations of its own, each with its place.
            Kind::Plugins => None,
        }
    }
}

/// Whether it may be a name in the servers' configuration, and a part of a URL.
fn is_name(name: &str) -> bool {
    is_text(name) && !name.contains(':')
}

fn is_text(text: &str) -> bool {
    (1..=128).contains(&text.len()) && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];

pub(super) const HOST: &str = "operationsApi.network.host";
pub(super) const PORT: &str = "operationsApi.network.port";
pub(super) const SECURE_PORT: &str = "operationsApi.network.securePort";
pub(super) const ALLOW_PLAINTEXT: &str = "operationsApi.network.allowPlaintext";
pub(super) const MAX_BODY_SIZE: &str = "operationsApi.network.maxBodySize";
pub(super) const MAX_CONNECTIONS: &str = "operationsApi.network.maxConnections";
pub(super) const HEADERS_TIMEOUT: &str = "operationsApi.network.headersTimeout";
pub(super) const TIMEOUT: &str = "operationsApi.network.timeout";
pub(super) const SHUTDOWN_TIMEOUT: &str = "operationsApi.network.shutdownTimeout";
pub(super) const CERTIFICATE: &str = "tls.certificate";
pub(super) const PRIVATE_KEY: &str = "tls.privateKey";
pub(super) const CACHE_TTL: &str = "authentication.cacheTTL";
pub(super) const LOG_LEVEL: &str = "logging.level";
pub(super) const AUDIT_MAX_SIZE: &str = "logging.audit.maxSize";
pub(super) const AUDIT_MAX_FILES: &str = "logging.audit.maxFiles";
pub(super) const ENABLED: &str = "clustering.enabled";
pub(super) const NODE_NAME: &str = "clustering.nodeName";
pub(super) const USER: &str = "clustering.user";
pub(super) const CLUSTERING_LOG_LEVEL: &str = "clustering.logLevel";
pub(super) const REPUBLISH: &str = "clustering.republishMessages";
pub(super) const STATUS_TIMEOUT: &str = "clustering.statusTimeout";
pub(super) const NATS_SERVER: &str = "clustering.natsServer";
pub(super) const CLUSTER_NAME: &str = "clustering.hubServer.cluster.name";
pub(super) const CLUSTER_HOST: &str = "clustering.hubServer.cluster.network.host";
pub(super) const CLUSTER_PORT: &str = "clustering.hubServer.cluster.network.port";
pub(super) const LEAFNODES_HOST: &str = "clustering.hubServer.leafNodes.network.host";
pub(super) const LEAFNODES_PORT: &str = "clustering.hubServer.leafNodes.network.port";
pub(super) const HUB_HOST: &str = "clustering.hubServer.network.host";
pub(super) const HUB_PORT: &str = "clustering.hubServer.network.port";
pub(super) const LEAF_HOST: &str = "clustering.leafServer.network.host";
pub(super) const LEAF_PORT: &str = "clustering.leafServer.network.port";
pub(super) const STREAMS_PATH: &str = "clustering.leafServer.streams.path";
pub(super) const MAX_AGE: &str = "clustering.leafServer.streams.maxAge";
pub(super) const MAX_BYTES: &str = "clustering.leafServer.streams.maxBytes";
pub(super) const MAX_MSGS: &str = "clustering.leafServer.streams.maxMsgs";
pub(super) const MAX_CONSUME_MSGS: &str = "clustering.leafServer.streams.maxConsumeMsgs";
pub(super) const CLUSTERING_CERTIFICATE: &str = "clustering.tls.certificate";
pub(super) const CLUSTERING_PRIVATE_KEY: &str = "clustering.tls.privateKey";
pub(super) const CERTIFICATE_AUTHORITY: &str = "clustering.tls.certificateAuthority";
pub(super) const INSECURE: &str = "clustering.tls.insecure";
pub(super) const VERIFY: &str = "clustering.tls.verify";

/// As nanoseconds it is a number that nats-server can hold: a century.
const LONGEST: u64 = 100 * 366 * 86_400;
/// The largest integer that JSON carries everywhere.
const MOST: u64 = 1 << 53;
/// The key of the hub's routes.
pub const HUB_ROUTES: &str = "clustering.hubServer.cluster.network.routes";
/// The key of the leaf's routes.
pub const LEAF_ROUTES: &str = "clustering.leafServer.network.routes";

/// The key of the list of plugins.
pub(in crate::config) const PLUGINS: &str = "plugins";

/// All keys, in the order of the first file.
pub(in crate::config) const SETTINGS: &[Setting] = &[
    Setting {
        path: HOST,
        default: "127.0.0.1",
        meaning: "Address of the operations API. Beyond loopback it needs securePort, with port null, or allowPlaintext.",
        kind: Kind::Address,
    },
    Setting {
        path: PORT,
        default: "9925",
        meaning: "Port of the operations API by plain HTTP; 0 takes a free one, null serves none.",
        kind: Kind::Port,
    },
    Setting {
        path: SECURE_PORT,
        default: "null",
        meaning: "Port of the operations API by HTTPS; 0 takes a free one, null serves none.",
        kind: Kind::Port,
    },
    Setting {
        path: ALLOW_PLAINTEXT,
        default: "false",
        meaning: "Whether HTTP without TLS may be served beyond loopback. Passwords are then readable on the way.",
        kind: Kind::Flag,
    },
    Setting {
        path: MAX_BODY_SIZE,
        default: "16777216",
        meaning: "Bytes of a request's body. Operations may state less.",
        kind: Kind::Number(1, 1 << 30),
    },
    Setting {
        path: MAX_CONNECTIONS,
        default: "1000",
        meaning: "Connections served at the same time; more wait.",
        kind: Kind::Number(1, 100_000),
    },
    Setting {
        path: HEADERS_TIMEOUT,
        default: "10000",
        meaning: "Milliseconds for a request's headers, or for a TLS handshake.",
        kind: Kind::Number(1, 3_600_000),
    },
    Setting {
        path: TIMEOUT,
        default: "30000",
        meaning: "Milliseconds for a request's body.",
        kind: Kind::Number(1, 3_600_000),
    },
    Setting {
        path: SHUTDOWN_TIMEOUT,
        default: "8000",
        meaning: "Milliseconds that running requests get to end when the node is stopped.",
        kind: Kind::Number(0, 3_600_000),
    },
    Setting {
        path: CERTIFICATE,
        default: "null",
        meaning: "PEM file with the certificate for HTTPS, and those above it. Relative paths are below this folder; null makes one in keys/.",
        kind: Kind::Path,
    },
    Setting {
        path: PRIVATE_KEY,
        default: "null",
        meaning: "PEM file with its private key: RSA, ECDSA P-256 or P-384, or Ed25519.",
        kind: Kind::Path,
    },
    Setting {
        path: CACHE_TTL,
        default: "30000",
        meaning: "Milliseconds for which a verified password is not verified again.",
        kind: Kind::Number(0, 86_400_000),
    },
    Setting {
        path: LOG_LEVEL,
        default: "info",
        meaning: "How much is logged: error, warn, info, debug or trace.",
        kind: Kind::Choice(LEVELS),
    },
    Setting {
        path: AUDIT_MAX_SIZE,
        default: "10485760",
        meaning: "Bytes of log/audit.log at which a new file is begun.",
        kind: Kind::Number(1, 1 << 40),
    },
    Setting {
        path: AUDIT_MAX_FILES,
        default: "10",
        meaning: "Older files of it that are kept.",
        kind: Kind::Number(0, 10_000),
    },
    Setting {
        path: ENABLED,
        default: "false",
        meaning: "Whether this node takes part in a cluster. It then runs two nats-server processes, a hub and a leaf.",
        kind: Kind::Flag,
    },
    Setting {
        path: NODE_NAME,
        default: "null",
        meaning: "This node's name in the cluster, which no other has. Needed when clustering is on.",
        kind: Kind::NodeName,
    },
    Setting {
        path: USER,
        default: "cluster_user",
        meaning: "The user as whom nodes join each other; the same on all nodes.",
        kind: Kind::Name,
    },
    Setting {
        path: CLUSTERING_LOG_LEVEL,
        default: "error",
        meaning: "How much of what the nats-servers say is logged: error, warn, info, debug or trace.",
        kind: Kind::Choice(LEVELS),
    },
    Setting {
        path: REPUBLISH,
        default: "false",
        meaning: "Whether transactions from other nodes are published onward.",
        kind: Kind::Flag,
    },
    Setting {
        path: STATUS_TIMEOUT,
        default: "5000",
        meaning: "Milliseconds that cluster_status waits for each node.",
        kind: Kind::Number(1, 25_000),
    },
    Setting {
        path: NATS_SERVER,
        default: "null",
        meaning: "The program nats-server, 2.9 or later; null takes the one on PATH.",
        kind: Kind::Path,
    },
    Setting {
        path: CLUSTER_NAME,
        default: "harperdb",
        meaning: "Name of the cluster, the same on all nodes.",
        kind: Kind::Name,
    },
    Setting {
        path: CLUSTER_HOST,
        default: "0.0.0.0",
        meaning: "Address where other nodes' hubs reach this one.",
        kind: Kind::Address,
    },
    Setting {
        path: CLUSTER_PORT,
        default: "9932",
        meaning: "Port where other nodes' hubs reach this one; 0 takes a free one.",
        kind: Kind::Number(0, 65535),
    },
    Setting {
        path: HUB_ROUTES,
        default: "null",
        meaning: "Hubs of other nodes, each with host and port. Managed by the operations on routes, or by hand.",
        kind: Kind::Routes,
    },
    Setting {
        path: LEAFNODES_HOST,
        default: "0.0.0.0",
        meaning: "Address where leaf servers, this node's and others', join its hub.",
        kind: Kind::Address,
    },
    Setting {
        path: LEAFNODES_PORT,
        default: "9931",
        meaning: "Port where leaf servers join its hub; 0 takes a free one.",
        kind: Kind::Number(0, 65535),
    },
    Setting {
        path: HUB_HOST,
        default: "127.0.0.1",
        meaning: "Address for clients of the hub.",
        kind: Kind::Address,
    },
    Setting {
        path: HUB_PORT,
        default: "9930",
        meaning: "Port for clients of the hub; 0 takes a free one.",
        kind: Kind::Number(0, 65535),
    },
    Setting {
        path: LEAF_HOST,
        default: "127.0.0.1",
        meaning: "Address for clients of the leaf server.",
        kind: Kind::Address,
    },
    Setting {
        path: LEAF_PORT,
        default: "9940",
        meaning: "Port for clients of the leaf server; 0 takes a free one.",
        kind: Kind::Number(0, 65535),
    },
    Setting {
        path: LEAF_ROUTES,
        default: "null",
        meaning: "Leafnode addresses of other nodes that this node's leaf server joins.",
        kind: Kind::Routes,
    },
    Setting {
        path: STREAMS_PATH,
        default: "null",
        meaning: "Folder of the streams. Relative paths are below this folder; null is clustering/leaf.",
        kind: Kind::Path,
    },
    Setting {
        path: MAX_AGE,
        default: "null",
        meaning: "Seconds for which a stream keeps a transaction; null is for ever.",
        kind: Kind::Limit(LONGEST),
    },
    Setting {
        path: MAX_BYTES,
        default: "null",
        meaning: "Bytes that a stream keeps; null is unlimited.",
        kind: Kind::Limit(MOST),
    },
    Setting {
        path: MAX_MSGS,
        default: "null",
        meaning: "Transactions that a stream keeps; null is unlimited.",
        kind: Kind::Limit(MOST),
    },
    Setting {
        path: MAX_CONSUME_MSGS,
        default: "100",
        meaning: "Transactions that are taken from another node's stream at a time; null is unlimited.",
        kind: Kind::Limit(MOST),
    },
    Setting {
        path: CLUSTERING_CERTIFICATE,
        default: "null",
        meaning: "PEM file with the certificate that this node shows other nodes. Relative paths are below this folder; null makes one in keys/.",
        kind: Kind::Path,
    },
    Setting {
        path: CLUSTERING_PRIVATE_KEY,
        default: "null",
        meaning: "PEM file with its private key.",
        kind: Kind::Path,
    },
    Setting {
        path: CERTIFICATE_AUTHORITY,
        default: "null",
        meaning: "PEM file with the authority that vouches for the certificates of all nodes.",
        kind: Kind::Path,
    },
    Setting {
        path: INSECURE,
        default: "false",
        meaning: "Whether to join servers whose certificate is not for the name or address they are called by.",
        kind: Kind::Flag,
    },
    Setting {
        path: VERIFY,
        default: "true",
        meaning: "Whether clients and leaf servers must show a certificate. Hubs must in any case.",
        kind: Kind::Flag,
    },
    Setting {
        path: PLUGINS,
        default: "null",
        meaning: "Plugins of others, each with name, file, sha256, grants and limits: harper-host plugin grant FILE adds one.",
        kind: Kind::Plugins,
    },
];
