//! The memory that messages take while they are applied: all subscriptions of a node share it, so
//! that many tables at once take no more than a few.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What all subscriptions of a node take together. A message that needs more than is left waits;
/// one that needs more than there is takes all of it.
const ALL: usize = 256 << 20;
/// Bytes of a permit.
const UNIT: usize = 1 << 10;

/// What there is for decoded messages; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    permits: Arc<Semaphore>,
    all: u32,
}

/// A part of it, until this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    /// None only where the semaphore was closed, which nobody does.
    permit: Option<OwnedSemaphorePermit>,
    is_all: bool,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(ALL)
    }
}

impl Memory {
    pub(crate) fn new(bytes: usize) -> Self {
        let all = units(bytes);
        Self { permits: Arc::new(Semaphore::new(all as usize)), all }
    }

    /// So much, or all there is, as soon as others leave it. Who has a share must not wait for
    /// another one: two of them would wait for each other.
    pub(crate) async fn take(&self, bytes: usize) -> Share {
        let wanted = units(bytes).min(self.all);
        let permit = self.permits.clone().acquire_many_owned(wanted).await.ok();
        Share { permit, is_all: wanted == self.all }
    }

    /// The same, unless others have it.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Share> {
        let wanted = units(bytes).min(self.all);
        let permit = self.permits.clone().try_acquire_many_owned(wanted).ok()?;
        Some(Share { permit: Some(permit), is_all: wanted == self.all })
    }

    /// Bytes that nobody has.
    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        self.permits.available_permits() * UNIT
    }
}

impl Share {
    /// Whether it is all there is.
    pub(crate) fn is_all(&self) -> bool {
        self.is_all
    }

    /// Gives back what is beyond so many bytes.
    pub(crate) fn keep(&mut self, bytes: usize) {
        let Some(permit) = &mut self.permit else { return };
        let beyond = permit.num_permits().saturating_sub(units(bytes) as usize);
        drop(permit.split(beyond));
        self.is_all &= beyond == 0;
    }

    /// Makes one of both.
    pub(crate) fn add(&mut self, other: Share) {
        match (&mut self.permit, other.permit) {
            (Some(permit), Some(other)) => permit.merge(other),
            (permit @ None, other) => *permit = other,
            (Some(_), None) => {}
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    // covers: flow.memory.shared
    #[tokio::test]
    async fn all_together_have_no_more_than_there_is() {
        let memory = Memory::new(10 * UNIT);
        let mut some = memory.take(6 * UNIT).await;
        assert!(!some.is_all() && memory.try_take(5 * UNIT).is_none());
        let more = memory.try_take(3 * UNIT - 1).unwrap();
        some.add(more);
        assert_eq!(memory.left(), UNIT);
        let waits = memory.take(1000 * UNIT);
        tokio::pin!(waits);
        assert!(waits.as_mut().now_or_never().is_none(), "others have some of it");
        some.keep(2 * UNIT);
        assert!(waits.as_mut().now_or_never().is_none());
        drop(some);
        let mut all = waits.now_or_never().unwrap();
        assert!(all.is_all());
        assert_eq!(memory.left(), 0);
        all.keep(20 * UNIT);
        assert_eq!(memory.left(), 0, "it has not become more");
        all.keep(0);
        assert_eq!(memory.left(), 10 * UNIT);
    }
}
