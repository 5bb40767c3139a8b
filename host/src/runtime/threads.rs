//! The threads that a plugin's calls compute on, when it is not the host's own.
//!
//! Whoever shares a thread with a plugin that computes waits a millisecond for each of its calls. On
//! threads of its own a plugin takes time from others only as far as the kernel shares processors
//! out, which is fair to threads, however many calls a plugin has.

use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{
    UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel,
};
use tokio::sync::oneshot;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How much less the kernel prefers the thread of calls that do not rest.
const NICE: i32 = 10;

/// Who computes for nine tenths of so long does not rest.
const WINDOW: Duration = Duration::from_millis(50);

/// Half of the processors, so that no plugin has all of them.
fn number() -> usize {
    thread::available_parallelism().map_or(1, |processors| processors.get() / 2).max(1)
}

/// They end when this is dropped and the calls that are on them have ended.
pub(super) struct Threads(Vec<Pair>);

/// A thread, and one that makes way for others. Calls are on the second while the two together do not
/// rest: a priority can be given up and not taken back.
struct Pair {
    quick: UnboundedSender<Job>,
    /// Keeps the other queue open, as the one above does its own.
    _patient: UnboundedSender<Job>,
    /// How many calls are on them.
    calls: Arc<AtomicUsize>,
}

impl Threads {
    /// Starts them. What waits on them waits with the runtime that this is called in.
    pub(super) fn start(plugin: &str) -> io::Result<Self> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        (0..number()).map(|_| Pair::start(plugin, &runtime)).collect::<io::Result<_>>().map(Self)
    }

    /// Does the work there, and gives it up when this is dropped. Nothing comes of work that panics.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let pair = self.0.iter().min_by_key(|pair| pair.calls.load(Relaxed))?;
        let running = Running::begin(&pair.calls);
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
        pair.quick.send(Box::pin(job)).ok()?;
        told.await.ok()
    }
}

impl Pair {
    fn start(plugin: &str, runtime: &Handle) -> io::Result<Self> {
        let (quick, quick_jobs) = unbounded_channel();
        let (patient, patient_jobs) = unbounded_channel();
        let load = Arc::new(Load::new());
        let lanes = [
            Lane {
                jobs: quick_jobs,
                other: patient.downgrade(),
                load: load.clone(),
                is_quick: true,
            },
            Lane { jobs: patient_jobs, other: quick.downgrade(), load, is_quick: false },
        ];
        for lane in lanes {
            let runtime = runtime.clone();
            thread::Builder::new().name(format!("plugin-{plugin}")).spawn(move || {
                if !lane.is_quick
                    && let Err(error) = rustix::process::nice(NICE)
                {
                    tracing::debug!("a plugin's thread keeps its priority: {error}");
                }
                runtime.block_on(lane.work());
            })?;
        }
        Ok(Self { quick, _patient: patient, calls: Arc::default() })
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

/// How busy a pair of threads is.
struct Load(Mutex<Window>);

struct Window {
    began: Instant,
    /// Of that time, with others of the machine that came in between: a pair that waits for its
    /// turn does not rest.
    busy: Duration,
    rests: bool,
}

impl Load {
    fn new() -> Self {
        Self(Mutex::new(Window { began: Instant::now(), busy: Duration::ZERO, rests: true }))
    }

    fn add(&self, busy: Duration, now: Instant) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.busy += busy;
        let length = now.saturating_duration_since(window.began);
        if length >= WINDOW {
            let rests = window.busy < length.mul_f64(0.9);
            *window = Window { began: now, busy: Duration::ZERO, rests };
        }
    }

    fn rests(&self, now: Instant) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(window.began) >= 2 * WINDOW {
            // Nothing was added for so long.
            *window = Window { began: now, busy: Duration::ZERO, rests: true };
        }
        window.rests
    }
}

/// What one thread does.
struct Lane {
    jobs: UnboundedReceiver<Job>,
    /// The other thread of the pair.
    other: WeakUnboundedSender<Job>,
    load: Arc<Load>,
    is_quick: bool,
}

impl Lane {
    /// Each job takes its turn; a guest gives it up once a tick.
    async fn work(mut self) {
        let mut running = FuturesUnordered::new();
        let mut is_open = true;
        while is_open || !running.is_empty() {
            tokio::select! {
                job = self.jobs.recv(), if is_open => match job {
                    Some(job) => running.push(on_a_lane(job, self.load.clone(), self.is_quick)),
                    None => is_open = false,
                },
                Some(moved) = running.next(), if !running.is_empty() => {
                    let Some(job) = moved else { continue };
                    match self.other.upgrade() {
                        // Both end together, and not before the last of their jobs.
                        Some(other) => if let Err(lost) = other.send(job) { lost.0.await },
                        None => job.await,
                    }
                }
            }
        }
    }
}

/// Has a job do its work until it ends, or is better done on the other lane: then it comes back.
fn on_a_lane(
    job: Job,
    load: Arc<Load>,
    is_quick: bool,
) -> impl Future<Output = Option<Job>> + Unpin {
    let mut job = Some(job);
    poll_fn(move |cx| {
        let began = Instant::now();
        if load.rests(began) != is_quick {
            return Poll::Ready(job.take());
        }
        let Some(running) = &mut job else { return Poll::Ready(None) };
        let polled = running.as_mut().poll(cx);
        let now = Instant::now();
        load.add(now.saturating_duration_since(began), now);
        polled.map(|()| None)
    })
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn who_does_not_rest_is_known_and_who_rests_again_too() {
        let (load, start) = (Load::new(), Instant::now());
        let at = |milliseconds: u64| start + Duration::from_millis(milliseconds);
        // Calls of a client who waits for each: three fifths.
        (1..=100).for_each(|n| load.add(Duration::from_millis(3), at(n * 5)));
        assert!(load.rests(at(500)));
        (1..=100).for_each(|n| load.add(Duration::from_millis(5), at(500 + n * 5)));
        assert!(!load.rests(at(1000)));
        assert!(load.rests(at(1200)), "it has done nothing since");
    }

    /// Calls that compute all the while are on the thread that makes way, and end there.
    #[tokio::test]
    async fn work_that_does_not_rest_makes_way() {
        let threads = Threads::start("test").unwrap();
        let computes = threads.run(async {
            let nice = || rustix::process::getpriority_process(None).unwrap();
            let (before, began) = (nice(), Instant::now());
            while began.elapsed() < Duration::from_secs(20) && nice() == before {
                thread::sleep(Duration::from_millis(1));
                tokio::task::yield_now().await;
            }
            nice() - before
        });
        assert_eq!(computes.await, Some(NICE));
        let deadline = Instant::now() + Duration::from_secs(20);
        let nice = || async { rustix::process::getpriority_process(None).unwrap() };
        let own = nice().await;
        while threads.run(nice()).await != Some(own) {
            assert!(Instant::now() < deadline, "it is quick again");
            tokio::time::sleep(WINDOW).await;
        }
    }
}
