//! An answer to another node: the clustering plugin's `peer`, with a budget and places to run of its
//! own, so that operations go on however much other nodes ask.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use super::call::Deadline;
use super::clustering::Export;
use super::{CallError, Limits, LoadError, Plugin, Runtime};
use crate::capabilities::{Exceeded, Purpose};
use crate::transcript::{Asked, Recording, bytes};

/// Answers that run at the same time; more wait for a place.
pub(super) const CONCURRENT_ANSWERS: u32 = 8;

/// Answers that wait for a place; more are refused at once. A request and what is built of it may
/// take some megabytes.
const WAITING_ANSWERS: usize = 64;

/// What answers other nodes, ready to be called.
pub(crate) struct Answerer {
    export: Export,
    waiting: Semaphore,
    places: Semaphore,
}

impl Answerer {
    /// A plugin that exports `peer`.
    pub(crate) fn new(plugin: Arc<Plugin>, limits: Limits) -> Result<Self, LoadError> {
        let export = Export::new(plugin, limits, "peer")?;
        let waiting = Semaphore::new(WAITING_ANSWERS + CONCURRENT_ANSWERS as usize);
        let places = Semaphore::new(CONCURRENT_ANSWERS as usize);
        Ok(Self { export, waiting, places })
    }

    pub(crate) fn largest_request(&self) -> usize {
        self.export.limits.request_bytes
    }

    /// What an answer may use when nothing else is said.
    pub(crate) fn limits() -> Limits {
        Limits {
            memory: 64 << 20,
            cpu: Duration::from_secs(2),
            wall_clock: Duration::from_secs(10),
            host_calls: 15_000,
            // Some thousand subscriptions, with their tables' attributes.
            request_bytes: 4 << 20,
            reply_bytes: 16 << 20,
            exchanged_bytes: 64 << 20,
            ..Limits::default()
        }
    }
}

impl Runtime {
    /// Answers a request of another node.
    pub(crate) async fn answer(
        &self,
        answerer: &Answerer,
        request: Vec<u8>,
    ) -> Result<Vec<u8>, CallError> {
        let Answerer { export, waiting, places } = answerer;
        let limits = export.limits;
        if request.len() > limits.request_bytes {
            let (size, limit) = (request.len(), limits.request_bytes);
            return Err(CallError::RequestTooLarge { size, limit });
        }
        let Ok(_waiting) = waiting.try_acquire() else { return Err(CallError::Busy) };
        let deadline = Deadline::after(limits.wall_clock);
        let place = timeout_at(deadline.end, places.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(CallError::Busy) };
        let recording = self.record(&export.plugin, Asked::Peer(&request));
        let reply = self.answer_now(export, request, recording.as_ref(), deadline).await;
        if let Some(recording) = recording {
            let told = reply.as_deref().map(bytes::to_json);
            recording.end(told.map_err(CallError::for_peer)).await;
        }
        reply
    }

    async fn answer_now(
        &self,
        export: &Export,
        request: Vec<u8>,
        recording: Option<&Recording>,
        deadline: Deadline,
    ) -> Result<Vec<u8>, CallError> {
        let _running = self.ticker.run();
        let limits = export.limits;
        let mut store = export.store(self, Purpose::Answers, deadline);
        if let Some(recording) = recording {
            store.data_mut().call.capabilities = recording.around(&self.capabilities);
        }
        // Around everything: an epoch does not interrupt a call that waits for the host.
        let reply = timeout_at(deadline.end, async {
            let exports = export.instance(&mut store).await?;
            let peer = exports.harper_plugin_peer();
            store.run_concurrent(async |accessor| peer.call_answer(accessor, request).await).await?
        })
        .await;
        let reply = export.ended(self, &store, reply)?;
        if reply.len() > limits.reply_bytes {
            return Err(CallError::Exceeded(Exceeded::ReplyBytes(limits.reply_bytes)));
        }
        Ok(reply)
    }
}
