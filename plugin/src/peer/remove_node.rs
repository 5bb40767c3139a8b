//! `remove_node`: another node shares nothing with this one any more. It may have been unknown.

use serde_json::Value;

use super::Peer;
use super::record::change;
use crate::capabilities::Capabilities;

pub(super) async fn answer<H: Capabilities>(peer: &Peer<'_, H>) -> Result<Value, String> {
    change(peer, async |_| Ok(None)).await?;
    Ok(format!("Successfully removed '{}' from manifest", peer.own).into())
}
