//! Subscriptions added to a record or changed in it, on both nodes.

use futures_util::future::join;
use serde_json::{Value, json};

use super::intent::{Direction, Intent, under_way, wait_for_others};
use super::merge::{Edit, Origin};
use super::plan::{Plan, Tables};
use super::request::{Change, Failure};
use super::{
    ATTEMPTS, Errand, REACH, ROUNDS, SETTLE, TELL, Time, merge, own_name, plan, request, undo,
};
use crate::capabilities::{Capabilities, ReplicationError, TablesError};
use crate::nodes::{NodeRecord, Stored};
use crate::operation::{Error, Request};
use crate::subscriptions::{self, Form, MUST_FLOW, Wanted, read_node_name};
use crate::validate::Violations;

/// Whether the node has to be in the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// It must not.
    New,
    /// It must.
    Known,
    /// It is added if it is not.
    Either,
}

/// What is on both nodes before anything is changed.
struct Survey {
    plan: Plan,
    system_info: Value,
}

/// What is said when a table is on neither node.
pub const SOME_SKIPPED: &str =
    "Some subscriptions were skipped: their database or table exists on neither node";
/// The same of all that were asked for.
pub const NONE_MADE: &str =
    "No subscription was made: the database or table exists on neither node";

/// Performs a request that has `node_name` and `subscriptions`, and returns the node and what was
/// made.
pub async fn handle(
    host: &impl Capabilities,
    request: &Request,
    operation: &str,
    form: Form,
    rule: Rule,
) -> Result<(String, Plan), Error> {
    let this = host.info();
    let mut violations = Violations::default();
    let name = request.get("node_name");
    let node = read_node_name(name, "node_name", this.name.as_deref(), &mut violations);
    let wanted = subscriptions::read(request, "subscriptions", form, &mut violations);
    violations.check()?;
    let node = node.unwrap_or_default();

    let own = own_name(&this)?;
    let time = Time::begin(host);
    let errand = Errand { host, this: &this, own, node: &node, operation, time };
    let plan = change(&errand, &wanted, rule).await?;
    Ok((node, plan))
}

/// The reply: on full success the message alone.
pub fn reply(plan: &Plan, success: String, made: &str) -> Value {
    if plan.skipped.is_empty() {
        return json!({ "message": success });
    }
    let message = if plan.made.is_empty() { NONE_MADE } else { SOME_SKIPPED };
    let shown: Vec<_> = plan.made.iter().map(|planned| planned.wanted.shown()).collect();
    let skipped: Vec<_> = plan.skipped.iter().map(Wanted::shown).collect();
    json!({ "message": message, made: shown, "skipped": skipped })
}

/// Makes the subscriptions, on both nodes or on neither.
pub async fn change<H: Capabilities>(
    errand: &Errand<'_, H>,
    wanted: &[Wanted],
    rule: Rule,
) -> Result<Plan, Error> {
    let host = errand.host;
    let mut survey = None;
    for _ in 0..ATTEMPTS {
        if errand.time.is_over(host) {
            break;
        }
        if wait_for_others(errand).await?.is_some() {
            // The node could not be told what an earlier operation has left. It is back, or else
            // this says what is wrong with it.
            request::describe(errand, REACH).await.map_err(|failure| failure.error)?;
            errand.pause().await;
            continue;
        }
        let stored = NodeRecord::get(host, errand.node).await?;
        let before = stored.as_ref().map(|stored| &stored.record);
        if let Err(error) = check(errand.node, before, wanted, rule) {
            if Intent::get(host, errand.node).await?.is_some() {
                // It was read in the midst of another operation.
                continue;
            }
            return Err(error);
        }
        let Survey { plan, system_info } = match &survey {
            Some(survey) => survey,
            None => survey.insert(look(errand, wanted).await?),
        };
        if plan.made.is_empty() && !wanted.is_empty() {
            return Ok(plan.clone());
        }

        let edits = plan.edits();
        let needed = merge::needed(before, &edits, Origin::Here);
        let starts = plan::prepare(errand, &plan.published(), &needed).await?;
        let after = NodeRecord {
            name: errand.node.into(),
            subscriptions: merge::edited(before, &edits, &starts, Origin::Here),
            system_info: system_info.clone(),
        };
        let intent = Intent::new(errand, Direction::Backward, before.cloned(), Some(after.clone()));
        match intent.put(host, None).await {
            Err(TablesError::Conflict) => continue,
            put => put?,
        };
        let expected = stored.as_ref().map(|Stored { revision, .. }| &**revision);
        match NodeRecord::store(host, errand.node, Some(&after), expected).await {
            Ok(_) => {}
            Err(error) => {
                Intent::end(errand).await?;
                if error == TablesError::Conflict {
                    continue;
                }
                return Err(error.into());
            }
        }
        let first = Change {
            subscriptions: Some(plan.told()),
            is_new: before.is_none(),
            name: intent.change,
            ..Change::default()
        };
        let keys: Vec<_> = edits.iter().map(Edit::key).collect();
        let written = merge::as_they_are(Some(&after), &keys);
        return match both(errand, first, written, plan).await {
            Ok(()) => Ok(plan.clone()),
            Err(failure) => Err(give_up(errand, failure).await),
        };
    }
    Err(under_way(errand.node))
}

