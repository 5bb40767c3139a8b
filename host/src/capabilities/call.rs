//! One call of a plugin, as its capabilities see it.

use std::sync::Arc;

use crate::capabilities::{Capabilities, Grants, Meter};

/// What a capability needs to know of the call that it serves.
pub(crate) struct Call {
    pub(crate) plugin: Arc<str>,
    pub(crate) operation: Arc<str>,
    pub(crate) capabilities: Capabilities,
    pub(crate) grants: Arc<Grants>,
    pub(crate) meter: Meter,
}

impl crate::wit::harper::plugin::types::Host for Call {}
