//! One call of a plugin, as its capabilities see it.

use std::sync::Arc;

use crate::capabilities::{Capabilities, Durable, Grants, Meter};

/// What a capability needs to know of the call that it serves.
pub(crate) struct Call {
    pub(crate) plugin: Arc<str>,
    pub(crate) operation: Arc<str>,
    /// Whether the operation may change anything.
    pub(crate) changes: bool,
    pub(crate) capabilities: Capabilities,
    pub(crate) grants: Arc<Grants>,
    pub(crate) meter: Meter,
    /// Of the configuration the plugin has seen what was not durable yet; its reply waits for that.
    pub(crate) shown_early: Vec<Durable>,
}

impl crate::wit::harper::plugin::types::Host for Call {}
