//! Advances the engine's epoch while calls run, so that a guest yields and can be interrupted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::EngineWeak;

/// How long a guest computes before it lets other calls go on.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// So many ticks without a call, and the thread sleeps until there is one. To wake it up costs more
/// than a call does, so a host that has one call after another never does.
const IDLE_TICKS: u32 = 100;

/// A thread that sleeps for good while no calls run: an idle host wakes no processor.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    running_calls: AtomicUsize,
    /// The thread sleeps, or is about to.
    sleeps: AtomicBool,
    stopped: AtomicBool,
}

/// Time goes on for a call as long as this lives.
pub(super) struct Running(Arc<Shared>);

impl Ticker {
    pub(super) fn start(engine: EngineWeak) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let thread = thread::Builder::new().name("epoch-ticker".into()).spawn({
            let shared = shared.clone();
            move || tick(&shared, &engine)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Keeps time while a call runs.
    pub(super) fn run(&self) -> Running {
        self.shared.running_calls.fetch_add(1, SeqCst);
        // The thread says that it sleeps before it looks for calls a last time: one of both sees
        // the other.
        if self.shared.sleeps.swap(false, SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Running(self.shared.clone())
    }
}

impl Shared {
    fn is_idle(&self) -> bool {
        self.running_calls.load(SeqCst) == 0 && !self.stopped.load(SeqCst)
    }
}

fn tick(shared: &Shared, engine: &EngineWeak) {
    let mut idle = 0;
    while !shared.stopped.load(SeqCst) {
        if shared.running_calls.load(SeqCst) > 0 {
            idle = 0;
        } else if idle < IDLE_TICKS {
            idle += 1;
        } else {
            shared.sleeps.store(true, SeqCst);
            while shared.is_idle() && shared.sleeps.load(SeqCst) {
                thread::park();
            }
            shared.sleeps.store(false, SeqCst);
            continue;
        }
        thread::sleep(TICK);
        match engine.upgrade() {
            Some(engine) if idle == 0 => engine.increment_epoch(),
            Some(_) => {}
            None => return,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running_calls.fetch_sub(1, SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It ends within a tick, and it panics nowhere.
            let _ = thread.join();
        }
    }
}
