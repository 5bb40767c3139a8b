//! When what is seen to: at each change of a record, when a server is back, when somebody asks, and
//! again and again what does not match.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::counted::Counted;
use super::own::{self, Own, StreamLimits};
use super::progress::{NodeProgress, Shared, State};
use super::remote::{self, Remote};
use super::wanted::{NodeRecord, Wanted};
use crate::capabilities::{TableName, is_stream_name};
use crate::nats::{Nats, ServerKind, ServerState};
use crate::store::{Durables, Store};

/// The first wait until what did not match is tried again. It doubles.
const SOON: Duration = Duration::from_millis(100);
/// The longest.
const LATER: Duration = Duration::from_secs(10);
/// When what matches is looked at once more after a change: the other node may have been about to
/// remove a stream and to make it anew, and a durable goes with its stream.
const ONCE_MORE: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];
/// For so long a stream that is not there yet is no failure: the operation that shares its table may be
/// under way.
pub(crate) const BEING_MADE: Duration = Duration::from_secs(5);
/// Nodes that are worked on at the same time, of those that answer.
const PLACES: usize = 64;

pub(super) struct Task {
    store: Store,
    nats: Nats,
    limits: StreamLimits,
    shared: Arc<Shared>,
    counted: Arc<Counted>,
    changes: watch::Receiver<u64>,
    hub: watch::Receiver<ServerState>,
    leaf: watch::Receiver<ServerState>,
    places: Arc<Semaphore>,
    running: JoinSet<Done>,
    /// Reading the records.
    records: Turn,
    own: Turn,
    /// Nodes that have a record, or durables that are remembered.
    nodes: BTreeMap<String, Node>,
}

/// A node, as far as it is known here.
#[derive(Default)]
struct Node {
    record: Option<Known>,
    durables: Durables,
    turn: Turn,
    present: usize,
    /// When its record was changed last.
    changed: Option<Instant>,
    /// What the log says that is the matter.
    told: Option<String>,
}

/// A record.
struct Known {
    revision: u64,
    /// None of one that cannot be read: nothing is made or removed for it.
    wanted: Option<Arc<Wanted>>,
}

/// When something is seen to.
#[derive(Default)]
struct Turn {
    is_due: bool,
    is_running: bool,
    again: Option<Instant>,
    wait: Duration,
    /// How many of [`ONCE_MORE`] are still to come.
    once_more: usize,
}

enum Done {
    Own(Instant, own::Result),
    Node(Instant, String, remote::Result),
}

impl Turn {
    /// As soon as possible.
    fn now(&mut self) {
        self.is_due = true;
        self.wait = Duration::ZERO;
    }

    /// The same after a change, which may not be over yet.
    fn changed(&mut self) {
        self.now();
        self.once_more = ONCE_MORE.len();
    }

    /// Takes its turn, if it is its turn.
    fn take(&mut self) -> bool {
        let now = Instant::now();
        let is_due = self.is_due || self.again.is_some_and(|again| again <= now);
        if self.is_running || !is_due {
            return false;
        }
        (self.is_due, self.again, self.is_running) = (false, None, true);
        true
    }

    /// What was begun is done; what did not match is tried again.
    fn end(&mut self, matches: bool) {
        self.is_running = false;
        self.wait = if matches { Duration::ZERO } else { (self.wait * 2).clamp(SOON, LATER) };
        let once_more = ONCE_MORE.get(ONCE_MORE.len() - self.once_more).copied();
        let after = if matches { once_more } else { Some(self.wait) };
        if matches {
            self.once_more = self.once_more.saturating_sub(1);
        }
        self.again = after.map(|after| Instant::now() + after);
    }

    fn next(&self) -> Option<Instant> {
        if self.is_running { None } else { self.again }
    }
}

