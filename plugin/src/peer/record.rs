//! The record of the node that asks, changed as it asks.

use std::time::Duration;

use super::Peer;
use crate::capabilities::{Capabilities, TablesError};
use crate::manifest::intent::{Direction, Intent};
use crate::manifest::merge;
use crate::nodes::NodeRecord;
use crate::operation::Error;

/// How often it is tried again when others change the record meanwhile.
const ATTEMPTS: u64 = 100;

/// Brings the record from what it is to what `edit` makes of it. An operation of this node that is
/// under way on the same record must not undo that: it is entered into its intent first.
pub(super) async fn change<H: Capabilities>(
    peer: &Peer<'_, H>,
    edit: impl AsyncFn(Option<&NodeRecord>) -> Result<Option<NodeRecord>, String>,
) -> Result<(), String> {
    let (host, node) = (peer.host, peer.node);
    let text = |error: Error| error.text().to_owned();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            let chance = host.monotonic().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58;
            host.sleep(Duration::from_millis(attempt.min(20) + chance)).await;
        }
        let stored = NodeRecord::get(host, node).await.map_err(text)?;
        let (record, revision) = stored.map(|stored| (stored.record, stored.revision)).unzip();
        let after = edit(record.as_ref()).await?;
        if let Some(mut stored) = Intent::get(host, node).await.map_err(text)? {
            let Intent { direction, before, after, keys, .. } = &mut stored.intent;
            let entered = match direction {
                Direction::Backward => before,
                Direction::Forward => after,
            };
            let changed = edit(entered.as_ref()).await?;
            if *entered != changed {
                let touched = merge::touched(entered.as_ref(), changed.as_ref());
                keys.extend(touched.iter().map(|(one, other)| ((*one).into(), (*other).into())));
                keys.sort();
                keys.dedup();
                *entered = changed;
                match stored.intent.put(host, Some(&stored.revision)).await {
                    Err(TablesError::Conflict) => continue,
                    put => put.map_err(|error| text(error.into()))?,
                };
            }
        }
        // Also when it is as before: who is about to remove it notices that it is wanted again.
        match NodeRecord::store(host, node, after.as_ref(), revision.as_deref()).await {
            Err(TablesError::Conflict) => {}
            put => return put.map(drop).map_err(|error| text(error.into())),
        }
    }
    Err("The record is being changed by others all the while; nothing was changed".into())
}
