//! What earlier calls have left, finished or undone: the clustering plugin's `recovery`, one call at a
//! time, with a budget of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout_at;

use super::call::Deadline;
use super::clustering::Export;
use super::{CallError, Limits, LoadError, Plugin, Runtime};
use crate::capabilities::Purpose;
use crate::transcript::Asked;

/// What finishes or undoes what is left, ready to be called.
pub(crate) struct Recoverer {
    export: Export,
    one_at_a_time: Mutex<()>,
}

impl Recoverer {
    /// A plugin that exports `recovery`.
    pub(crate) fn new(plugin: Arc<Plugin>, limits: Limits) -> Result<Self, LoadError> {
        let export = Export::new(plugin, limits, "recover")?;
        Ok(Self { export, one_at_a_time: Mutex::default() })
    }

    /// Whether it is this plugin whose calls may leave something.
    pub(crate) fn is_of(&self, plugin: &Arc<Plugin>) -> bool {
        Arc::ptr_eq(&self.export.plugin, plugin)
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
        let Recoverer { export, one_at_a_time } = recoverer;
        let _alone = one_at_a_time.lock().await;
        let deadline = Deadline::after(export.limits.wall_clock);
        let _running = self.ticker.run();
        let mut store = export.store(self, Purpose::Changes, deadline);
        let recording = self.record(&export.plugin, Asked::Recovery);
        if let Some(recording) = &recording {
            store.data_mut().call.capabilities = recording.around(&self.capabilities);
        }
        // Around everything: an epoch does not interrupt a call that waits for the host.
        let left = timeout_at(deadline.end, async {
            let exports = export.instance(&mut store).await?;
            let recovery = exports.harper_plugin_recovery();
            store.run_concurrent(async |accessor| recovery.call_recover(accessor).await).await?
        })
        .await;
        let left = export.ended(self, &store, left);
        // A look every few seconds that found nothing would fill the file.
        match recording {
            Some(recording) if !(matches!(left, Ok(0)) && recording.is_a_look()) => {
                let told = left.as_ref().map(|left| (*left).into());
                recording.end(told.map_err(|error| error.for_caller("recover"))).await;
            }
            _ => {}
        }
        left
    }
}
