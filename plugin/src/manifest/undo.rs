//! Both nodes brought to the state before a change, or after it, from its intent.

use std::collections::HashSet;

use super::change::settle;
use super::intent::{Direction, Intent, StoredIntent, milliseconds, release_parts};
use super::merge::Edit;
use super::request::{Cause, Change, Failure};
use super::{ATTEMPTS, Errand, ROUNDS, UNDO, merge, plan, request};
use crate::capabilities::{Capabilities, TablesError};
use crate::nodes::{NodeRecord, Stored, Subscription};
use crate::operation::Error;

/// A node that has refused so often to be told has nothing to undo, by its own account.
const MOST_REFUSALS: u32 = 10;

/// How far an intent has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It is done and removed.
    Yes,
    /// The other node could not be told yet.
    NotTold,
    /// The other node was told, but may still be working at something that it was told before, and
    /// has to be told once more after that.
    NotQuiet,
}

/// The operation that holds the intent undoes what it has begun. What it cannot tell the other
/// node now is left to `recover`.
pub async fn give_up<H: Capabilities>(errand: &Errand<'_, H>, cause: Cause) -> Result<(), Error> {
    Intent::alter(errand, |intent| {
        intent.direction = Direction::Backward;
        intent.part_of = None;
        intent.at_large = cause.is_at_large();
    })
    .await?;
    let done = bring(errand, cause.may_be_done()).await;
    if done.is_err() {
        Intent::alter(errand, Intent::let_go).await?;
    }
    done.map(drop)
}

/// Brings what an intent describes to its end, and removes it, as far as that can be done now; the
/// rest is left to the next one. The caller holds the intent.
pub async fn resolve<H: Capabilities>(
    errand: &Errand<'_, H>,
    intent: &Intent,
) -> Result<Ended, Error> {
    if errand.node == errand.own {
        release_parts(errand, &intent.change).await?;
        return Ok(Ended::Yes);
    }
    if let Some(whole) = &intent.part_of {
        let begun = Intent::get(errand.host, errand.own).await?;
        if begun.is_none_or(|begun| begun.intent.change != *whole) {
            Intent::end(errand).await?;
            return Ok(Ended::Yes);
        }
        Intent::alter(errand, |intent| intent.part_of = None).await?;
    }
    let done = bring(errand, true).await;
    if done.is_err() {
        // The next one may have more luck, and need not wait for the end of this one's time.
        Intent::alter(errand, Intent::let_go).await?;
    }
    done
}

async fn bring<H: Capabilities>(errand: &Errand<'_, H>, tell: bool) -> Result<Ended, Error> {
    restore_here(errand).await?;
    let Some(StoredIntent { intent, .. }) = Intent::get(errand.host, errand.node).await? else {
        return Ok(Ended::Yes);
    };
    if tell
        && let Err(cause) = restore_there(errand).await?
        && (cause != Cause::Refused || intent.refused < MOST_REFUSALS)
    {
        Intent::alter(errand, |intent| {
            // What it was told just now may be as late as what it was told before.
            intent.at_large |= cause.is_at_large();
            intent.told_at = None;
            intent.refused += u32::from(cause == Cause::Refused);
            intent.let_go();
        })
        .await?;
        return Ok(Ended::NotTold);
    }
    if intent.at_large && intent.told_at.is_none() {
        let now = milliseconds(errand.host.info().uptime);
        Intent::alter(errand, |intent| {
            intent.told_at = Some(now);
            intent.let_go();
        })
        .await?;
        return Ok(Ended::NotQuiet);
    }
    if intent.direction == Direction::Forward {
        plan::create(errand.host, &intent.tables).await?;
        settle(errand).await;
    }
    Intent::end(errand).await?;
    Ok(Ended::Yes)
}

/// Brings the record here to where the intent says.
async fn restore_here<H: Capabilities>(errand: &Errand<'_, H>) -> Result<(), Error> {
    let (host, node) = (errand.host, errand.node);
    for _ in 0..ATTEMPTS {
        // The record first: who changes it has entered that into the intent before.
        let stored = NodeRecord::get(host, node).await?;
        let Some(intent) = Intent::get(host, node).await? else { return Ok(()) };
        let Intent { direction, before, after, .. } = intent.intent;
        let current = stored.as_ref().map(|stored| &stored.record);
        let wanted = match direction {
            Direction::Backward => merge::undone(current, before.as_ref(), after.as_ref()),
            Direction::Forward => after,
        };
        if current == wanted.as_ref() {
            return Ok(());
        }
        let expected = stored.as_ref().map(|Stored { revision, .. }| &**revision);
        match NodeRecord::store(host, node, wanted.as_ref(), expected).await {
            Err(TablesError::Conflict) => {}
            put => return Ok(put.map(drop)?),
        }
    }
    Err(TablesError::Conflict.into())
}

/// Tells the other node what the record here is, or returns why it could not be told.
async fn restore_there<H: Capabilities>(
    errand: &Errand<'_, H>,
) -> Result<Result<(), Cause>, Error> {
    let (host, node) = (errand.host, errand.node);
    for _ in 0..ROUNDS {
        let stored = NodeRecord::get(host, node).await?;
        let Some(intent) = Intent::get(host, node).await? else { return Ok(Ok(())) };
        let record = stored.map(|stored| stored.record);
        let (change, edits) = telling(&intent.intent, record.as_ref());
        match request::tell(errand, &change, UNDO).await {
            Ok(_) => {}
            Err(Failure { cause, error }) => {
                host.warn(&format!("What was begun is not undone yet: {}", error.text()));
                return Ok(Err(cause));
            }
        }
        let now = NodeRecord::get(host, node).await?.map(|stored| stored.record);
        let is_same = match &now {
            Some(now) => record.is_some() && merge::is_as(now, &edits),
            None => record.is_none(),
        };
        if is_same {
            return Ok(Ok(()));
        }
        if errand.own > node {
            // It may be telling this node at the same moment.
            errand.pause().await;
        }
    }
    Ok(Err(Cause::Done))
}

/// What the other node is told, and what of the record here it says.
fn telling(intent: &Intent, record: Option<&NodeRecord>) -> (Change, Vec<Edit>) {
    let Some(record) = record else { return (Change::remove(), Vec::new()) };
    let (before, after) = (intent.before.as_ref(), intent.after.as_ref());
    let backward = intent.direction == Direction::Backward;
    let mut keys = merge::touched(before, after);
    let told = intent.keys.iter().map(|(schema, table)| (&**schema, &**table));
    keys.extend(told);
    if !backward {
        // All of it: the other node may have had nothing of it yet.
        keys.extend(record.subscriptions.iter().map(Subscription::key));
    }
    let mut known = HashSet::new();
    keys.retain(|key| known.insert(*key));
    let edits = merge::as_they_are(Some(record), &keys);
    let told = edits.iter().map(|edit| {
        let mut told = merge::told(edit);
        let said = intent
            .told
            .iter()
            .find(|said| ["schema", "table"].iter().all(|key| said.get(*key) == told.get(*key)));
        // What the record here does not have: the table, and since when the other one wants it.
        for key in ["hash_attribute", "attributes", "start_time"] {
            if let Some(value) = said.and_then(|said| said.get(key)) {
                told[key] = value.clone();
            }
        }
        told
    });
    let change = Change {
        subscriptions: Some(told.collect()),
        replace: !backward,
        undo: backward,
        name: intent.change.clone(),
        is_new: false,
    };
    (change, edits)
}
