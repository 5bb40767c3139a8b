//! Records replaced or removed on many nodes at the same time.

use std::collections::{HashMap, HashSet};

use futures_util::stream::{self, StreamExt};

use super::change::{agree, give_up, settle};
use super::intent::{Direction, Intent, StoredIntent, release_parts, under_way, wait_for_others};
use super::merge::{Origin, Starts};
use super::plan::{Plan, Tables};
use super::remove::remove_unnamed;
use super::request::{Change, Failure};
use super::{ATTEMPTS, Errand, REACH, TELL, merge, plan, request};
use crate::capabilities::{Capabilities, TablesError};
use crate::nodes::{NodeRecord, Stored};
use crate::operation::Error;
use crate::subscriptions::Wanted;

/// Nodes that are worked at at the same time.
const AT_ONCE: usize = 250;

/// A node of the new setup.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its name.
    pub node: String,
    /// What is shared with it, and nothing else.
    pub wanted: Vec<Wanted>,
}

/// What came of a connection.
#[derive(Debug, Clone)]
pub enum Configured {
    /// The subscriptions that were made, and those that were not.
    Done(Plan),
    /// None was made: no table of them is on either node. The node keeps its setup.
    NoTable(Plan),
    /// The node keeps its setup, and why.
    Failed(Error),
}

/// A node that is there, before anything is changed.
struct Reached {
    plan: Plan,
    system_info: serde_json::Value,
}

/// What is to be done with one node.
struct Step {
    node: String,
    /// What the change is called.
    change: String,
    /// None for a node that is removed.
    new: Option<New>,
    before: Option<NodeRecord>,
    revision: Option<String>,
    left: Option<StoredIntent>,
}

impl Step {
    /// Stores the intent.
    async fn intent<H: Capabilities>(
        &self,
        errand: &Errand<'_, H>,
        whole: &str,
    ) -> Result<String, TablesError> {
        let after = self.new.as_ref().map(|new| new.record.clone());
        let errand = errand.with(&self.node);
        let mut intent = Intent::new(&errand, Direction::Forward, self.before.clone(), after);
        intent.change.clone_from(&self.change);
        intent.part_of = Some(whole.into());
        if let Some(New { plan, .. }) = &self.new {
            intent.told = plan.told();
            intent.tables = plan.missing();
        }
        intent.put(errand.host, self.left.as_ref().map(|left| &*left.revision)).await
    }
}

/// A record that is replaced.
struct New {
    at: usize,
    record: NodeRecord,
    plan: Plan,
}

/// Replaces the whole setup. The errand's node is of no meaning. Fails as a whole, with nothing
/// changed, when no named node can be reached or one has a table with another primary key.
pub async fn replace<H: Capabilities>(
    errand: &Errand<'_, H>,
    connections: &[Connection],
) -> Result<Vec<Configured>, Error> {
    let reached = reach(errand, connections).await?;
    let failed = reached.iter().filter_map(|reached| reached.as_ref().err());
    if !connections.is_empty() && failed.clone().count() == connections.len() {
        let texts: Vec<_> = failed.map(Error::text).collect();
        return Err(Error::Failed(texts.join(". ")));
    }
    let is_nothing = |(connection, reached): (&Connection, &Result<Reached, Error>)| {
        let made = reached.as_ref().is_ok_and(|reached| !reached.plan.made.is_empty());
        !connection.wanted.is_empty() && !made
    };
    if !connections.is_empty() && connections.iter().zip(&reached).all(is_nothing) {
        // A typing error should not clear the setup.
        return Ok(reached.into_iter().map(nothing_made).collect());
    }

    for _ in 0..ATTEMPTS {
        if errand.time.is_over(errand.host) {
            break;
        }
        // There is one such operation at a time.
        wait_for_others(&errand.with(errand.own)).await?;
        let steps = prepare(errand, connections, &reached).await?;
        let whole = errand.change();
        let Some(intents) = begin(errand, &steps, &whole).await? else {
            errand.pause().await;
            continue;
        };
        let work = steps.iter().zip(&intents).map(|(step, intent)| async move {
            let errand = errand.with(&step.node);
            (step, perform(&errand, step, intent).await)
        });
        let done: Vec<_> = stream::iter(work).buffer_unordered(AT_ONCE).collect().await;
        let mut results: Vec<_> = reached.into_iter().map(nothing_made).collect();
        for (step, result) in done {
            match (&step.new, result) {
                (Some(New { at, plan, .. }), Ok(())) => {
                    results[*at] = Configured::Done(plan.clone());
                }
                (Some(New { at, .. }), Err(error)) => results[*at] = Configured::Failed(error),
                (None, Ok(())) => {}
                (None, Err(error)) => errand.host.warn(&format!(
                    "Node '{}' is removed later: {}",
                    step.node,
                    error.text()
                )),
            }
        }
        if let Err(error) = release_parts(errand, &whole).await {
            errand.host.warn(&format!("The change is tidied up later: {}", error.text()));
        }
        return Ok(results);
    }
    Err(under_way(&connections.iter().map(|one| &*one.node).collect::<Vec<_>>().join("', '")))
}