/// Whether the request fits the record.
fn check(
    node: &str,
    record: Option<&NodeRecord>,
    wanted: &[Wanted],
    rule: Rule,
) -> Result<(), Error> {
    let text = match (rule, record) {
        (Rule::New, Some(_)) => format!(
            "Node '{node}' is already in the manifest: change it with update_node or \
             set_node_replication"
        ),
        (Rule::Known, None) => format!(
            "Node '{node}' is not in the manifest: add it with add_node or set_node_replication"
        ),
        _ => {
            let known = |wanted: &Wanted| {
                record.is_some_and(|record| record.subscription(wanted.key()).is_some())
            };
            let flows = |wanted: &Wanted| wanted.publish || wanted.subscribe;
            let wrong = wanted.iter().enumerate();
            let wrong = wrong.filter(|(_, wanted)| !flows(wanted) && !known(wanted));
            let wrong: Vec<_> =
                wrong.map(|(i, _)| format!("'subscriptions[{i}]' {MUST_FLOW}")).collect();
            if wrong.is_empty() {
                return Ok(());
            }
            wrong.join(". ")
        }
    };
    Err(Error::Invalid(text))
}

/// Looks which tables are on which node.
async fn look<H: Capabilities>(errand: &Errand<'_, H>, wanted: &[Wanted]) -> Result<Survey, Error> {
    let there = request::describe(errand, REACH);
    let (there, here) = join(there, plan::here(errand.host)).await;
    let (description, system_info) = there.map_err(|failure| failure.error)?;
    let there: Tables = plan::there(&description, wanted.iter());
    Ok(Survey { plan: Plan::new(wanted, &here?, &there, errand.node)?, system_info })
}

/// The record here is written: has the other node do its part, and makes what belongs to it here.
async fn both<H: Capabilities>(
    errand: &Errand<'_, H>,
    first: Change,
    written: Vec<Edit>,
    plan: &Plan,
) -> Result<(), Failure> {
    request::tell(errand, &first, TELL).await?;
    agree(errand, &first, written).await?;
    plan::create(errand.host, &plan.missing()).await.map_err(Failure::done)?;
    settle(errand).await;
    // The state is the one after; if the intent stayed, it would be undone.
    Intent::end(errand).await.map_err(Failure::done)
}

/// Sees to it that both nodes have the same, though the other may have changed the record here by an
/// operation of its own, while this one changed it. The node with the smaller name insists on what
/// it has `written`, the other takes what it was told.
pub(super) async fn agree<H: Capabilities>(
    errand: &Errand<'_, H>,
    first: &Change,
    mut written: Vec<Edit>,
) -> Result<(), Failure> {
    let (host, node) = (errand.host, errand.node);
    for _ in 0..ROUNDS {
        let stored = NodeRecord::get(host, node).await.map_err(Failure::done)?;
        let Some(Stored { record, revision }) = stored else {
            let text = format!("Node '{node}' was removed by an operation of its own meanwhile");
            return Err(Failure::done(Error::Conflict(text)));
        };
        if first.replace {
            written = merge::replacing(Some(&record), written);
        }
        if merge::is_as(&record, &written) {
            return Ok(());
        }
        if errand.own < node {
            let subscriptions =
                merge::edited(Some(&record), &written, &merge::Starts::new(), Origin::Here);
            let again = NodeRecord { subscriptions, ..record };
            match NodeRecord::store(host, node, Some(&again), Some(&revision)).await {
                Err(TablesError::Conflict) => continue,
                put => put.map_err(|error| Failure::done(error.into()))?,
            };
        } else {
            let keys: Vec<_> = written.iter().map(Edit::key).collect();
            written = merge::as_they_are(Some(&record), &keys);
        }
        let change = Change {
            subscriptions: Some(written.iter().map(merge::told).collect()),
            is_new: false,
            ..first.clone()
        };
        request::tell(errand, &change, TELL).await.map_err(Failure::again)?;
    }
    let text = format!("Node '{node}' changes the same subscriptions again and again");
    Err(Failure::done(Error::Conflict(text)))
}

/// Undoes what was begun, and returns why.
pub(super) async fn give_up<H: Capabilities>(errand: &Errand<'_, H>, failure: Failure) -> Error {
    if let Err(why) = undo::give_up(errand, failure.cause).await {
        errand.host.warn(&format!(
            "What {} has begun with node '{}' is undone later: {}",
            errand.operation,
            errand.node,
            why.text()
        ));
    }
    failure.error
}

/// Waits until streams and durables are as the record says; if they are not soon, they will be.
pub(super) async fn settle<H: Capabilities>(errand: &Errand<'_, H>) {
    let Errand { host, node, .. } = errand;
    let most = errand.time.at_most(*host, SETTLE);
    match host.settle(node, most).await {
        Ok(()) => {}
        Err(ReplicationError::Unsettled(why) | ReplicationError::Failed(why)) => {
            host.warn(&format!("Node '{node}' is not settled yet: {why}"));
        }
        Err(ReplicationError::NotEnabled) => {}
    }
}