impl Task {
    pub(super) fn new(
        store: Store,
        nats: Nats,
        limits: StreamLimits,
        shared: Arc<Shared>,
        counted: Arc<Counted>,
        durables: BTreeMap<String, Durables>,
    ) -> Self {
        let node = |(name, durables)| (name, Node { durables, ..Node::default() });
        let due = || Turn { is_due: true, ..Turn::default() };
        Self {
            changes: store.node_changes(),
            hub: nats.state(ServerKind::Hub),
            leaf: nats.state(ServerKind::Leaf),
            places: Arc::new(Semaphore::new(PLACES)),
            running: JoinSet::new(),
            records: due(),
            own: due(),
            nodes: durables.into_iter().map(node).collect(),
            store,
            nats,
            limits,
            shared,
            counted,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            // Before anything is taken for garbage: whoever has ended a lease has written its record.
            if self.changes.has_changed().unwrap_or(false) {
                self.records.now();
            }
            if self.records.take() {
                let is_read = self.read_records().await;
                self.records.end(is_read);
            }
            // Until the records are known, nothing is known to be garbage.
            if self.shared.progress.borrow().seen.is_some() {
                self.begin();
            }
            let shared = self.shared.clone();
            let next = self.next_turn();
            tokio::select! {
                // The sender is in the store, which this has.
                _ = self.changes.changed() => self.records.now(),
                Some(done) = self.running.join_next() => self.end(done),
                () = shared.wake.notified() => self.asked(),
                is_back = is_back(&mut self.leaf) => match is_back {
                    true => self.all(),
                    false => return,
                },
                is_back = is_back(&mut self.hub) => match is_back {
                    true => self.failed_ones(),
                    false => return,
                },
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }

    /// When something is tried again.
    fn next_turn(&self) -> Option<Instant> {
        let turns = self.nodes.values().map(|node| &node.turn).chain([&self.own, &self.records]);
        turns.filter_map(Turn::next).min()
    }

    /// Somebody waits: what is being looked at already will do, for a node.
    fn asked(&mut self) {
        let asked = self.shared.take_asked();
        if asked.own {
            self.own.now();
        }
        for name in asked.nodes {
            if let Some(node) = self.nodes.get_mut(&name)
                && !node.turn.is_running
            {
                node.turn.now();
            }
        }
    }

    fn all(&mut self) {
        self.own.now();
        self.nodes.values_mut().for_each(|node| node.turn.changed());
    }

    fn failed_ones(&mut self) {
        let turns = self.nodes.values_mut().map(|node| &mut node.turn).chain([&mut self.own]);
        turns.filter(|turn| turn.again.is_some()).for_each(Turn::now);
    }

    async fn read_records(&mut self) -> bool {
        let seen = *self.changes.borrow_and_update();
        let revision =
            |(name, node): (&String, &Node)| Some((name.clone(), node.record.as_ref()?.revision));
        let known = self.nodes.iter().filter_map(revision).collect();
        let changes = match self.store.nodes_changed::<NodeRecord>(known).await {
            Ok(changes) => changes,
            Err(error) => {
                tracing::error!("the records of nodes cannot be read: {error}");
                return false;
            }
        };
        let is_change = !changes.written.is_empty() || !changes.removed.is_empty();
        let mut changed = changes.removed.clone();
        for name in changes.removed {
            if let Some(node) = self.nodes.get_mut(&name) {
                node.record = None;
            }
        }
        for (name, revision, record) in changes.written {
            if name == self.nats.node_name() {
                continue;
            }
            let wanted = match record {
                Ok(record) => Some(Arc::new(Wanted::of(record))),
                Err(error) => {
                    tracing::error!(node = name, "the node's record is none: {error}");
                    None
                }
            };
            self.nodes.entry(name.clone()).or_default().record = Some(Known { revision, wanted });
            changed.push(name);
        }
        if self.shared.progress.borrow().seen.is_none() {
            // Those too that have durables and no record.
            changed = self.nodes.keys().cloned().collect();
        }
        for name in &changed {
            if let Some(node) = self.nodes.get_mut(name) {
                node.turn.changed();
                node.changed = Some(Instant::now());
            }
        }
        if is_change {
            self.own.now();
        }
        self.count();
        // Whoever reads that the records are seen reads that what follows from them is not.
        self.shared.progress.send_modify(|progress| {
            progress.seen = Some(seen);
            if is_change {
                progress.own.changed = Some(Instant::now());
            }
            for name in changed {
                let Some(node) = self.nodes.get(&name) else { continue };
                let publish = node.publish();
                progress.nodes.insert(name, NodeProgress { state: State::Pending, publish });
            }
        });
        true
    }

    /// Begins whatever has its turn.
    fn begin(&mut self) {
        let began = Instant::now();
        if self.own.take() {
            self.begin_own(began);
        }
        for (name, node) in &mut self.nodes {
            if !node.turn.take() {
                continue;
            }
            let wanted = match &node.record {
                None => BTreeMap::new(),
                Some(Known { wanted: Some(wanted), .. }) if is_stream_name(name) => {
                    wanted.subscribe.clone()
                }
                Some(known) => {
                    let what = if known.wanted.is_some() { "name" } else { "record" };
                    let problem = Some(format!("The {what} of node '{name}' cannot be used"));
                    let remembered = node.durables.clone();
                    let result = remote::Result { problem, remembered, ..Default::default() };
                    let done = Done::Node(began, name.clone(), result);
                    self.running.spawn(std::future::ready(done));
                    continue;
                }
            };
            let remote = Remote {
                nats: self.nats.clone(),
                store: self.store.clone(),
                node: name.clone(),
                wanted,
                remembered: node.durables.clone(),
                places: self.places.clone(),
            };
            let name = name.clone();
            self.running.spawn(async move { Done::Node(began, name, remote.bring().await) });
        }
    }

    fn begin_own(&mut self, began: Instant) {
        let records = || self.nodes.values().filter_map(|node| node.record.as_ref());
        let mut wanted: BTreeSet<TableName> = records()
            .filter_map(|known| known.wanted.as_deref())
            .flat_map(|wanted| wanted.publish.iter().cloned())
            .collect();
        self.counted.streams_wanted.set(wanted.len() as i64);
        wanted.extend(self.shared.leased());
        // Before the first of them is made: what is written from then on is published.
        self.shared.begin_streams(&wanted);
        let own = Own {
            nats: self.nats.clone(),
            limits: self.limits,
            wanted,
            may_delete: records().all(|known| known.wanted.is_some()),
        };
        let shared = self.shared.clone();
        self.running.spawn(async move {
            Done::Own(began, own.bring(|table| shared.is_leased(table)).await)
        });
    }

    fn end(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Own(began, result)) => self.end_own(began, result),
            Ok(Done::Node(began, name, result)) => self.end_node(began, name, result),
            Err(error) => {
                // Which it was is not known. A panic is a bug; it must not stop the rest for good.
                tracing::error!("the flow between nodes was not seen to: {error}");
                self.own.end(false);
                self.nodes.values_mut().for_each(|node| node.turn.end(false));
            }
        }
    }

