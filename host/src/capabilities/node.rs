//! `node`: what this node is.

use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use wasmtime::Result;

use crate::capabilities::{Call, Capability};
use crate::wit::harper::plugin::node as wit;

/// The node that plugins run on.
///
/// Ours is [`ThisNode`]; an embedder that is a node of its own kind gives its own to the
/// [builder](crate::HostBuilder::node).
pub trait Node: Send + Sync + 'static {
    /// What it is now. Must not block.
    fn info(&self) -> NodeInfo;
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// The name under which other nodes know it. None when it was given none.
    pub name: Option<String>,
    /// Whether it runs clustering.
    pub clustering: bool,
    /// Where others reach it.
    pub ports: Ports,
    /// How long it has been running.
    #[serde(with = "in_milliseconds")]
    pub uptime: Duration,
    /// Names this run of the host: another at each start.
    pub boot: u64,
    /// What it runs.
    pub system_info: SystemInfo,
    /// How long one node is waited for when the state of all is asked.
    #[serde(with = "in_milliseconds")]
    pub status_timeout: Duration,
}

/// The ports of a node. None for what is not served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// The hub server's, where the hubs of other nodes connect.
    pub clustering: Option<u16>,
    /// The operations API's.
    pub operations_api: Option<u16>,
}

/// The software of a node, in the words of Harper's nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemInfo {
    /// The host's version.
    pub hdb_version: String,
    /// The version of Node.js.
    pub node_version: String,
    /// The operating system, as Node.js names it.
    pub platform: String,
}

impl Default for SystemInfo {
    /// This host. There is no Node.js in it: `0.0.0` is a version that those can read who expect
    /// one.
    fn default() -> Self {
        let platform = match std::env::consts::OS {
            "macos" => "darwin",
            other => other,
        };
        Self {
            hdb_version: env!("CARGO_PKG_VERSION").into(),
            node_version: "0.0.0".into(),
            platform: platform.into(),
        }
    }
}

/// `clustering.statusTimeout`, when nothing else is said.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

/// This process as a node, up since this was made.
#[derive(Debug)]
pub struct ThisNode {
    name: Option<String>,
    clustering_port: Option<u16>,
    clustering: bool,
    /// 0 until it is known.
    operations_api_port: AtomicU16,
    started: Instant,
    boot: u64,
    status_timeout: Duration,
}

impl ThisNode {
    /// A node without clustering, and without a name unless this is one.
    pub fn new(name: Option<String>) -> Self {
        Self {
            name,
            clustering_port: None,
            clustering: false,
            operations_api_port: AtomicU16::new(0),
            started: Instant::now(),
            boot: a_boot(),
            status_timeout: STATUS_TIMEOUT,
        }
    }

    /// A node of this name with clustering, whose hub listens on this port.
    pub fn clustered(name: impl Into<String>, port: u16) -> Self {
        Self { clustering: true, clustering_port: Some(port), ..Self::new(Some(name.into())) }
    }

    /// How long one node is waited for when the state of all is asked. Default: 5 s.
    pub fn with_status_timeout(self, status_timeout: Duration) -> Self {
        Self { status_timeout, ..self }
    }

    /// Says where the operations API listens, once that is known: a server is bound after its host
    /// was made.
    pub fn set_operations_api_port(&self, port: u16) {
        self.operations_api_port.store(port, Ordering::Relaxed);
    }
}

/// Random; where there is no randomness, the time is nearly as good.
fn a_boot() -> u64 {
    getrandom::u64().unwrap_or_else(|_| {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        since.as_nanos() as u64
    })
}

impl Node for ThisNode {
    fn info(&self) -> NodeInfo {
        let operations_api = self.operations_api_port.load(Ordering::Relaxed);
        NodeInfo {
            name: self.name.clone(),
            clustering: self.clustering,
            ports: Ports {
                clustering: self.clustering_port,
                operations_api: (operations_api != 0).then_some(operations_api),
            },
            uptime: self.started.elapsed(),
            boot: self.boot,
            system_info: SystemInfo::default(),
            status_timeout: self.status_timeout,
        }
    }
}

impl<N: Node + ?Sized> Node for std::sync::Arc<N> {
    fn info(&self) -> NodeInfo {
        (**self).info()
    }
}

impl wit::Host for Call {
    fn get(&mut self) -> Result<wit::Info> {
        self.meter.host_call(Capability::Node, 0)?;
        let info = self.capabilities.node.info();
        Ok(wit::Info {
            name: info.name,
            clustering: info.clustering,
            ports: wit::Ports {
                clustering: info.ports.clustering,
                operations_api: info.ports.operations_api,
            },
            uptime: milliseconds(info.uptime),
            boot: info.boot,
            system_info: wit::SystemInfo {
                hdb_version: info.system_info.hdb_version,
                node_version: info.system_info.node_version,
                platform: info.system_info.platform,
            },
            status_timeout: milliseconds(info.status_timeout),
        })
    }
}

/// Durations in transcripts, as plugins get them.
pub(crate) mod in_milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(super::milliseconds(*duration))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Ok(Duration::from_millis(u64::deserialize(from)?))
    }
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_said_once_it_is_known() {
        let node = ThisNode::clustered("node-a", 9932);
        assert_eq!(node.info().ports, Ports { clustering: Some(9932), operations_api: None });
        node.set_operations_api_port(9925);
        assert_eq!(node.info().ports.operations_api, Some(9925));
    }

    #[test]
    fn each_run_has_another_name() {
        let (one, other) = (ThisNode::new(None), ThisNode::new(None));
        assert_eq!(one.info().boot, one.info().boot);
        assert_ne!(one.info().boot, other.info().boot);
    }
}
