//! One call of a plugin, as its capabilities see it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::capabilities::log::{Logged, Volume};
use crate::capabilities::{Capabilities, Durable, Grants, Held, Keys, Meter};

/// What a call is for, as far as it may change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An operation that is described as one that changes nothing: no audit log tells of it, so that
    /// it is refused whatever changes something.
    Reads,
    /// An operation that is described as one that changes something, or what finishes such ones.
    Changes,
    /// An answer to another node: it may change something too, but is shown nothing of the
    /// configuration that is not durable, since answers do not wait for that.
    Answers,
}

impl Purpose {
    /// That of an operation's call.
    pub(crate) fn of_operation(changes: bool) -> Self {
        if changes { Self::Changes } else { Self::Reads }
    }
}

/// What a capability needs to know of the call that it serves.
pub(crate) struct Call {
    pub(crate) plugin: Arc<str>,
    pub(crate) operation: Arc<str>,
    pub(crate) purpose: Purpose,
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
    /// How a sentence about what is refused begins, where one of the keys does not allow it.
    pub(crate) fn missing(&self, allows: impl Fn(&Grants) -> bool) -> Option<Cow<'static, str>> {
        self.keys.missing(allows).map(Cow::Borrowed)
    }

    /// The same for what changes something, which the operation's description has to allow too.
    pub(crate) fn missing_to_change(
        &self,
        allows: impl Fn(&Grants) -> bool,
    ) -> Option<Cow<'static, str>> {
        self.missing(allows).or_else(|| {
            let operation = &self.operation;
            (self.purpose == Purpose::Reads).then(|| {
                let why = "is described as one that changes nothing, and must not";
                Cow::Owned(format!("The operation '{operation}' {why}"))
            })
        })
    }

    /// How long to wait for others, when the plugin asks for so many milliseconds.
    pub(crate) fn time_for(&self, milliseconds: u64) -> Duration {
        let left = self.waits_until.saturating_duration_since(Instant::now());
        Duration::from_millis(milliseconds).min(left)
    }
}

impl crate::wit::harper::plugin::types::Host for Call {}
