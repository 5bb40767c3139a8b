//! What a node can do, without a node.

use crate::capabilities::{BoxFuture, Change, Config, ConfigError, KeyPath, Snapshot};
use crate::host::{BuildError, Host};
use crate::runtime::Operation;

/// The operations of a node, as they describe themselves: those of the clustering plugin, and the
/// host's own. Help is made of this, and a client can check a request by it before it is sent.
/// Nothing is read from the disk, and nothing is started that goes on.
///
/// # Errors
///
/// The WebAssembly runtime does not start on this machine.
pub async fn describe() -> Result<Vec<Operation>, BuildError> {
    let mut operations = host().await?.operations();
    let natives = crate::operations::descriptions();
    operations.retain(|one| natives.iter().all(|native| native.name != one.name));
    operations.extend(natives);
    Ok(operations)
}

/// A host that performs nothing.
pub(crate) async fn host() -> Result<Host, BuildError> {
    Host::builder().config(NoConfig).build().await
}

/// The configuration of a host that performs nothing.
struct NoConfig;

impl NoConfig {
    fn answer<T: Send + 'static>() -> BoxFuture<'static, Result<T, ConfigError>> {
        let text = "There is no configuration here".into();
        Box::pin(std::future::ready(Err(ConfigError::Unavailable(text))))
    }
}

impl Config for NoConfig {
    fn get(&self, _: Vec<KeyPath>) -> BoxFuture<'_, Result<Snapshot, ConfigError>> {
        Self::answer()
    }

    fn set(&self, _: String, _: Vec<Change>) -> BoxFuture<'_, Result<String, ConfigError>> {
        Self::answer()
    }
}
