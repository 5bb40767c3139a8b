//! A call once more, from its transcript.

use std::sync::Arc;

use super::lines::{Ended, Transcript};
use super::recorder::hide;
pub use super::script::Difference;
use super::script::Script;
use super::taped::Taped;
use crate::audit::harmless;
use crate::capabilities::Grants;
use crate::dispatch::Dispatch;
use crate::metrics::Metrics;
use crate::runtime::{ComponentSource, Limits, LoadError, Runtime};

/// What came of a call that was replayed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Replayed {
    /// Its end this time, secrets hidden as in the transcript.
    pub ended: Ended,
    /// Whether that is what was recorded.
    pub is_same: bool,
    /// Where the component first asked something else than it did, if it has.
    pub difference: Option<Difference>,
}

/// Why a transcript cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The component cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The WebAssembly runtime does not start on this machine.
    #[error("the WebAssembly runtime does not start: {0}")]
    Runtime(String),
}

/// Performs the operation again, by this component. Nothing but the transcript is asked, and nothing
/// is changed.
///
/// # Errors
///
/// See [`ReplayError`]. What the operation answers, an error too, is no error here.
pub async fn replay(
    transcript: &Transcript,
    component: ComponentSource,
) -> Result<Replayed, ReplayError> {
    let Transcript { head, events, ended: recorded, .. } = transcript;
    let script = Arc::new(Script::new(events.clone()));
    let metrics = Arc::new(Metrics::new(None));
    let capabilities = Taped::replaying(script.clone());
    let runtime = Runtime::new(capabilities, metrics.clone(), None)
        .map_err(|error| ReplayError::Runtime(format!("{error:#}")))?;
    let mut dispatch = Dispatch::new(runtime, metrics, None);
    dispatch.load(&head.plugin, component, Grants::default(), Limits::of_clustering()).await?;
    script.begin();
    let reply = dispatch.dispatch(&head.caller.caller(), head.request.clone(), None).await;
    let reply = match reply {
        Ok(reply) => reply.whole().await,
        Err(error) => Err(error),
    };
    let ended = match reply {
        Ok(mut reply) => {
            hide(&mut reply);
            Ended::Reply(reply)
        }
        Err(error) => Ended::Error(harmless(&error.message)),
    };
    let is_same = ended == *recorded;
    Ok(Replayed { ended, is_same, difference: script.end() })
}
