//! A record removed, on both nodes.

use super::change::settle;
use super::intent::{Direction, Intent, under_way, wait_for_others};
use super::request::{Cause, Change, Failure};
use super::{ATTEMPTS, Errand, ROUNDS, TELL, request};
use crate::capabilities::{Capabilities, TablesError};
use crate::nodes::{NodeRecord, Stored};
use crate::operation::Error;

/// Whether the other node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It does.
    There,
    /// It could not be reached, and may still list this node.
    HereOnly,
}

/// What follows from a node's refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// Nothing is removed.
    AndHear,
    /// It is removed here.
    AndGoOn,
}

/// Removes the record here and on the other node; here alone when that cannot be reached.
pub async fn remove<H: Capabilities>(errand: &Errand<'_, H>) -> Result<Removed, Error> {
    let (host, node) = (errand.host, errand.node);
    for _ in 0..ATTEMPTS {
        if errand.time.is_over(host) {
            break;
        }
        // What an earlier operation has left is of no interest any more.
        let left = wait_for_others(errand).await?;
        let Some(stored) = NodeRecord::get(host, node).await? else {
            if left.is_none() && Intent::get(host, node).await?.is_some() {
                continue;
            }
            return Err(Error::Invalid(format!("Node '{node}' is not in the manifest")));
        };
        let intent = Intent::new(errand, Direction::Forward, Some(stored.record), None);
        let expected = left.as_ref().map(|left| &*left.revision);
        match intent.put(host, expected).await {
            Err(TablesError::Conflict) => continue,
            put => put?,
        };
        return both(errand, Ask::AndHear).await;
    }
    Err(under_way(node))
}

/// The intent is there: does what it says, and removes it.
async fn both<H: Capabilities>(errand: &Errand<'_, H>, ask: Ask) -> Result<Removed, Error> {
    let out_of_reach = match tell_and_delete(errand, ask).await {
        Ok(out_of_reach) => out_of_reach,
        Err(Failure { error, cause: Cause::Refused | Cause::NotAsked }) => {
            Intent::end(errand).await?;
            return Err(error);
        }
        Err(Failure { error, .. }) => {
            // The other node may have removed it: it is removed here too, later.
            Intent::alter(errand, |intent| {
                intent.part_of = None;
                intent.let_go();
            })
            .await?;
            return Err(error);
        }
    };
    match out_of_reach {
        None => settle(errand).await,
        Some(cause) if cause.is_at_large() => {
            // It may do it at any time, also when it has been added again: it is told once more
            // when it is back, and then left alone.
            Intent::alter(errand, |intent| {
                intent.part_of = None;
                intent.let_go();
            })
            .await?;
            return Ok(Removed::HereOnly);
        }
        // The durables there are removed when it is back.
        Some(_) => {}
    }
    Intent::end(errand).await?;
    Ok(if out_of_reach.is_none() { Removed::There } else { Removed::HereOnly })
}

/// Returns why the other node could not be told, or may do it later.
async fn tell_and_delete<H: Capabilities>(
    errand: &Errand<'_, H>,
    ask: Ask,
) -> Result<Option<Cause>, Failure> {
    let (host, node) = (errand.host, errand.node);
    let mut at_large = None;
    for _ in 0..ROUNDS {
        // Read before the other node is told: who adds itself again after that is noticed.
        let stored = NodeRecord::get(host, node).await.map_err(Failure::done)?;
        let out_of_reach = match request::tell(errand, &Change::remove(), TELL).await {
            Ok(_) => None,
            Err(Failure { cause, .. })
                if [Cause::NotListening, Cause::Silent, Cause::Unusable].contains(&cause) =>
            {
                Some(cause)
            }
            Err(Failure { error, cause }) if ask == Ask::AndGoOn => {
                host.warn(&format!("Node '{node}' may still list this node: {}", error.text()));
                Some(cause)
            }
            Err(failure) => return Err(failure),
        };
        at_large = out_of_reach.filter(|cause| cause.is_at_large()).or(at_large);
        let out_of_reach = at_large.or(out_of_reach);
        let Some(Stored { revision, .. }) = stored else {
            match NodeRecord::get(host, node).await.map_err(Failure::done)? {
                None => return Ok(out_of_reach),
                Some(_) => continue,
            }
        };
        match NodeRecord::store(host, node, None, Some(&revision)).await {
            Ok(_) => return Ok(out_of_reach),
            // The other node has added itself again meanwhile, or removed this one.
            Err(TablesError::Conflict) => {}
            Err(error) => return Err(Failure::done(error.into())),
        }
    }
    let text = format!("Node '{node}' adds itself again and again");
    Err(Failure::done(Error::Conflict(text)))
}

/// Removes the record of a node that a new setup does not name, whatever that node says. The intent
/// is there.
pub(super) async fn remove_unnamed<H: Capabilities>(errand: &Errand<'_, H>) -> Result<(), Error> {
    both(errand, Ask::AndGoOn).await.map(drop)
}
