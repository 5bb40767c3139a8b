//! Who waits for argon2, and who is next.
//!
//! Two run at a time. Those who were right lately, and passwords that super_users set, go first and
//! have places of their own: no number of strangers is in their way. Of strangers those go first
//! whose address has failed the least; where all places are taken, one who has failed less gets the
//! place of the one who has failed the most. So guesses from many addresses are in the way of each
//! other, and not of whoever comes for the first time.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

/// How many run at the same time: two cores and 38 MiB at most go into logins.
pub(super) const RUNNING: usize = 2;
/// How many may wait of each kind, about half a second's work.
pub(super) const WAITING: usize = 62;
/// Nobody waits longer.
const LONGEST: Duration = Duration::from_secs(5);

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Someone whose password was right lately, or who sets one.
    Known,
    /// Anybody, from an address that has failed so often lately.
    Stranger(u32),
}

/// The queue.
#[derive(Clone)]
pub(super) struct Queue(Arc<Mutex<State>>);

struct State {
    /// How many more may run.
    free: usize,
    known: VecDeque<oneshot::Sender<Turn>>,
    /// By the failures of their address, then in the order in which they came.
    strangers: BTreeMap<(u32, u64), oneshot::Sender<Turn>>,
    /// How many strangers came when no turn was free.
    came: u64,
}

/// The right to run argon2 once. Dropped, it goes to the next one.
pub(super) struct Turn(Option<Arc<Mutex<State>>>);

impl Queue {
    pub(super) fn new() -> Queue {
        let (known, strangers) = (VecDeque::new(), BTreeMap::new());
        Queue(Arc::new(Mutex::new(State { free: RUNNING, known, strangers, came: 0 })))
    }

    /// Waits for a turn; none when too many wait, when others came meanwhile who go first, and when
    /// it takes too long.
    pub(super) async fn turn(&self, class: Class) -> Option<Turn> {
        let turn = {
            let mut state = lock(&self.0);
            if state.free > 0 {
                state.free -= 1;
                return Some(Turn(Some(self.0.clone())));
            }
            let (waiter, turn) = oneshot::channel();
            if !state.join(class, waiter) {
                return None;
            }
            turn
        };
        timeout(LONGEST, turn).await.ok()?.ok()
    }

    /// How many more may run.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        lock(&self.0).free
    }

    /// Whether nobody runs or waits.
    pub(super) fn is_idle(&self) -> bool {
        let state = lock(&self.0);
        state.free == RUNNING && state.known.is_empty() && state.strangers.is_empty()
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        let state = lock(&self.0);
        state.known.len() + state.strangers.len()
    }

    /// How many strangers came when no turn was free.
    #[cfg(test)]
    pub(super) fn came(&self) -> u64 {
        lock(&self.0).came
    }
}

impl State {
    /// Whether there was a place.
    fn join(&mut self, class: Class, waiter: oneshot::Sender<Turn>) -> bool {
        match class {
            Class::Known => {
                if self.known.len() >= WAITING {
                    self.known.retain(|waiter| !waiter.is_closed());
                }
                let fits = self.known.len() < WAITING;
                if fits {
                    self.known.push_back(waiter);
                }
                fits
            }
            Class::Stranger(failures) => {
                self.came += 1;
                let place = (failures, self.came);
                if self.strangers.len() >= WAITING {
                    self.strangers.retain(|_, waiter| !waiter.is_closed());
                }
                self.strangers.insert(place, waiter);
                // Dropped, the last one is told.
                self.strangers.len() <= WAITING
                    || self.strangers.pop_last().is_none_or(|(last, _)| last != place)
            }
        }
    }

    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        self.known.pop_front().or_else(|| Some(self.strangers.pop_first()?.1))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(queue) = self.0.take() else { return };
        loop {
            let next = {
                let mut state = lock(&queue);
                let next = state.next();
                if next.is_none() {
                    state.free += 1;
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Turn(Some(queue.clone()))) {
                Ok(()) => return,
                // Whoever waited has gone; the turn is passed on here, not where it is dropped.
                Err(mut turn) => drop(turn.0.take()),
            }
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures_util::FutureExt;

    use super::*;

    type Waiting<'q> = Pin<Box<dyn Future<Output = Option<Turn>> + 'q>>;

    /// Somebody who has asked and has no answer yet.
    fn waits(queue: &Queue, class: Class) -> Waiting<'_> {
        let mut turn: Waiting<'_> = Box::pin(queue.turn(class));
        assert!((&mut turn).now_or_never().is_none(), "{class:?}");
        turn
    }

    fn take_all(queue: &Queue) -> Vec<Turn> {
        let take = || queue.turn(Class::Stranger(0)).now_or_never();
        (0..RUNNING).map(|_| take().expect("at once").expect("a turn")).collect()
    }

    // covers: http.auth.few-at-a-time
    #[tokio::test(start_paused = true)]
    async fn a_few_run_and_some_more_wait_for_a_while() {
        let queue = Queue::new();
        let running = take_all(&queue);
        let waiting: Vec<_> = (0..WAITING).map(|_| waits(&queue, Class::Stranger(0))).collect();
        assert!(queue.turn(Class::Stranger(0)).await.is_none());
        for one in waiting {
            assert!(one.await.is_none(), "nobody waits for ever");
        }
        // Those who gave up hold no place, and get no turn.
        drop(waits(&queue, Class::Known));
        drop(waits(&queue, Class::Stranger(0)));
        drop(running);
        assert_eq!(queue.free(), RUNNING);
    }

    // covers: http.auth.strangers-last
    #[tokio::test]
    async fn strangers_are_in_nobodys_way_who_is_known() {
        let queue = Queue::new();
        let mut running = take_all(&queue);
        let strangers: Vec<_> = (0..WAITING).map(|_| waits(&queue, Class::Stranger(0))).collect();
        let known: Vec<_> = (0..WAITING).map(|_| waits(&queue, Class::Known)).collect();
        assert!(queue.turn(Class::Known).await.is_none(), "these are bounded too");
        for one in known {
            drop(running.pop());
            running.push(one.now_or_never().expect("the next turn").expect("a turn"));
        }
        for one in strangers {
            drop(running.pop());
            running.push(one.now_or_never().expect("the next turn").expect("a turn"));
        }
    }

    #[tokio::test]
    async fn who_has_failed_less_goes_first_and_takes_a_place() {
        let queue = Queue::new();
        let mut running = take_all(&queue);
        let guesses = (1..=WAITING as u32).map(|n| waits(&queue, Class::Stranger(n)));
        let mut guesses: Vec<_> = guesses.collect();
        assert!(
            queue.turn(Class::Stranger(WAITING as u32)).await.is_none(),
            "no better than the last"
        );
        let fresh = waits(&queue, Class::Stranger(0));
        let worst = guesses.pop().expect("one");
        assert!(worst.now_or_never().expect("told at once").is_none());
        for one in std::iter::once(fresh).chain(guesses) {
            drop(running.pop());
            running.push(one.now_or_never().expect("the next turn").expect("a turn"));
        }
    }

    #[tokio::test]
    async fn a_turn_that_nobody_takes_is_passed_on() {
        let queue = Queue::new();
        let mut running = take_all(&queue);
        let first = waits(&queue, Class::Known);
        let second = waits(&queue, Class::Known);
        drop(running.pop());
        // It has its turn, and goes away before it knows.
        drop(first);
        assert!(second.now_or_never().expect("the next turn").is_some());
    }
}
