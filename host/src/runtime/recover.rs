//! What earlier calls have left, finished or undone: the clustering plugin's `recovery`, one call at a
//! time, with a budget of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout_at;

use super::call::{Deadline, State, Used};
use super::{CallError, Limits, LoadError, Plugin, Runtime};
use crate::capabilities::Exceeded;
use crate::wit::clustering::ClusteringPre;

/// What finishes or undoes what is left, ready to be called.
pub(crate) struct Recoverer {
    plugin: Arc<Plugin>,
    prepared: ClusteringPre<State>,
    limits: Limits,
    one_at_a_time: Mutex<()>,
    name: Arc<str>,
}

impl Recoverer {
    /// A plugin that exports `recovery`.
    pub(crate) fn new(plugin: Arc<Plugin>, limits: Limits) -> Result<Self, LoadError> {
        let name = || plugin.name.to_string();
        limits.check().map_err(|source| LoadError::Limits { plugin: name(), source })?;
        let prepared = ClusteringPre::new(plugin.prepared.instance_pre().clone());
        let prepared = prepared
            .map_err(|error| LoadError::World { plugin: name(), message: format!("{error:#}") })?;
        let one_at_a_time = Mutex::default();
        Ok(Self { plugin, prepared, limits, one_at_a_time, name: "recover".into() })
    }

    /// Whether it is this plugin whose calls may leave something.
    pub(crate) fn is_of(&self, plugin: &Arc<Plugin>) -> bool {
        Arc::ptr_eq(&self.plugin, plugin)
    }

    /// What it may use when nothing else is said.
    pub(crate) fn limits() -> Limits {
        // Whatever an operation could begin has to be brought to its end.
        Limits {
            wall_clock: Duration::from_secs(60),
            request_bytes: 0,
            reply_bytes: 0,
            ..Limits::of_clustering()
        }
    }
}

impl Runtime {
    /// Returns how much is left.
    pub(crate) async fn recover(&self, recoverer: &Recoverer) -> Result<u32, CallError> {
        let Recoverer { plugin, prepared, limits, one_at_a_time, name } = recoverer;
        let _alone = one_at_a_time.lock().await;
        let deadline = Deadline::after(limits.wall_clock);
        let _running = self.ticker.run();
        let mut store = self.store(plugin, *limits, name, true, deadline);
        // Around everything: an epoch does not interrupt a call that waits for the host.
        let left = timeout_at(deadline.end, async {
            let exports = prepared.instantiate_async(&mut store).await?;
            let recovery = exports.harper_plugin_recovery();
            store.run_concurrent(async |accessor| recovery.call_recover(accessor).await).await?
        })
        .await;
        self.metrics.call(&plugin.counted, &Used::of(store.data()));
        match left {
            Err(_) => Err(CallError::Exceeded(Exceeded::WallClock(limits.wall_clock))),
            Ok(left) => Ok(left?),
        }
    }
}
