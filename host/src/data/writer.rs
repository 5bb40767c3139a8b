//! The one thread that writes.
//!
//! All requests that wait when it is free are carried out in one transaction of the file and made
//! durable by one commit, each whole or not at all: sixteen clients pay for one fsync, not for
//! sixteen. A reply goes out after the commit.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::catalog::Catalog;
use super::dead::Letters;
use super::error::Error;
use super::layout;
use super::limits::DataLimits;
use super::transaction::{State, Transaction};
use super::version::WallClock;
use crate::store::Store;

/// How many requests may wait for a place in a group.
const WAITING: usize = 512;
/// How long one waits for a place; nothing was done then.
const PLACE: Duration = Duration::from_secs(10);
/// How long one waits in all.
const ANSWER: Duration = Duration::from_secs(60);
/// Requests, and rows, after which a group is committed though more are waiting: whoever came first
/// shall not wait for all who came after.
const REQUESTS: usize = 256;
const ROWS: usize = 20_000;
/// How long requests are carried out before the group is committed, for the same reason: a few rows
/// may have many bytes. What is left is the next group.
const LONGEST: Duration = Duration::from_secs(1);

/// What the writer shares with readers, as of the last commit.
#[derive(Default)]
pub(super) struct Shared {
    catalog: RwLock<Arc<Catalog>>,
    /// The last sequence in the log.
    pub sequence: watch::Sender<u64>,
    /// How many messages are laid aside.
    pub letters: watch::Sender<Letters>,
}

impl Shared {
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn publish(&self, catalog: &Catalog, state: &State) {
        let catalog = Arc::new(catalog.clone());
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = catalog;
        self.sequence.send_replace(state.sequence);
        self.letters.send_if_modified(|letters| {
            let is_other = !Arc::ptr_eq(letters, &state.letters);
            letters.clone_from(&state.letters);
            is_other
        });
    }
}

/// The way to the thread. The thread ends when this is dropped and all requests are answered.
pub(super) struct Writer {
    requests: mpsc::Sender<Box<dyn Request>>,
    /// Closed when the thread has ended.
    ended: watch::Receiver<()>,
}

/// Something to carry out in a group.
trait Request: Send {
    /// How many rows it is about.
    fn weight(&self) -> usize;
    /// Carries it out. A refused request is none that failed; after a failure nothing of the
    /// transaction may be kept.
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Error>;
    /// Answers it, once the transaction is durable or has failed.
    fn answer(self: Box<Self>, committed: Result<(), Error>);
}

