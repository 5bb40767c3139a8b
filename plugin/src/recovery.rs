//! What calls that did not end well have left: finished or undone, from their intents.

use futures_util::StreamExt;
use futures_util::stream;

use crate::capabilities::Capabilities;
use crate::manifest::intent::{Intent, StoredIntent};
use crate::manifest::undo::{Ended, resolve};
use crate::manifest::{Errand, Time, own_name};
use crate::operation::Error;

/// Nodes that are told at the same time.
const AT_ONCE: usize = 32;

/// Brings to an end what can be, and returns how many are left: of calls that may still run, and of
/// nodes that cannot be told.
pub async fn recover(host: &impl Capabilities) -> u32 {
    let this = host.info();
    // Without clustering nobody can be told, and nothing is begun.
    let Ok(own) = own_name(&this) else { return 0 };
    let intents = match Intent::all(host).await {
        Ok(intents) => intents,
        Err(error) => {
            host.warn(&format!("What earlier calls have left is not known: {}", error.text()));
            return 1;
        }
    };
    let time = Time::begin(host);
    let ends = intents.into_iter().map(|stored| {
        let this = &this;
        async move {
            let node = stored.intent.node.clone();
            let operation = stored.intent.operation.clone();
            let errand = Errand { host, this, own, node: &node, operation: &operation, time };
            let ended = end(&errand, stored).await;
            ended.unwrap_or_else(|error| {
                host.warn(&format!(
                    "What {operation} has begun with node '{node}' is not ended yet: {}",
                    error.text()
                ));
                false
            })
        }
    });
    let ended: Vec<bool> = stream::iter(ends).buffer_unordered(AT_ONCE).collect().await;
    ended.iter().filter(|ended| !**ended).count().try_into().unwrap_or(u32::MAX)
}

async fn end<H: Capabilities>(errand: &Errand<'_, H>, stored: StoredIntent) -> Result<bool, Error> {
    match stored.claim(errand).await? {
        Some(claimed) => Ok(resolve(errand, &claimed.intent).await? == Ended::Yes),
        None => Ok(false),
    }
}
