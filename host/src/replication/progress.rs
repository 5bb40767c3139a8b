//! How far the reconciler is, and who waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use crate::capabilities::{ReplicationError, TableName};

/// How something is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum State {
    /// It is being seen to, or about to be.
    #[default]
    Pending,
    /// It matched, when somebody began to look at this moment.
    Matched(Instant),
    /// It did not.
    Failed(Instant, String),
}

impl State {
    fn began(&self) -> Option<Instant> {
        match self {
            Self::Pending => None,
            Self::Matched(began) | Self::Failed(began, _) => Some(*began),
        }
    }
}

/// How this node's streams are: `Failed` when its server could not be asked.
#[derive(Debug, Default)]
pub(super) struct OwnProgress {
    pub(super) state: State,
    /// When the records were last seen to have changed: what began before knows nothing of that.
    pub(super) changed: Option<Instant>,
    /// Tables whose streams could not be made or removed, and why.
    pub(super) failed: BTreeMap<TableName, String>,
}

/// How the durable consumers on one other node are.
#[derive(Debug, Default)]
pub(super) struct NodeProgress {
    pub(super) state: State,
    /// Tables whose streams it needs of this node; none when it has no record.
    pub(super) publish: Option<Arc<BTreeSet<TableName>>>,
}

/// How all is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// So many changes of records were read; none before the first.
    pub(super) seen: Option<u64>,
    pub(super) own: OwnProgress,
    pub(super) nodes: BTreeMap<String, NodeProgress>,
}

/// What somebody wants to be looked at.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) own: bool,
    pub(super) nodes: BTreeSet<String>,
}

/// Between the task and those who ask it.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) progress: watch::Sender<Progress>,
    pub(super) wake: Notify,
    asked: Mutex<Asked>,
    /// Streams that stay without a record, and how many leases there are of each.
    leases: Mutex<BTreeMap<TableName, usize>>,
    /// Streams that this node is to have, since before the first of them was made; none before the
    /// records were read.
    streams: Mutex<Option<BTreeSet<TableName>>>,
}

/// Streams that stay until this is dropped: of an operation which is about to write a record that
/// names them.
#[derive(Debug)]
pub(super) struct Lease {
    shared: Arc<Shared>,
    tables: Vec<TableName>,
}

/// Whether what a node needs is there.
enum Settled {
    /// It is there.
    Yes,
    /// It is not, and why.
    No(String),
    /// It was there before; which of it nobody has looked at since.
    Stale { own: bool, node: bool },
    /// It is not known yet.
    Pending,
}

impl Shared {
    pub(super) fn take_asked(&self) -> Asked {
        std::mem::take(&mut *lock(&self.asked))
    }

    /// Streams that are to be there without a record.
    pub(super) fn leased(&self) -> BTreeSet<TableName> {
        lock(&self.leases).keys().cloned().collect()
    }

    pub(super) fn is_leased(&self, table: &TableName) -> bool {
        lock(&self.leases).contains_key(table)
    }

    /// These streams are about to be made, and others to go.
    pub(super) fn begin_streams(&self, wanted: &BTreeSet<TableName>) {
        *lock(&self.streams) = Some(wanted.clone());
    }

    /// Whether this node is to have a stream of the table, if that is known.
    pub(super) fn has_stream(&self, table: &TableName) -> Option<bool> {
        Some(lock(&self.streams).as_ref()?.contains(table))
    }

    pub(super) fn ask(&self, own: bool, node: Option<&str>) {
        let mut asked = lock(&self.asked);
        asked.own |= own;
        asked.nodes.extend(node.map(str::to_owned));
        drop(asked);
        self.wake.notify_one();
    }

