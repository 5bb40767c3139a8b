//! What keeps the flow going: one task that publishes, one for each subscription.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::bus::Bus;
use super::ingest::{How, Ingest, IngestError, Step, Subscription};
use super::publish::{PublishError, Published, Publisher};
use super::subscriptions::Subscriptions;
use crate::capabilities::TableName;
use crate::data::Data;
use crate::figures::Figures;
use crate::store::Start;

/// The first wait after something did not work. It doubles.
const SOON: Duration = Duration::from_millis(50);
/// The longest.
const LATER: Duration = Duration::from_secs(2);
/// For so long at most what was published stays in the log while little else is.
const TRIM: Duration = Duration::from_secs(1);
/// What is held is looked at this often at least: the clock may be set.
const HELD: Duration = Duration::from_secs(1);
/// For what is not published yet when the node stops.
const REST: Duration = Duration::from_secs(3);

/// Waits longer each time, until something works.
#[derive(Default)]
struct Backoff(Duration);

impl Backoff {
    fn next(&mut self) -> Duration {
        self.0 = (self.0 * 2).clamp(SOON, LATER);
        self.0
    }

    fn reset(&mut self) {
        self.0 = Duration::ZERO;
    }
}

/// Says what is the matter, once, and that it is over.
#[derive(Default)]
struct Trouble(Option<String>);

impl Trouble {
    fn is(&mut self, text: String, tell: impl FnOnce(&str)) {
        if self.0.as_ref() != Some(&text) {
            tell(&text);
            self.0 = Some(text);
        }
    }

    fn is_over(&mut self, tell: impl FnOnce()) {
        if self.0.take().is_some() {
            tell();
        }
    }
}

/// Publishes until it is told to stop, and then for a while what is left.
pub(super) async fn publish<B: Bus>(
    data: Data,
    mut publisher: Publisher<B>,
    figures: Arc<Figures>,
    mut stop: watch::Receiver<bool>,
) {
    let mut changes = data.last_change();
    let (mut backoff, mut trouble) = (Backoff::default(), Trouble::default());
    let mut untrimmed: Option<Instant> = None;
    while !*stop.borrow() {
        changes.mark_unchanged();
        let wait = match publisher.step().await {
            Ok(published) => {
                backoff.reset();
                trouble.is_over(|| tracing::info!("changes are published again"));
                if publisher.is_untrimmed() {
                    untrimmed.get_or_insert_with(Instant::now);
                }
                let is_due = untrimmed.is_some_and(|since| since.elapsed() >= TRIM);
                if is_due || publisher.should_trim() {
                    match publisher.trim().await {
                        Ok(()) => untrimmed = None,
                        Err(error) => tracing::warn!("the change log was not trimmed: {error}"),
                    }
                }
                if published == Published::Some {
                    continue;
                }
                // What is committed from the mark on wakes this.
                let end = untrimmed.map_or(LATER, |since| TRIM.saturating_sub(since.elapsed()));
                let end = publisher.until_again().map_or(end, |again| end.min(again));
                tokio::select! {
                    _ = changes.changed() => continue,
                    _ = stop.changed() => continue,
                    () = sleep(end) => continue,
                }
            }
            // It is a matter of moments.
            Err(PublishError::TooEarly) => SOON,
            Err(error) => {
                figures.outbox().count_failure();
                trouble.is(error.to_string(), |text| {
                    tracing::warn!("changes wait in the log: {text}");
                });
                backoff.next()
            }
        };
        let _ = timeout(wait, stop.changed()).await;
    }
    let end = Instant::now() + REST;
    while let Ok(Ok(Published::Some)) = timeout_at(end, publisher.step()).await {}
    if let Ok(Err(error)) = timeout(REST, publisher.trim()).await {
        tracing::warn!("the change log was not trimmed: {error}");
    }
}

/// Has a task for each table that this node has subscribed to.
pub(super) async fn ingest<B: Bus>(
    data: Data,
    bus: Arc<B>,
    how: How,
    mut subscriptions: Subscriptions,
    figures: Arc<Figures>,
) {
    // All of them end with this.
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<(String, TableName), Running> = BTreeMap::new();
    let mut backoff = Backoff::default();
    loop {
        let changed = tokio::select! {
            changed = subscriptions.changed() => changed,
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Err(error) = ended && !error.is_cancelled() {
                    tracing::error!("a subscription's task has ended: {error}");
                    running.retain(|_, one| !one.task.is_finished());
                    sleep(backoff.next()).await;
                }
                Ok(true)
            }
        };
        match changed {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::error!("the records of nodes cannot be read: {error}");
                sleep(backoff.next()).await;
                continue;
            }
        }
        let mut wanted = BTreeMap::new();
        for (node, of) in subscriptions.now() {
            let tables: Arc<BTreeSet<_>> = Arc::new(of.subscribe.keys().cloned().collect());
            for (table, start) in &of.subscribe {
                wanted.insert((node.clone(), table.clone()), (start.clone(), tables.clone()));
            }
        }
        running.retain(|of, one| {
            let stays = wanted.get(of) == Some(&(one.start.clone(), one.tables.clone()));
            if !stays {
                one.task.abort();
            }
            if !wanted.contains_key(of) {
                figures.forget(&of.0, &of.1);
            }
            stays
        });
        for (of, (start, tables)) in wanted {
            if running.contains_key(&of) {
                continue;
            }
            let (source, table) = of.clone();
            let figures = figures.subscription(&source, &table);
            let subscription =
                Subscription { source, table, start: start.clone(), tables: tables.clone() };
            let ingest = Ingest::new(data.clone(), bus.clone(), how.clone(), subscription, figures);
            let task = tasks.spawn(apply(ingest));
            running.insert(of, Running { start, tables, task });
        }
    }
}

struct Running {
    start: Start,
    tables: Arc<BTreeSet<TableName>>,
    task: AbortHandle,
}

/// Applies one stream, for ever.
async fn apply<B: Bus>(mut ingest: Ingest<B>) {
    let (mut backoff, mut trouble) = (Backoff::default(), Trouble::default());
    let mut is_anew = true;
    loop {
        match ingest.step().await {
            Ok(step) => {
                backoff.reset();
                is_anew = false;
                let (node, table) = ingest.of();
                trouble.is_over(|| tracing::info!(node, %table, "changes come again"));
                if let Step::Held(wait) = step {
                    sleep(wait.min(HELD)).await;
                }
            }
            Err(error) => {
                let (node, table) = ingest.of();
                trouble.is(error.to_string(), |text| match &error {
                    IngestError::Data(_) => tracing::error!(node, %table, "{text}"),
                    _ => tracing::info!(node, %table, "changes do not come at the moment: {text}"),
                });
                // Where it went well before, it is looked at anew at once.
                if std::mem::replace(&mut is_anew, true) {
                    sleep(backoff.next()).await;
                }
            }
        }
    }
}