struct Job<T, F> {
    weight: usize,
    work: Option<F>,
    result: Option<Result<T, Error>>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<T, F> Request for Job<T, F>
where
    T: Send,
    F: FnOnce(&mut Transaction<'_>) -> Result<T, Error> + Send,
{
    fn weight(&self) -> usize {
        self.weight
    }

    fn run(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Error> {
        // Whoever has gone away was told nothing, and need not get what they asked for.
        let Some(work) = self.work.take().filter(|_| !self.reply.is_closed()) else {
            return Ok(());
        };
        match work(transaction) {
            Err(error) if error.is_of_store() => Err(error),
            result => {
                self.result = Some(result);
                Ok(())
            }
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), Error>) {
        let answer = match (self.result, committed) {
            // A refused one too: what it met may have been another one's change.
            (_, Err(failed)) => Err(failed),
            (Some(done), Ok(())) => done,
            (None, Ok(())) => Err(Error::Lost),
        };
        // Nobody may be waiting any more.
        let _ = self.reply.send(answer);
    }
}

impl Writer {
    /// Starts the thread, once it has read what the file says.
    pub async fn start(
        store: Store,
        limits: Arc<DataLimits>,
        node: String,
        clock: WallClock,
    ) -> Result<(Writer, Arc<Shared>), Error> {
        let (requests, waiting) = mpsc::channel(WAITING);
        let (alive, ended) = watch::channel(());
        let (ready, started) = oneshot::channel();
        let run = move || {
            let shared = Arc::new(Shared::default());
            let mut thread = Thread { store, limits, node, clock, shared, known: None };
            let began = thread.read();
            let is_fine = began.is_ok();
            let _ = ready.send(began.map(|()| thread.shared.clone()));
            if is_fine {
                thread.serve(waiting);
            }
            // The file is closed before anyone is told.
            drop(thread);
            drop(alive);
        };
        std::thread::Builder::new().name("data-writer".into()).spawn(run).map_err(|error| {
            tracing::error!("the thread that writes cannot be started: {error}");
            Error::Failed
        })?;
        let shared = started.await.map_err(|_| Error::Lost)??;
        Ok((Writer { requests, ended }, shared))
    }

    /// Has `work` carried out; it is durable when this returns. `weight` is how many rows it is
    /// about.
    pub async fn ask<T, F>(&self, weight: usize, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_>) -> Result<T, Error> + Send + 'static,
    {
        let now = Instant::now();
        let (reply, answer) = oneshot::channel();
        let place = timeout_at(now + PLACE, self.requests.reserve()).await;
        let place = place.map_err(|_| Error::Busy)?.map_err(|_| Error::Lost)?;
        place.send(Box::new(Job { weight, work: Some(work), result: None, reply }));
        match timeout_at(now + ANSWER, answer).await {
            Ok(answer) => answer.unwrap_or(Err(Error::Lost)),
            Err(_) => Err(Error::Late),
        }
    }

    /// Resolves when the thread has ended.
    pub fn ended(&self) -> watch::Receiver<()> {
        self.ended.clone()
    }
}

/// What the thread owns.
struct Thread {
    store: Store,
    limits: Arc<DataLimits>,
    node: String,
    clock: WallClock,
    shared: Arc<Shared>,
    /// What the file says; none when that is not known, after a commit that has failed.
    known: Option<(Catalog, State)>,
}

impl Thread {
    fn serve(&mut self, mut waiting: mpsc::Receiver<Box<dyn Request>>) {
        let mut group = VecDeque::new();
        loop {
            if group.is_empty() {
                let Some(first) = waiting.blocking_recv() else { return };
                group.push_back(first);
            }
            let mut rows: usize = group.iter().map(|request| request.weight()).sum();
            while group.len() < REQUESTS && rows < ROWS {
                let Ok(next) = waiting.try_recv() else { break };
                rows += next.weight();
                group.push_back(next);
            }
            let requests = group.make_contiguous();
            let mut done = 0;
            // A bug in one request must not end all writing.
            let committed = catch_unwind(AssertUnwindSafe(|| self.commit(requests, &mut done)));
            let committed = committed.unwrap_or_else(|_| {
                tracing::error!("a request made the thread that writes panic");
                Err(Error::Lost)
            });
            if committed.is_err() {
                self.known = None;
            }
            // All of them, if not one was begun.
            let answered = if done == 0 { group.len() } else { done };
            for request in group.drain(..answered) {
                request.answer(committed.clone());
            }
        }
    }

    /// Carries a group out, or as many of it as there is time for, and commits it. `done` is how
    /// many were begun.
    fn commit(&mut self, group: &mut [Box<dyn Request>], done: &mut usize) -> Result<(), Error> {
        if self.known.is_none() {
            self.read()?;
        }
        let Some((catalog, state)) = &self.known else { return Err(Error::Lost) };
        let (limits, here) = (&*self.limits, (&*self.node, &self.clock));
        let known = self.store.write_here(|redb| {
            let mut transaction =
                Transaction::new(redb, catalog.clone(), state.clone(), limits, here);
            let began = Instant::now();
            for request in group {
                *done += 1;
                request.run(&mut transaction)?;
                if began.elapsed() >= LONGEST {
                    break;
                }
            }
            let is_changed = transaction.finish()?;
            Ok::<_, Error>(((transaction.catalog, transaction.state), is_changed))
        })?;
        self.shared.publish(&known.0, &known.1);
        self.known = Some(known);
        Ok(())
    }

    /// Reads what the file says, and makes what is missing there.
    fn read(&mut self) -> Result<(), Error> {
        let known = self.store.write_here(|redb| {
            layout::make(redb)?;
            let known = (Catalog::read(redb)?, State::read(redb)?);
            Ok::<_, Error>((known, true))
        })?;
        self.shared.publish(&known.0, &known.1);
        self.known = Some(known);
        Ok(())
    }
}
