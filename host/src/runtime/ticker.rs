//! Advances the engine's epoch while calls run, so that a guest yields and can be interrupted.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::EngineWeak;

/// How long a guest computes before it lets other calls go on.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// A thread that sleeps for good while no call runs: an idle host wakes no processor.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<TickerState>,
    changed: Condvar,
}

#[derive(Default)]
struct TickerState {
    running_calls: usize,
    stopped: bool,
}

/// Time goes on for a call as long as this lives.
pub(super) struct Running(Arc<Shared>);

impl Ticker {
    pub(super) fn start(engine: EngineWeak) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let thread = thread::Builder::new().name("epoch-ticker".into()).spawn({
            let shared = shared.clone();
            move || {
                while shared.wait_until_needed() {
                    thread::sleep(TICK);
                    match engine.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => return,
                    }
                }
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Keeps time while a call runs.
    pub(super) fn run(&self) -> Running {
        self.shared.update(|state| state.running_calls += 1);
        Running(self.shared.clone())
    }
}

impl Shared {
    /// Whether there is a tick to make: false once the ticker is stopped.
    fn wait_until_needed(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |state: &mut TickerState| state.running_calls == 0 && !state.stopped;
        let state = self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        !state.stopped
    }

    fn update(&self, change: impl FnOnce(&mut TickerState)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let was_idle = state.running_calls == 0;
        change(&mut state);
        if was_idle || state.stopped {
            self.changed.notify_one();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.update(|state| state.running_calls -= 1);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.update(|state| state.stopped = true);
        if let Some(thread) = self.thread.take() {
            // It ends within a tick, and it panics nowhere.
            let _ = thread.join();
        }
    }
}
