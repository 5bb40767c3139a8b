//! Whether the node is ready for work: `GET /ready`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// What the parts of a node say of their being ready; clones share it. A part that says nothing is
/// ready.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Readiness {
    /// `part` is not ready, and why. The text is for whoever asks, without a login: no secrets, no
    /// paths.
    pub fn not_ready(&self, part: &'static str, why: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(part, why.into());
    }

    /// `part` is ready.
    pub fn ready(&self, part: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(part);
    }

    /// Whether all parts are ready.
    ///
    /// # Errors
    ///
    /// Why not, of all that are not.
    pub fn check(&self) -> Result<(), String> {
        let reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reasons.is_empty() {
            return Ok(());
        }
        let reasons: Vec<_> = reasons.values().map(String::as_str).collect();
        Err(format!("Not ready: {}", reasons.join("; ")))
    }
}
