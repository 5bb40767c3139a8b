//! Where the calls of a plugin run that is not the host's own: where they are called, like those of ours,
//! while the plugin leaves a processor some rest; and on threads of its own, which make way for others,
//! while it does not.
//!
//! Whoever shares a thread with a plugin that computes waits a millisecond for each of its calls. On
//! threads of its own it takes time from others only as far as the kernel shares processors out, however
//! many calls it has. To hand every call over would cost more than most calls do.

use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::ticker::TICK;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How much less than others the kernel prefers these threads.
const NICE: i32 = 10;

/// Who computes for nine tenths of so long does not rest...
const WINDOW: Duration = Duration::from_millis(20);
const MUCH: f64 = 0.9;
/// ...and rests again who is at work for less than this.
const LITTLE: f64 = 0.5;

/// Half of the processors, so that no plugin has all of them.
fn number() -> usize {
    thread::available_parallelism().map_or(1, |processors| processors.get() / 2).max(1)
}

/// They end when this is dropped and the calls that are on them have ended.
pub(super) struct Threads {
    all: Vec<One>,
    load: Arc<Load>,
}

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
            thread::Builder::new().name(name).spawn(move || {
                if let Err(error) = rustix::process::nice(NICE) {
                    tracing::debug!("a plugin's thread keeps its priority: {error}");
                }
                runtime.block_on(work(jobs));
            })?;
            Ok(One { queue, calls: Arc::default() })
        };
        let all = (0..number()).map(one).collect::<io::Result<_>>()?;
        Ok(Self { all, load: Arc::default() })
    }

    /// What its calls tell of what they use.
    pub(super) fn load(&self) -> &Arc<Load> {
        &self.load
    }

    /// Does the work here or there, and gives it up when this is dropped. Nothing comes of work that
    /// panics.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let mut work = Some(AssertUnwindSafe(work).catch_unwind().boxed());
        let here = poll_fn(|cx| {
            let began = Instant::now();
            match &mut work {
                Some(work) if self.load.rests(began) => {
                    let polled = work.as_mut().poll(cx);
                    self.load.add(began, Instant::now());
                    polled.map(Some)
                }
                _ => Poll::Ready(None),
            }
        });
        if let Some(done) = here.await {
            return done.ok();
        }
        let (mut work, load) = (work?, self.load.clone());
        let one = self.all.iter().min_by_key(|one| one.calls.load(Relaxed))?;
        let running = Running::begin(&one.calls);
        let (mut tell, told) = oneshot::channel();
        let job = async move {
            let _running = running;
            let work = poll_fn(|cx| {
                let began = Instant::now();
                let polled = work.as_mut().poll(cx);
                load.add(began, Instant::now());
                polled
            });
            tokio::select! {
                biased;
                () = tell.closed() => {}
                done = work => {
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

/// How busy a plugin's calls are, all together.
pub(super) struct Load(Mutex<Window>);

struct Window {
    began: Instant,
    /// That it has computed: a tick, whatever came in between, counts once.
    computed: Duration,
    /// That it was at work, with what others of the machine did in between: who waits for a processor
    /// does not rest.
    at_work: Duration,
    rests: bool,
}

impl Default for Load {
    fn default() -> Self {
        Self(Mutex::new(Window::new(Instant::now(), true)))
    }
}

impl Window {
    fn new(began: Instant, rests: bool) -> Self {
        Self { began, computed: Duration::ZERO, at_work: Duration::ZERO, rests }
    }
}

impl Load {
    /// A call has computed for a tick.
    pub(super) fn tick(&self) {
        self.window().computed += TICK;
    }

    /// A call was at work.
    fn add(&self, began: Instant, now: Instant) {
        let mut window = self.window();
        window.at_work += now.saturating_duration_since(began);
        let length = now.saturating_duration_since(window.began);
        if length >= WINDOW {
            let rests = match window.rests {
                true => window.computed < length.mul_f64(MUCH),
                false => window.at_work < length.mul_f64(LITTLE),
            };
            *window = Window::new(now, rests);
        }
    }

    fn rests(&self, now: Instant) -> bool {
        let mut window = self.window();
        if now.saturating_duration_since(window.began) >= 5 * WINDOW {
            // Nothing was added for so long.
            *window = Window::new(now, true);
        }
        window.rests
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_panics_ends_alone_and_work_that_is_given_up_ends() {
        let threads = Threads::start("test").unwrap();
        for rests in [true, false] {
            let busy = || *threads.load.window() = Window::new(Instant::now(), rests);
            busy();
            assert_eq!(threads.run(async { panic!("as asked") }).await, None::<()>);
            busy();
            assert_eq!(threads.run(async { 7 }).await, Some(7));
            busy();
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

    #[test]
    fn who_does_not_rest_is_known_and_who_rests_again_too() {
        let (load, start) = (Load::default(), Instant::now());
        let at = |milliseconds: u64| start + Duration::from_millis(milliseconds);
        let work = |n: u64, ticks: usize| {
            (0..ticks).for_each(|_| load.tick());
            load.add(at(n * 5 - 5), at(n * 5));
        };
        // On a busy machine it is at work all the while, and computes little.
        (1..=100).for_each(|n| work(n, 2));
        assert!(load.rests(at(500)));
        (101..=200).for_each(|n| work(n, 5));
        assert!(!load.rests(at(1000)));
        // Where others come first, to compute little is no rest.
        (201..=300).for_each(|n| work(n, 0));
        assert!(!load.rests(at(1500)));
        (301..=310).for_each(|n| load.add(at(n * 5 - 1), at(n * 5)));
        assert!(load.rests(at(1550)));
        (311..=400).for_each(|n| work(n, 5));
        assert!(!load.rests(at(2000)));
        assert!(load.rests(at(2100)), "it has done nothing since");
    }

    /// Work that computes all the while goes on on a thread that makes way, and later work is here again.
    #[tokio::test]
    async fn work_that_does_not_rest_makes_way() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let (threads, own) = (Threads::start("test").unwrap(), nice());
        let load = threads.load.clone();
        let computes = threads.run(async move {
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(20) && nice() == own {
                // No other work comes in between, so that this counts as all of the time.
                thread::sleep(TICK);
                load.tick();
                load.tick();
                tokio::task::yield_now().await;
            }
            nice() - own
        });
        assert_eq!(computes.await, Some(NICE));
        let deadline = Instant::now() + Duration::from_secs(20);
        while threads.run(async move { nice() }).await != Some(own) {
            assert!(Instant::now() < deadline, "it is quick again");
            tokio::time::sleep(WINDOW).await;
        }
    }
}