    fn end_own(&mut self, began: Instant, result: own::Result) {
        let matches = result.unreachable.is_none() && result.failed.is_empty();
        self.own.end(matches);
        if !matches {
            self.counted.failed("streams");
        }
        self.counted.streams_present.set(result.present as i64);
        let before = self.shared.progress.borrow().own.problem();
        self.shared.progress.send_modify(|progress| {
            progress.own.failed = result.failed;
            progress.own.state = match result.unreachable {
                Some(text) => State::Failed(began, text),
                // What failed does so by table.
                None => State::Matched(began),
            };
        });
        tell(None, before.as_deref(), self.shared.progress.borrow().own.problem().as_deref());
    }

    fn end_node(&mut self, began: Instant, name: String, result: remote::Result) {
        let Some(node) = self.nodes.get_mut(&name) else { return };
        let wrong = node.record.as_ref().and_then(|known| known.wanted.as_ref()?.wrong.clone());
        let problem = result.problem;
        node.turn.end(problem.is_none());
        (node.durables, node.present) = (result.remembered, result.present);
        let is_new = node.changed.is_some_and(|changed| changed.elapsed() < BEING_MADE);
        let is_early = result.is_early && is_new;
        if problem.is_some() && !is_early {
            self.counted.failed("durables");
        }
        let problem = problem.or(wrong);
        let is_over = node.record.is_none() && node.durables.is_empty() && problem.is_none();
        // Its record was changed meanwhile: this was about the one before.
        let is_due = node.turn.is_due;
        let publish = node.publish();
        if !is_early {
            tell(Some(&name), node.told.as_deref(), problem.as_deref());
            node.told.clone_from(&problem);
        }
        if is_over && !is_due {
            self.nodes.remove(&name);
        }
        // Whoever waits finds it counted.
        self.count();
        self.shared.progress.send_modify(|progress| {
            if is_over && !is_due {
                progress.nodes.remove(&name);
                return;
            }
            let state = match problem {
                _ if is_due => State::Pending,
                Some(text) => State::Failed(began, text),
                None => State::Matched(began),
            };
            progress.nodes.insert(name, NodeProgress { state, publish });
        });
    }

    fn count(&self) {
        let records = self.nodes.values().filter_map(|node| node.record.as_ref());
        let wanted = records.filter_map(|known| known.wanted.as_deref());
        let durables: usize = wanted.map(|wanted| wanted.subscribe.len()).sum();
        self.counted.durables_wanted.set(durables as i64);
        let present: usize = self.nodes.values().map(|node| node.present).sum();
        self.counted.durables_present.set(present as i64);
    }
}

impl Node {
    fn publish(&self) -> Option<Arc<BTreeSet<TableName>>> {
        let wanted = self.record.as_ref()?.wanted.as_ref();
        Some(Arc::new(wanted.map(|wanted| wanted.publish.clone()).unwrap_or_default()))
    }
}

/// Resolves when a server is up again; false when the servers are gone for good.
async fn is_back(state: &mut watch::Receiver<ServerState>) -> bool {
    loop {
        if state.changed().await.is_err() {
            return false;
        }
        if state.borrow_and_update().is_up() {
            return true;
        }
    }
}

/// Says what is the matter, once, and that it is over.
fn tell(node: Option<&str>, before: Option<&str>, now: Option<&str>) {
    match (before, now) {
        (before, Some(now)) if before != Some(now) => {
            tracing::warn!(node, "not all flows between nodes as it should: {now}");
        }
        (Some(_), None) => tracing::info!(node, "all flows as it should again"),
        _ => {}
    }
}
