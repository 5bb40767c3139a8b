//! Operations in tasks that the server owns: a client who goes away stops nothing halfway.

use std::{
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::oneshot, task::JoinSet};

/// The running operations.
#[derive(Default)]
pub(super) struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    /// Runs `f` to its end. Its value is received, or nothing when it panicked or was aborted.
    pub(super) fn run<F>(&self, f: F) -> oneshot::Receiver<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (done, receiver) = oneshot::channel();
        let mut set = self.set();
        while set.try_join_next().is_some() {}
        set.spawn(async move {
            let _ = done.send(f.await);
        });
        receiver
    }

    /// How many have not ended yet.
    pub(super) fn len(&self) -> usize {
        self.set().len()
    }

    /// Waits until all have ended.
    pub(super) async fn drained(&self) {
        while poll_fn(|cx| self.set().poll_join_next(cx)).await.is_some() {}
    }

    /// Ends all at the next point where they wait.
    pub(super) async fn abort(&self) {
        self.set().abort_all();
        self.drained().await;
    }

    fn set(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
