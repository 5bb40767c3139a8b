//! `clock`: the wall clock, a clock that never goes back, and waiting.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf};

use crate::capabilities::{BoxFuture, Call, Capability};
use crate::wit::harper::plugin::clock::{Host, HostWithStore};

/// Time, as plugins see it.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock: milliseconds since 1970-01-01T00:00:00Z.
    fn now(&self) -> u64;

    /// Nanoseconds since some moment before the first call. Never goes back.
    fn monotonic(&self) -> u64;

    /// Waits.
    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()>;
}

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since_epoch.as_millis().try_into().unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> u64 {
        self.start.elapsed().as_nanos().try_into().unwrap_or(u64::MAX)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

impl Host for Call {
    fn now(&mut self) -> Result<u64> {
        self.meter.host_call(Capability::Clock, 0)?;
        Ok(self.capabilities.clock.now())
    }

    fn monotonic(&mut self) -> Result<u64> {
        self.meter.host_call(Capability::Clock, 0)?;
        Ok(self.capabilities.clock.monotonic())
    }
}

impl<T: Send> HostWithStore<T> for HasSelf<Call> {
    async fn sleep(accessor: &Accessor<T, Self>, milliseconds: u64) -> Result<()> {
        let clock = accessor.with(|mut access| {
            let call = access.get();
            call.meter.host_call(Capability::Clock, 0)?;
            wasmtime::error::Ok(call.capabilities.clock.clone())
        })?;
        clock.sleep(Duration::from_millis(milliseconds)).await;
        Ok(())
    }
}
