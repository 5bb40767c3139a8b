//! Instances of the host's own plugin, kept from one call to the next.
//!
//! To make an instance costs more than most of our operations do. Ours keeps nothing between calls
//! that it would answer differently for; whoever else's plugin gets a fresh one each time.

use std::sync::{Mutex, PoisonError};

use wasmtime::Store;

use super::call::State;
use crate::wit::Extension;

/// Instances that wait, at most: each has memory of its own, and more than some for each processor
/// are rarely at work.
pub(super) fn most() -> usize {
    std::thread::available_parallelism().map_or(4, |processors| processors.get() * 2).min(32)
}

/// Calls that one instance serves, so that what it may leak stays small.
const MOST_CALLS: u32 = 10_000;

/// An instance that has grown beyond this was needed once, and is not kept.
const MOST_MEMORY: usize = 4 << 20;

/// A store with an instance in it.
pub(super) struct Instance {
    pub(super) store: Store<State>,
    pub(super) exports: Extension,
    pub(super) calls: u32,
}

/// Those that wait for a call.
pub(super) struct Idle {
    waiting: Mutex<Vec<Instance>>,
    most: usize,
}

impl Default for Idle {
    fn default() -> Self {
        Self { waiting: Mutex::default(), most: most() }
    }
}

impl Idle {
    /// The one that waits for the shortest time: its memory is warm.
    pub(super) fn take(&self) -> Option<Instance> {
        self.waiting().pop()
    }

    /// Keeps an instance whose call has ended well. Whoever was stopped, trapped or given up is not
    /// brought here, and ends with its store.
    pub(super) fn keep(&self, mut instance: Instance) {
        instance.calls += 1;
        let memory = instance.store.data().memory.used();
        if instance.calls < MOST_CALLS && memory <= MOST_MEMORY {
            let mut waiting = self.waiting();
            if waiting.len() < self.most {
                waiting.push(instance);
            }
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Instance>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
