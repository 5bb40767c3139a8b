//! A host for unit tests: a configuration in memory, and a clock that does not wait.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::capabilities::{Change, Clock, Config, ConfigError, Log, Snapshot};
use crate::operation::{Error, handle};

#[derive(Default)]
pub(crate) struct Fake {
    /// Values by key path.
    pub(crate) config: RefCell<Map<String, Value>>,
    revision: Cell<u32>,
    /// So many writes find that another was faster: one that adds nothing.
    pub(crate) conflicts: Cell<u32>,
    pub(crate) writes: Cell<u32>,
    pub(crate) slept: Cell<Duration>,
    pub(crate) warnings: RefCell<Vec<String>>,
}

impl Fake {
    pub(crate) fn with(config: Value) -> Self {
        let config = config.as_object().cloned().unwrap_or_default();
        Self { config: RefCell::new(config), ..Self::default() }
    }

    pub(crate) fn send(&self, request: Value) -> Result<Value, Error> {
        block_on(handle(self, request.as_object().unwrap()))
    }
}

impl Config for Fake {
    async fn get<const N: usize>(&self, paths: [&str; N]) -> Result<Snapshot<N>, ConfigError> {
        let config = self.config.borrow();
        let values = paths.map(|path| config.get(path).cloned().unwrap_or(json!(null)));
        Ok(Snapshot { revision: self.revision.get().to_string(), values })
    }

    async fn set(&self, expected: &str, changes: &[Change<'_>]) -> Result<(), ConfigError> {
        if let Some(left) = self.conflicts.get().checked_sub(1) {
            self.conflicts.set(left);
            self.revision.set(self.revision.get() + 1);
        }
        if expected != self.revision.get().to_string() {
            return Err(ConfigError::Conflict);
        }
        if changes.is_empty() {
            return Ok(());
        }
        for change in changes {
            self.config.borrow_mut().insert(change.path.into(), change.value.clone());
        }
        self.revision.set(self.revision.get() + 1);
        self.writes.set(self.writes.get() + 1);
        Ok(())
    }
}

impl Clock for Fake {
    fn monotonic(&self) -> u64 {
        999
    }

    async fn sleep(&self, duration: Duration) {
        self.slept.set(self.slept.get() + duration);
    }
}

impl Log for Fake {
    fn warn(&self, message: &str) {
        self.warnings.borrow_mut().push(message.into());
    }
}

/// Runs a future of which nothing ever waits.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the fake host never waits"),
    }
}
