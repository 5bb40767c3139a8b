//! `update_node`: another node changes which tables it shares with this one.
//!
//! Some keys are ours, which Harper's nodes neither send nor know: `change`, a name for the change;
//! `undo`, by which the change of that name is undone, and what is switched on again begins where it
//! did before; `replace`, by which subscriptions that are not named are gone. A subscription with
//! `drop` is gone.

use serde_json::Value;

use super::upsert::upsert;
use super::{Peer, Request};
use crate::capabilities::Capabilities;

pub(super) async fn answer<H: Capabilities>(
    peer: &Peer<'_, H>,
    request: &Request,
) -> Result<Value, String> {
    upsert(peer, request).await?;
    Ok(format!("Successfully updated '{}'", peer.own).into())
}
