//! What the tests share: a plugin that misbehaves, a host or a node made in one line, clusters of
//! whole nodes and of servers alone, a Harper node in JavaScript, and the golden
//! cases with their tables.

pub mod api;
pub mod golden;
pub mod hostile;
pub mod javascript;
pub mod nats;
pub mod nodes;
pub mod others;
pub mod peer;
pub mod plugins;
pub mod python;
pub mod rows;
pub mod shared;
pub mod tables;
pub mod whole_node;

use harper_host::{Caller, ComponentSource, Error, Grants, Host, HostBuilder, Limits};
use serde_json::Value;
use tempfile::TempDir;

/// The component of `tests/hostile`.
pub const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/harper-hostile.wasm"));

/// The component of `tests/plugins/cluster_health`.
pub const CLUSTER_HEALTH: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/harper-cluster-health.wasm"));

/// A host with a folder of its own, which goes when it is dropped.
pub struct Node {
    /// The folder.
    pub folder: TempDir,
    /// The host.
    pub host: Host,
}

impl Node {
    /// A host whose configuration file has this text.
    pub async fn with_config(text: &str) -> anyhow::Result<Self> {
        Self::with(text, |host| host).await
    }

    /// A host with the hostile plugin in it.
    pub async fn with_hostile(
        config: &str,
        grants: Grants,
        limits: Limits,
    ) -> anyhow::Result<Self> {
        Self::with(config, |host| {
            host.plugin("hostile", ComponentSource::bytes(HOSTILE), grants, limits)
        })
        .await
    }

    /// A host with a configuration file, and with whatever else it is given.
    pub async fn with(
        config: &str,
        give: impl FnOnce(HostBuilder) -> HostBuilder,
    ) -> anyhow::Result<Self> {
        let folder = folder_with(config)?;
        let host = give(Host::builder().root_path(folder.path())).build().await?;
        Ok(Self { folder, host })
    }

    /// Sends a request as a super_user.
    pub async fn send(&self, request: Value) -> Result<Value, Error> {
        self.host.dispatch(&Caller::super_user("admin"), request).await
    }

    /// The configuration file's text.
    pub fn config(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.folder.path().join(harper_host::config::FILE_NAME))?)
    }
}

fn folder_with(config: &str) -> anyhow::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join(harper_host::config::FILE_NAME), config)?;
    Ok(folder)
}
