//! One call of a plugin, as its capabilities see it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::capabilities::log::{Logged, Volume};
use crate::capabilities::{Capabilities, Durable, Held, Keys, Meter};

/// What a capability needs to know of the call that it serves.
pub(crate) struct Call {
    pub(crate) plugin: Arc<str>,
    pub(crate) operation: Arc<str>,
    /// Whether the operation may change anything.
    pub(crate) changes: bool,
    pub(crate) capabilities: Capabilities,
    pub(crate) keys: Arc<Keys>,
    pub(crate) meter: Meter,
    /// What all calls of the plugin write to the log.
    pub(crate) volume: Arc<Volume>,
    /// What this one has written.
    pub(crate) logged: Logged,
    /// Of the configuration the plugin has seen what was not durable yet; its reply waits for that.
    pub(crate) shown_early: Vec<Durable>,
    /// What stays as it is until the call ends.
    pub(crate) held: Vec<Held>,
    /// Until when capabilities wait for others: a little before the call is stopped, so that it
    /// can still say what it has.
    pub(crate) waits_until: Instant,
}

impl Call {
    /// How long to wait for others, when the plugin asks for so many milliseconds.
    pub(crate) fn time_for(&self, milliseconds: u64) -> Duration {
        let left = self.waits_until.saturating_duration_since(Instant::now());
        Duration::from_millis(milliseconds).min(left)
    }
}

impl crate::wit::harper::plugin::types::Host for Call {}