    /// Waits until what a node needs is there, by its record after so many changes.
    pub(super) async fn settle(
        &self,
        node: &str,
        changes: u64,
        end: Instant,
    ) -> Result<(), ReplicationError> {
        let mut progress = self.progress.subscribe();
        // What was found before may not be so any more: the other node may have removed a stream and
        // made it anew, and with it this node's durable consumer is gone.
        let fresh = Instant::now();
        let mut last = None;
        let mut asked = false;
        loop {
            let settled = progress.borrow_and_update().settled(node, changes, fresh);
            match settled {
                Settled::Yes => return Ok(()),
                Settled::Stale { own, node: of_node } => self.ask(own, of_node.then_some(node)),
                Settled::Pending => {}
                Settled::No(text) => {
                    // Nobody waits for its next turn; should it fail again, that is a longer one.
                    if !std::mem::replace(&mut asked, true) {
                        self.ask(true, Some(node));
                    }
                    last = Some(text);
                }
            }
            match timeout_at(end, progress.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => {
                    return Err(ReplicationError::Unavailable("The node is stopping".into()));
                }
                Err(_) => {
                    let text =
                        last.unwrap_or_else(|| format!("Node '{node}' was not seen to in time"));
                    return Err(ReplicationError::Unsettled(text));
                }
            }
        }
    }
}

impl Lease {
    pub(super) fn take(shared: Arc<Shared>, tables: Vec<TableName>) -> Self {
        let mut leases = lock(&shared.leases);
        for table in &tables {
            *leases.entry(table.clone()).or_default() += 1;
        }
        drop(leases);
        Self { shared, tables }
    }

    /// Waits until there are streams for these tables.
    pub(super) async fn streams_are_there(&self, end: Instant) -> Result<(), ReplicationError> {
        if self.tables.is_empty() {
            return Ok(());
        }
        let mut progress = self.shared.progress.subscribe();
        // Whatever begins from now on knows of the lease.
        let asked = Instant::now();
        self.shared.ask(true, None);
        loop {
            let problem = {
                let now = progress.borrow_and_update();
                let is_answer = now.own.state.began().is_some_and(|began| began >= asked);
                match &now.own.state {
                    State::Matched(_) if is_answer => {
                        let failed = self.tables.iter().find_map(|table| now.own.failed.get(table));
                        return match failed {
                            None => Ok(()),
                            Some(text) => Err(ReplicationError::Unavailable(text.clone())),
                        };
                    }
                    State::Failed(_, text) => text.clone(),
                    _ => "The streams were not made in time".into(),
                }
            };
            match timeout_at(end, progress.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => {
                    return Err(ReplicationError::Unavailable("The node is stopping".into()));
                }
                Err(_) => return Err(ReplicationError::Unavailable(problem)),
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut leases = lock(&self.shared.leases);
        for table in &self.tables {
            if let Some(count) = leases.get_mut(table) {
                *count -= 1;
                if *count == 0 {
                    leases.remove(table);
                }
            }
        }
        drop(leases);
        // What no record names by now goes.
        if !self.tables.is_empty() {
            self.shared.ask(true, None);
        }
    }
}

impl Progress {
    fn settled(&self, node: &str, changes: u64, fresh: Instant) -> Settled {
        if self.seen.is_none_or(|seen| seen < changes) {
            return Settled::Pending;
        }
        let of_node = self.nodes.get(node);
        let publish = of_node.and_then(|of_node| of_node.publish.as_deref());
        let is_old = self.own.state.began() < self.own.changed;
        let states = [Some(&self.own.state), of_node.map(|of_node| &of_node.state)];
        let mut is_pending = is_old;
        let mut stale = [false; 2];
        for (state, stale) in states.into_iter().zip(&mut stale) {
            match state {
                Some(State::Failed(_, text)) => return Settled::No(text.clone()),
                Some(State::Pending) => is_pending = true,
                Some(State::Matched(began)) => *stale = *began < fresh,
                None => {}
            }
        }
        let settled = match stale {
            _ if is_pending => Settled::Pending,
            [false, false] => Settled::Yes,
            [own, node] => Settled::Stale { own, node },
        };
        // Without a record it is not known whose those were that could not be removed.
        let is_concerned =
            |table: &TableName| publish.is_none_or(|publish| publish.contains(table));
        match self.own.failed.iter().find(|(table, _)| is_concerned(table)) {
            Some((_, text)) if !matches!(settled, Settled::Pending) => Settled::No(text.clone()),
            _ => settled,
        }
    }
}

impl OwnProgress {
    /// What is the matter with this node's streams.
    pub(super) fn problem(&self) -> Option<String> {
        match &self.state {
            State::Failed(_, text) => Some(text.clone()),
            _ => self.failed.values().next().cloned(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
