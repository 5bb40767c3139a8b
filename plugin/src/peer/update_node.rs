//! `update_node`: another node changes which tables it shares with this one.
//!
//! Two keys are ours, which Harper's nodes neither send nor know: `replace`, by which subscriptions
//! that are not named are gone, and `resume`, by which what is switched on again begins where it
//! was. A subscription with `drop` is gone.

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
