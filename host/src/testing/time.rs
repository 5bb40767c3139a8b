//! A clock that need not wait.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::capabilities::{BoxFuture, Clock};

/// Polls of the next sleeper, with nothing new happening, after which everybody waits.
const ROUNDS: u32 = 8;

/// The time of a fake node. Clones are the same clock.
///
/// It passes when everybody who looks at it sleeps: then it is at once the moment at which the first
/// of them wakes. One that was [`stopped`](Self::stopped) passes only when it is told to
/// [`advance`](Self::advance), and a [`real`](Self::real) one as the machine's does.
#[derive(Debug, Clone)]
pub struct Time(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Since this clock was made.
    passed: Duration,
    /// The wall clock when it was made, in milliseconds since 1970; it may be set.
    wall: i128,
    is_stopped: bool,
    /// When this clock was made, if it is a real one.
    real: Option<Instant>,
    /// By when they wake.
    sleepers: BTreeMap<(Duration, u64), Waker>,
    next: u64,
    /// Counts whoever goes to sleep or wakes.
    happened: u64,
}

impl Time {
    /// A clock whose wall clock shows so many milliseconds since 1970.
    pub fn starting_at(wall: u64) -> Self {
        let (sleepers, passed) = (BTreeMap::new(), Duration::ZERO);
        let state = State {
            passed,
            wall: wall.into(),
            is_stopped: false,
            real: None,
            sleepers,
            next: 0,
            happened: 0,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// The same clock, which passes only when it is told to.
    pub fn stopped(self) -> Self {
        self.state().is_stopped = true;
        self
    }

    /// The same clock, which passes as the machine's does: whoever sleeps really waits.
    pub fn real(self) -> Self {
        self.state().real = Some(Instant::now());
        self
    }

    /// How much time has passed.
    pub fn passed(&self) -> Duration {
        let state = self.state();
        state.real.map_or(state.passed, |made| made.elapsed())
    }

    /// Lets time pass, and wakes whoever sleeps no longer.
    pub fn advance(&self, duration: Duration) {
        let mut state = self.state();
        state.passed = state.passed.saturating_add(duration);
        state.happened += 1;
        for waker in state.sleepers.values() {
            waker.wake_by_ref();
        }
    }

    /// Sets the wall clock, forward or back; who sleeps does not notice.
    pub fn set_wall_clock(&self, now: u64) {
        let passed = self.passed().as_millis() as i128;
        self.state().wall = i128::from(now) - passed;
    }

    /// Waits.
    pub fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if self.state().real.is_some() {
            return Box::pin(tokio::time::sleep(duration));
        }
        let time = self.clone();
        Box::pin(async move {
            let mut sleeper = Sleeper::new(&time, duration);
            let (mut seen, mut rounds) = (0, 0);
            poll_fn(|context| sleeper.poll(&mut seen, &mut rounds, context)).await;
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Time {
    /// The beginning of 2026.
    fn default() -> Self {
        Self::starting_at(1_767_225_600_000)
    }
}

impl Clock for Time {
    fn now(&self) -> u64 {
        let passed = self.passed().as_millis() as i128;
        u64::try_from(self.state().wall + passed).unwrap_or(0)
    }

    fn monotonic(&self) -> u64 {
        self.passed().as_nanos().try_into().unwrap_or(u64::MAX)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Self::sleep(self, duration)
    }
}

/// One who sleeps; whoever gives up waiting for it is forgotten.
struct Sleeper<'t> {
    time: &'t Time,
    at: (Duration, u64),
}

impl<'t> Sleeper<'t> {
    fn new(time: &'t Time, duration: Duration) -> Self {
        let mut state = time.state();
        let at = (state.passed.saturating_add(duration), state.next);
        state.next += 1;
        Self { time, at }
    }

    fn poll(&mut self, seen: &mut u64, rounds: &mut u32, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.time.state();
        if state.passed >= self.at.0 {
            return Poll::Ready(());
        }
        if state.sleepers.insert(self.at, context.waker().clone()).is_none() {
            state.happened += 1;
        }
        let is_first = state.sleepers.first_key_value().is_some_and(|(first, _)| *first == self.at);
        if state.is_stopped || !is_first {
            return Poll::Pending;
        }
        if *seen != state.happened {
            (*seen, *rounds) = (state.happened, 0);
        }
        *rounds += 1;
        if *rounds > ROUNDS {
            state.passed = self.at.0;
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        let mut state = self.time.state();
        if state.sleepers.remove(&self.at).is_some() {
            state.happened += 1;
        }
        if let Some((_, waker)) = state.sleepers.first_key_value() {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    // covers: testing.time
    #[tokio::test]
    async fn sleepers_wake_in_their_order_and_nobody_waits() {
        let begun = std::time::Instant::now();
        let time = Time::default();
        let woken = Mutex::new(Vec::new());
        let sleep = async |hours: u32, again: u32| {
            time.sleep(HOUR * hours).await;
            woken.lock().unwrap().push((hours, time.passed()));
            time.sleep(HOUR * again).await;
            woken.lock().unwrap().push((again, time.passed()));
        };
        join(sleep(3, 1), join(sleep(1, 1), sleep(2, 5))).await;
        let expected = [(1, 1), (1, 2), (2, 2), (3, 3), (1, 4), (5, 7)];
        let mut woken = woken.into_inner().unwrap();
        woken.sort_by_key(|(hours, at)| (*at, *hours));
        assert_eq!(woken, expected.map(|(hours, at)| (hours, HOUR * at)));
        assert!(begun.elapsed() < Duration::from_secs(60));
        assert_eq!(time.now() - Time::default().now(), 7 * 3_600_000);
    }

    #[tokio::test]
    async fn a_stopped_clock_passes_when_it_is_told_to() {
        let time = Time::default().stopped();
        let sleeper = tokio::spawn(time.sleep(HOUR));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!sleeper.is_finished());
        time.advance(HOUR);
        sleeper.await.unwrap();
        time.set_wall_clock(5);
        assert_eq!((time.now(), time.passed()), (5, HOUR));
    }

    #[tokio::test]
    async fn whoever_is_given_up_holds_nobody_up() {
        let time = Time::default();
        let mut given_up = time.sleep(HOUR);
        let polled = given_up.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        drop(given_up);
        time.sleep(HOUR * 2).await;
        assert_eq!(time.passed(), HOUR * 2);
    }
}
