//! `add_node`: another node shares tables with this one. It may know this one already.

use serde_json::Value;

use super::upsert::upsert;
use super::{Peer, Request};
use crate::capabilities::Capabilities;

pub(super) async fn answer<H: Capabilities>(
    peer: &Peer<'_, H>,
    request: &Request,
) -> Result<Value, String> {
    upsert(peer, request).await?;
    Ok(format!("Successfully added '{}' to manifest", peer.own).into())
}
