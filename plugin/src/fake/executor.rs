//! Runs tasks one after the other, in an order that a seed decides, by a clock that jumps to the next
//! moment at which something is waited for.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A moment, in nanoseconds.
pub(crate) type Moment = u64;

/// One second.
pub(crate) const SECOND: Moment = 1_000_000_000;

/// Whether a task is to go on, and until when.
#[derive(Debug)]
pub(crate) struct Life {
    /// Whose it is.
    pub(crate) owner: String,
    /// It is dropped when this is so.
    pub(crate) is_ended: Cell<bool>,
    /// It is dropped then.
    pub(crate) end: Moment,
}

struct Task {
    life: std::rc::Rc<Life>,
    future: Pin<Box<dyn Future<Output = ()>>>,
    ready: Arc<Ready>,
}

struct Ready(AtomicBool);

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(crate) struct Executor {
    now: Cell<Moment>,
    chance: Cell<u64>,
    tasks: RefCell<Vec<Task>>,
    timers: RefCell<BTreeMap<(Moment, u64), Waker>>,
    next_timer: Cell<u64>,
}

impl Executor {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Cell::new(SECOND),
            chance: Cell::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            tasks: RefCell::default(),
            timers: RefCell::default(),
            next_timer: Cell::default(),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.now.get()
    }

    pub(crate) fn pass(&self, time: Moment) {
        self.now.set(self.now.get() + time);
    }

    /// A number below `below` (xorshift).
    pub(crate) fn random(&self, below: u64) -> u64 {
        let mut chance = self.chance.get();
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        self.chance.set(chance);
        (chance >> 11) % below.max(1)
    }

    pub(crate) fn spawn(
        &self,
        life: std::rc::Rc<Life>,
        future: impl Future<Output = ()> + 'static,
    ) {
        let ready = Arc::new(Ready(AtomicBool::new(true)));
        self.tasks.borrow_mut().push(Task { life, future: Box::pin(future), ready });
    }

    /// Ends all tasks of one owner.
    pub(crate) fn end_all_of(&self, owner: &str) {
        for task in self.tasks.borrow().iter().filter(|task| task.life.owner == owner) {
            task.life.is_ended.set(true);
        }
    }

    /// Lets the others go first, perhaps.
    pub(crate) async fn yield_now(&self) {
        let mut is_first = true;
        poll_fn(|context| {
            if std::mem::take(&mut is_first) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Waits until that moment.
    pub(crate) async fn until(&self, moment: Moment) {
        poll_fn(|context| self.poll_until(moment, context)).await;
    }

    pub(crate) fn poll_until(&self, moment: Moment, context: &mut Context<'_>) -> Poll<()> {
        if self.now() >= moment {
            return Poll::Ready(());
        }
        let timer = self.next_timer.get();
        self.next_timer.set(timer + 1);
        self.timers.borrow_mut().insert((moment, timer), context.waker().clone());
        Poll::Pending
    }

    /// Runs all tasks until none is left, or none has anything to wait for.
    pub(crate) fn run(&self) {
        while self.run_a_step() {}
    }

    /// Runs one task until it waits, or goes on to the next moment. False when nothing is left to do.
    pub(crate) fn run_a_step(&self) -> bool {
        let task = {
            let mut tasks = self.tasks.borrow_mut();
            tasks.retain(|task| !task.life.is_ended.get() && self.now() < task.life.end);
            let is_ready = |i: &usize| tasks[*i].ready.0.load(Ordering::Relaxed);
            let ready: Vec<_> = (0..tasks.len()).filter(is_ready).collect();
            (!ready.is_empty()).then(|| {
                let chosen = ready[self.random(ready.len() as u64) as usize];
                tasks.swap_remove(chosen)
            })
        };
        let Some(mut task) = task else {
            return !self.tasks.borrow().is_empty() && self.jump();
        };
        task.ready.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(task.ready.clone());
        if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.tasks.borrow_mut().push(task);
        }
        true
    }

    /// Goes to the next moment at which something happens, if there is one.
    fn jump(&self) -> bool {
        let Some(((moment, _), waker)) = self.timers.borrow_mut().pop_first() else {
            // Whoever waits for nothing ends when its time is over.
            let end = self.tasks.borrow().iter().map(|task| task.life.end).min();
            let end = end.filter(|end| *end < Moment::MAX);
            self.now.set(end.unwrap_or_else(|| self.now()).max(self.now()));
            return end.is_some();
        };
        self.now.set(self.now().max(moment));
        waker.wake();
        true
    }
}