fn nothing_made(reached: Result<Reached, Error>) -> Configured {
    match reached {
        Ok(Reached { plan, .. }) => Configured::NoTable(plan),
        Err(error) => Configured::Failed(error),
    }
}

/// Looks at the tables of all nodes that are named.
async fn reach<H: Capabilities>(
    errand: &Errand<'_, H>,
    connections: &[Connection],
) -> Result<Vec<Result<Reached, Error>>, Error> {
    let here = &plan::here(errand.host).await?;
    let looks = connections.iter().map(|Connection { node, wanted }| async move {
        match request::describe(&errand.with(node), REACH).await {
            Ok((description, system_info)) => {
                let there: Tables = plan::there(&description, wanted.iter());
                let plan = Plan::new(wanted, here, &there, node)?;
                Ok(Ok(Reached { plan, system_info }))
            }
            Err(Failure { error, .. }) => Ok(Err(error)),
        }
    });
    let looks: Vec<Result<_, Error>> = stream::iter(looks).buffered(AT_ONCE).collect().await;
    // A node whose table has another key fails all.
    looks.into_iter().collect()
}

/// What there is to do, by the records as they are now.
async fn prepare<H: Capabilities>(
    errand: &Errand<'_, H>,
    connections: &[Connection],
    reached: &[Result<Reached, Error>],
) -> Result<Vec<Step>, Error> {
    let host = errand.host;
    let named: HashSet<&str> = connections.iter().map(|one| &*one.node).collect();
    let mut steps: Vec<Step> = Vec::new();
    let mut present: HashMap<String, Stored> = HashMap::new();
    for stored in NodeRecord::all(host).await? {
        present.insert(stored.record.name.clone(), stored);
    }
    let mut published: Vec<(String, String)> = Vec::new();
    for (at, (connection, reached)) in connections.iter().zip(reached).enumerate() {
        let Ok(Reached { plan, system_info }) = reached else { continue };
        if plan.made.is_empty() && !connection.wanted.is_empty() {
            continue;
        }
        let tables = plan.published().into_iter();
        published.extend(tables.map(|(schema, table)| (schema.to_owned(), table.to_owned())));
        let record = NodeRecord {
            name: connection.node.clone(),
            subscriptions: Vec::new(),
            system_info: system_info.clone(),
        };
        let (before, revision) =
            present.remove(&connection.node).map(|stored| (stored.record, stored.revision)).unzip();
        let new = Some(New { at, record, plan: plan.clone() });
        let (node, change) = (connection.node.clone(), errand.change());
        steps.push(Step { node, change, new, before, revision, left: None });
    }
    let unnamed = present.into_iter().filter(|(node, _)| !named.contains(&**node));
    steps.extend(unnamed.map(|(node, Stored { record, revision })| Step {
        node,
        change: errand.change(),
        new: None,
        before: Some(record),
        revision: Some(revision),
        left: None,
    }));

    published.sort();
    published.dedup();
    let published: Vec<_> = published.iter().map(|(one, other)| (&**one, &**other)).collect();
    if !published.is_empty() {
        host.ensure_streams(&published).await?;
    }
    let with_intent = &Intent::nodes(host).await?;
    let looks = steps.iter().map(|step| async move {
        let errand = errand.with(&step.node);
        let left = match with_intent.contains(&step.node) {
            true => wait_for_others(&errand).await?,
            false => None,
        };
        let before = step.before.as_ref();
        let edits = step.new.as_ref().map(|new| merge::replacing(before, new.plan.edits()));
        let edits = edits.unwrap_or_default();
        let needed = merge::needed(before, &edits, Origin::Here);
        let starts = if needed.is_empty() {
            Starts::new()
        } else {
            plan::starts(&errand, &needed, REACH).await?
        };
        // Of a node that is removed nothing is kept.
        let after = match step.new {
            Some(_) => merge::edited(before, &edits, &starts, Origin::Here),
            None => Vec::new(),
        };
        Ok::<_, Error>((left, after))
    });
    let found: Vec<_> = stream::iter(looks).buffered(AT_ONCE).collect().await;
    for (step, found) in steps.iter_mut().zip(found) {
        let (left, after) = found?;
        step.left = left;
        if let Some(new) = &mut step.new {
            new.record.subscriptions = after;
        }
    }
    Ok(steps)
}

