//! What a node that is not there is like.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// What a node and its cluster are like, as `cluster.yaml` of a test case has it. The default is a
/// node without a name, in a cluster of nobody.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// The node's own name.
    pub node_name: Option<String>,
    /// Whether the node has no clustering.
    pub off: bool,
    /// How long it has been running, in seconds.
    pub uptime: u64,
    /// What its wall clock shows, in milliseconds since 1970; the beginning of 2026 when it is 0.
    pub now: u64,
    /// `clustering.statusTimeout`, in milliseconds; 5000 when it is 0.
    pub status_timeout: u64,
    /// The values of its configuration: an object.
    pub config: Value,
    /// Records of `system.hdb_nodes`.
    pub nodes: Vec<Value>,
    /// Other nodes, by name, and whoever else listens, by subject: what they do when they are asked.
    /// A node's own subject is `<name>.__request__`.
    pub peers: BTreeMap<String, Peer>,
    /// Servers of the network.
    pub servers: Vec<Server>,
    /// Why the node's own server does not answer.
    pub unavailable: Option<String>,
    /// Tables, as `database.table`, each with its attributes, of which the first is the key.
    pub tables: BTreeMap<String, Vec<String>>,
    /// Their records.
    pub records: BTreeMap<String, Vec<Value>>,
    /// Streams, as `domain/stream`, each with the messages that it holds.
    pub streams: BTreeMap<String, u64>,
}

/// What another node does when it is asked. One that lies is one whose reply is not true.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Peer {
    /// It replies with this, as MessagePack.
    pub reply: Option<Value>,
    /// To the operations named here it replies with this.
    pub replies: BTreeMap<String, Value>,
    /// It replies with these bytes, whatever they are.
    pub bytes: Option<Vec<u8>>,
    /// It replies with this text.
    pub text: Option<String>,
    /// It does so after this many milliseconds.
    pub after: u64,
    /// It listens and says nothing.
    pub silent: bool,
    /// It answers so many requests, dies over the next one, and is not there any more.
    pub dies_after: Option<u64>,
}

impl Peer {
    /// One that replies with this, as MessagePack.
    pub fn replying(reply: Value) -> Self {
        Self { reply: Some(reply), ..Self::default() }
    }

    /// One that replies with these bytes, which may be anything.
    pub fn replying_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: Some(bytes.into()), ..Self::default() }
    }

    /// One that listens and says nothing.
    pub fn silent() -> Self {
        Self { silent: true, ..Self::default() }
    }

    /// The same, and it takes so many milliseconds.
    pub fn after(self, milliseconds: u64) -> Self {
        Self { after: milliseconds, ..self }
    }

    /// The same, and it dies when it has answered so many requests, over the next.
    pub fn dying_after(self, requests: u64) -> Self {
        Self { dies_after: Some(requests), ..self }
    }
}

/// A server of the network.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Milliseconds until its answer.
    #[serde(default)]
    pub response_time: u64,
    /// The servers that it has routes to.
    #[serde(default)]
    pub routes: Vec<String>,
    /// What its configuration has of routes.
    #[serde(default)]
    pub cluster_urls: Vec<String>,
    /// It is there, and says nothing.
    #[serde(default)]
    pub silent: bool,
}
