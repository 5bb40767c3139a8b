//! The threads that a plugin's calls compute on, when it is not the host's own.
//!
//! Whoever shares a thread with a plugin that computes waits a millisecond for each of its calls. On
//! threads of its own a plugin takes time from others only as far as the kernel shares processors
//! out, which is fair to threads, however many calls a plugin has.

use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Half of the processors, so that no plugin has all of them.
fn number() -> usize {
    thread::available_parallelism().map_or(1, |processors| processors.get() / 2).max(1)
}

/// They end when this is dropped and the calls that are on them have ended.
pub(super) struct Threads(Vec<One>);

struct One {
    queue: mpsc::UnboundedSender<Job>,
    /// How many calls are on it.
    calls: Arc<AtomicUsize>,
}

impl Threads {
    /// Starts them. What waits on them waits with the runtime that this is called in.
    pub(super) fn start(plugin: &str) -> io::Result<Self> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let one = |_| {
            let (queue, jobs) = mpsc::unbounded_channel();
            let runtime = runtime.clone();
            let name = format!("plugin-{plugin}");
            thread::Builder::new().name(name).spawn(move || runtime.block_on(work(jobs)))?;
            Ok(One { queue, calls: Arc::default() })
        };
        (0..number()).map(one).collect::<io::Result<_>>().map(Self)
    }

    /// Does the work there, and gives it up when this is dropped. Nothing comes of work that panics.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let one = self.0.iter().min_by_key(|one| one.calls.load(Relaxed))?;
        let running = Running::begin(&one.calls);
        let (mut tell, told) = oneshot::channel();
        let job = async move {
            let _running = running;
            tokio::select! {
                biased;
                () = tell.closed() => {}
                done = AssertUnwindSafe(work).catch_unwind() => {
                    if let Ok(done) = done {
                        // Whoever waited may have given up just now.
                        let _ = tell.send(done);
                    }
                }
            }
        };
        one.queue.send(Box::pin(job)).ok()?;
        told.await.ok()
    }
}

struct Running(Arc<AtomicUsize>);

impl Running {
    fn begin(calls: &Arc<AtomicUsize>) -> Self {
        calls.fetch_add(1, Relaxed);
        Self(calls.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Each job takes its turn; a guest gives it up once a tick.
async fn work(mut jobs: mpsc::UnboundedReceiver<Job>) {
    let mut running = FuturesUnordered::new();
    let mut is_open = true;
    while is_open || !running.is_empty() {
        tokio::select! {
            job = jobs.recv(), if is_open => match job {
                Some(job) => running.push(job),
                None => is_open = false,
            },
            Some(()) = running.next(), if !running.is_empty() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn work_that_panics_ends_alone_and_work_that_is_given_up_ends() {
        let threads = Threads::start("test").unwrap();
        assert_eq!(threads.run(async { panic!("as asked") }).await, None::<()>);
        assert_eq!(threads.run(async { 7 }).await, Some(7));
        let (tell, told) = oneshot::channel::<()>();
        let forever = threads.run(async move {
            std::future::pending::<()>().await;
            drop(tell);
        });
        assert!(tokio::time::timeout(Duration::from_millis(10), forever).await.is_err());
        let ended = tokio::time::timeout(Duration::from_secs(10), told).await;
        assert!(ended.unwrap().is_err(), "what it held is dropped");
    }
}
