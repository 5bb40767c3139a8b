//! A host for the plugin's logic without a component around it: routes in memory, and nothing else.

use std::time::Duration;

use harper_clustering::capabilities::{self as needs, TablesError};
use serde_json::Value;

/// The configuration has these routes of the hub and the leaf.
pub(crate) struct Native(pub(crate) [Value; 2]);

impl needs::Config for Native {
    async fn get<const N: usize>(
        &self,
        _: [&str; N],
    ) -> Result<needs::Snapshot<N>, needs::ConfigError> {
        let values = self.0.to_vec().try_into().unwrap_or([const { Value::Null }; N]);
        Ok(needs::Snapshot { revision: "1".into(), values })
    }

    async fn set(&self, _: &str, _: &[needs::Change<'_>]) -> Result<(), needs::ConfigError> {
        Err(needs::ConfigError::Conflict)
    }
}

impl needs::Clock for Native {
    fn monotonic(&self) -> u64 {
        0
    }

    async fn sleep(&self, _: Duration) {}
}

impl needs::Log for Native {
    fn warn(&self, _: &str) {}
}

/// Operations on routes need none of what follows.
impl needs::Node for Native {
    fn info(&self) -> needs::NodeInfo {
        needs::NodeInfo::default()
    }
}

impl needs::Nats for Native {
    async fn request(
        &self,
        _: &str,
        _: &[u8],
        _: Duration,
        _: u32,
    ) -> Result<Vec<u8>, needs::NatsError> {
        Err(needs::NatsError::NotEnabled)
    }

    async fn servers(&self, _: Duration) -> Result<Vec<needs::ServerInfo>, needs::NatsError> {
        Err(needs::NatsError::NotEnabled)
    }
}

impl needs::JetStream for Native {
    async fn inspect(
        &self,
        _: &str,
        _: &str,
        _: Duration,
    ) -> Result<needs::StreamState, needs::JetStreamError> {
        Err(needs::JetStreamError::NotEnabled)
    }

    async fn purge(
        &self,
        _: &str,
        _: &str,
        _: needs::Extent,
        _: Duration,
    ) -> Result<u64, needs::JetStreamError> {
        Err(needs::JetStreamError::NotEnabled)
    }
}

impl needs::Tables for Native {
    async fn get(&self, _: &str, _: &str, _: &str) -> Result<Option<needs::Row>, TablesError> {
        Ok(None)
    }

    async fn list(&self, _: &str, _: &str, _: Option<&str>) -> Result<needs::Page, TablesError> {
        Ok(needs::Page::default())
    }

    async fn put(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: &str,
        _: Option<&str>,
    ) -> Result<String, TablesError> {
        Err(TablesError::Conflict)
    }

    async fn delete(&self, _: &str, _: &str, _: &str, _: &str) -> Result<(), TablesError> {
        Err(TablesError::Conflict)
    }

    async fn create(&self, _: &needs::TableInfo) -> Result<(), TablesError> {
        Err(TablesError::Conflict)
    }

    async fn create_all(&self, _: &[needs::TableInfo]) -> Result<(), TablesError> {
        Err(TablesError::Conflict)
    }

    async fn describe(&self) -> Result<Vec<needs::TableInfo>, TablesError> {
        Ok(Vec::new())
    }
}

impl needs::Replication for Native {
    async fn ensure_streams(&self, _: &[(&str, &str)]) -> Result<(), needs::ReplicationError> {
        Err(needs::ReplicationError::NotEnabled)
    }

    async fn settle(&self, _: &str, _: Duration) -> Result<(), needs::ReplicationError> {
        Err(needs::ReplicationError::NotEnabled)
    }
}
