//! A call once more, from its transcript.

use std::sync::Arc;

use serde_json::{Value, json};

use super::bytes;
use super::lines::{Ended, PEER, RECOVERY, Transcript};
use super::recorder::hide;
pub use super::script::Difference;
use super::script::Script;
use super::taped::Taped;
use crate::audit::harmless;
use crate::capabilities::Grants;
use crate::dispatch::Dispatch;
use crate::metrics::Metrics;
use crate::plugins::PluginSettings;
use crate::runtime::{Answerer, ComponentSource, Limits, LoadError, Recoverer, Runtime};

/// The name of the plugin that is granted what no other is.
const CLUSTERING: &str = "clustering";

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
    /// What it says of grants makes no sense.
    #[error("the transcript's grants cannot be read: {0}")]
    Grants(String),
    /// What another node had asked are no bytes.
    #[error("the transcript's request cannot be read")]
    Request,
    /// It is of something that this host's plugins do not have.
    #[error("the transcript is of '{}', which no plugin of this host has", .0.escape_debug())]
    Export(String),
    /// The WebAssembly runtime does not start on this machine.
    #[error("the WebAssembly runtime does not start: {0}")]
    Runtime(String),
}

/// Performs the call again, by this component. Nothing but the transcript is asked, and nothing
/// is changed.
///
/// # Errors
///
/// See [`ReplayError`]. What the call answers, an error too, is no error here.
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
    let dispatch = Dispatch::new(runtime, metrics, None);
    let component = match head.plugin.as_str() {
        CLUSTERING => component.in_place_of_clustering(),
        _ => component,
    };
    let (granted, limits) = (granted(&head.grants)?, Limits::of_clustering());
    let plugin = dispatch.load(&head.plugin, component, granted, limits).await?.plugin;
    let reply = match head.export.as_deref() {
        None => {
            script.begin();
            let reply = dispatch.dispatch(&head.caller.caller(), head.request.clone(), None).await;
            let reply = match reply {
                Ok(reply) => reply.whole().await,
                Err(error) => Err(error),
            };
            reply.map_err(|error| error.message)
        }
        Some(PEER) => {
            let answerer = Answerer::new(plugin, Answerer::limits())?;
            let request = bytes::from_json(&head.request);
            let request = request.ok_or(ReplayError::Request)?;
            script.begin();
            let answer = dispatch.runtime().answer(&answerer, request).await;
            answer.map(|answer| bytes::to_json(&answer)).map_err(|error| error.for_peer())
        }
        Some(RECOVERY) => {
            let recoverer = Recoverer::new(plugin, Recoverer::limits())?;
            script.begin();
            let left = dispatch.runtime().recover(&recoverer).await;
            left.map(Value::from).map_err(|error| error.for_caller("recover"))
        }
        Some(other) => return Err(ReplayError::Export(other.chars().take(64).collect())),
    };
    let ended = match reply {
        Ok(mut reply) => {
            hide(&mut reply);
            Ended::Reply(reply)
        }
        Err(error) => Ended::Error(harmless(&error)),
    };
    let is_same = ended == *recorded;
    Ok(Replayed { ended, is_same, difference: script.end() })
}

/// Grants as the first line has them, which is as the configuration file has them.
fn granted(grants: &Value) -> Result<Grants, ReplayError> {
    let entry = json!([{ "name": "replayed", "file": "replayed.wasm", "grants": grants }]);
    match PluginSettings::read_all(&entry) {
        Ok(read) => Ok(read.into_iter().next().map(|plugin| plugin.grants).unwrap_or_default()),
        Err(wrong) => {
            let wrong = wrong.first().map(|(path, rule)| format!("{path} {rule}"));
            Err(ReplayError::Grants(wrong.unwrap_or_default()))
        }
    }
}