/// Stores all intents, or none, and returns their revisions: not when another operation is under way
/// on one of the nodes, or has changed its record since it was read.
async fn begin<H: Capabilities>(
    errand: &Errand<'_, H>,
    steps: &[Step],
    whole: &str,
) -> Result<Option<Vec<String>>, Error> {
    let host = errand.host;
    let stored = steps.iter().map(|step| step.intent(errand, whole));
    let stored: Vec<_> = stream::iter(stored).buffered(AT_ONCE).collect().await;
    let now = NodeRecord::revisions(host).await;
    let current = |now: &HashMap<String, String>| {
        steps.iter().all(|step| now.get(&step.node) == step.revision.as_ref())
    };
    let is_current = now.as_ref().is_ok_and(current);
    let mut failed = now.err();
    if is_current && stored.iter().all(Result::is_ok) {
        let mut intent = Intent::new(&errand.with(errand.own), Direction::Forward, None, None);
        intent.change = whole.into();
        match intent.put(host, None).await {
            Ok(_) => return Ok(Some(stored.into_iter().flatten().collect())),
            Err(TablesError::Conflict) => {}
            Err(error) => failed = Some(error),
        }
    }
    for (step, stored) in steps.iter().zip(stored) {
        match stored {
            Ok(_) => Intent::end(&errand.with(&step.node)).await?,
            Err(TablesError::Conflict) => {}
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(None), |error| Err(error.into()))
}

async fn perform<H: Capabilities>(
    errand: &Errand<'_, H>,
    step: &Step,
    intent: &str,
) -> Result<(), Error> {
    let Some(new) = &step.new else { return remove_unnamed(errand).await };
    let done = replace_one(errand, step, new, intent).await;
    let failure = match done {
        Ok(()) => return Ok(()),
        Err(failure) => failure,
    };
    Err(give_up(errand, failure).await)
}

async fn replace_one<H: Capabilities>(
    errand: &Errand<'_, H>,
    step: &Step,
    new: &New,
    intent: &str,
) -> Result<(), Failure> {
    let (host, node) = (errand.host, errand.node);
    let here = |error: Error| Failure::nothing_told(error);
    let mut revision = step.revision.clone();
    loop {
        let stored = NodeRecord::store(host, node, Some(&new.record), revision.as_deref()).await;
        match stored {
            Ok(_) => break,
            // The node has changed it since; all of it is replaced.
            Err(TablesError::Conflict) if !errand.time.is_over(host) => {
                let now = NodeRecord::revision(host, node).await;
                revision = now.map_err(|error| here(error.into()))?;
            }
            Err(error) => return Err(here(error.into())),
        }
    }
    let keys: Vec<_> = new.record.subscriptions.iter().map(|one| one.key()).collect();
    let kept = merge::as_they_are(Some(&new.record), &keys);
    let written = merge::replacing(step.before.as_ref(), kept);
    let mut told = new.plan.told();
    told.extend(written[keys.len()..].iter().map(merge::told));
    let change = Change {
        subscriptions: Some(told),
        is_new: step.before.is_none(),
        replace: true,
        name: step.change.clone(),
        ..Change::default()
    };
    request::tell(errand, &change, TELL).await?;
    agree(errand, &change, written).await?;
    plan::create(host, &new.plan.missing()).await.map_err(Failure::done)?;
    settle(errand).await;
    Intent::end_of(errand, Some(intent.to_owned())).await.map_err(Failure::done)
}
