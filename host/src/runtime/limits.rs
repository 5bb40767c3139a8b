//! The budget of a call.

use std::time::Duration;

use wasmtime::{Error, ResourceLimiter, Result};

use crate::capabilities::Exceeded;

/// The most memory that any budget may allow: what the pool reserves of addresses for an instance.
pub(super) const MOST_MEMORY: usize = 1 << 30;

/// Elements of one table. Ours has some hundred, componentize-py's some ten thousand.
pub(super) const TABLE_ELEMENTS: usize = 50_000;

/// What one call of a plugin may use. Over any of these it is stopped with an error, its instance
/// is gone, and the next call is not affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of memory, at most 1 GiB. Default: 128 MiB.
    pub memory: usize,
    /// Time on a processor, in steps of a millisecond. Waiting does not count. Default: 2 s.
    pub cpu: Duration,
    /// Time from the moment the call is made until its reply, waiting for a place to run
    /// included. Default: 30 s.
    pub wall_clock: Duration,
    /// Calls to capabilities. Default: 10,000.
    pub host_calls: u32,
    /// Bytes of a request. Default: 2 MiB.
    pub request_bytes: usize,
    /// Bytes of a reply. Default: 16 MiB.
    pub reply_bytes: usize,
    /// Bytes that cross the border in calls to capabilities, both directions together. Default:
    /// 128 MiB.
    pub exchanged_bytes: usize,
    /// Bytes that one call may write to the log; more is left out, and the log says so. Default: 64
    /// KiB.
    pub log_bytes: usize,
    /// Bytes that all calls of the plugin together may write to the log in a minute. Default: 1 MiB.
    pub log_bytes_per_minute: usize,
    /// Calls of the plugin that run at the same time; more wait for their turn. Default: 16. The
    /// host's own plugin has 64 places instead.
    pub concurrent_calls: usize,
}

impl Limits {
    /// What a call of the clustering plugin may use when nothing else is said: an operation may be
    /// about a thousand nodes, with a hundred subscriptions each.
    pub(crate) fn of_clustering() -> Self {
        Self {
            memory: 256 << 20,
            cpu: Duration::from_secs(15),
            host_calls: 50_000,
            ..Self::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 128 << 20,
            cpu: Duration::from_secs(2),
            wall_clock: Duration::from_secs(30),
            host_calls: 10_000,
            request_bytes: 2 << 20,
            reply_bytes: 16 << 20,
            exchanged_bytes: 128 << 20,
            log_bytes: 64 << 10,
            log_bytes_per_minute: 1 << 20,
            concurrent_calls: 16,
        }
    }
}

/// A budget that the host cannot keep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitsError {
    /// More memory than is set aside for an instance.
    #[error("a plugin's memory limit must be at most {MOST_MEMORY} bytes, not {0}")]
    Memory(usize),
    /// Nothing would ever run.
    #[error("a plugin must be allowed at least one call at a time")]
    NoCalls,
}

impl Limits {
    pub(crate) fn check(&self) -> Result<(), LimitsError> {
        match self {
            Self { memory, .. } if *memory > MOST_MEMORY => Err(LimitsError::Memory(*memory)),
            Self { concurrent_calls: 0, .. } => Err(LimitsError::NoCalls),
            _ => Ok(()),
        }
    }

    /// What a plugin may use to say what it is: as much memory as a call, and little else.
    pub(super) fn to_describe(self) -> Self {
        Self {
            cpu: self.cpu.min(Duration::from_secs(2)),
            wall_clock: Duration::from_secs(10),
            host_calls: 100,
            exchanged_bytes: 1 << 20,
            reply_bytes: 4 << 20,
            ..self
        }
    }
}

/// Counts the memory of a call's instance, and refuses more than the limit.
pub(super) struct MemoryLimit {
    limit: usize,
    used: usize,
    table_elements: usize,
}

impl MemoryLimit {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: 0, table_elements: 0 }
    }

    /// Bytes at its largest: the memory of an instance does not shrink.
    pub(super) fn used(&self) -> usize {
        self.used.min(self.limit)
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, now: usize, wanted: usize, _: Option<usize>) -> Result<bool> {
        self.used = self.used.saturating_add(wanted.saturating_sub(now));
        if self.used > self.limit {
            // An error and not `false`: a guest that is told so panics, and the cause is lost.
            return Err(Error::from(Exceeded::Memory(self.limit)));
        }
        Ok(true)
    }

    fn table_growing(&mut self, now: usize, wanted: usize, _: Option<usize>) -> Result<bool> {
        self.table_elements = self.table_elements.saturating_add(wanted.saturating_sub(now));
        if self.table_elements > TABLE_ELEMENTS {
            return Err(Error::from(Exceeded::TableElements(TABLE_ELEMENTS)));
        }
        Ok(true)
    }
}
