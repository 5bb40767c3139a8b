//! The host as a library: asked through `dispatch`, and made by the builder of `builder.rs`.

mod builder;

use std::sync::Arc;

use prometheus_client::registry::Registry;
use serde_json::{Map, Value};

use crate::dispatch::{Caller, Dispatch, Error, Reply, Still};
use crate::figures::Figures;
use crate::metrics;
use crate::nats;
use crate::plugins::Plugins;
use crate::replication::Replicator;
use crate::runtime::{CallError, Operation, Runtime};

pub use builder::{BuildError, HostBuilder};

/// Performs operations: the clustering plugin's, and those of plugins that were added.
///
/// Cheap to clone; all clones are the same host.
#[derive(Clone)]
pub struct Host {
    dispatch: Arc<Dispatch>,
    /// Its operations are there as long as this is.
    _plugins: Arc<Plugins>,
    servers: Option<nats::Nats>,
    replicator: Option<Replicator>,
    figures: Option<Arc<Figures>>,
}

impl Host {
    /// Starts to make a host.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// Performs the operation that `request` names for `caller`, and returns its reply.
    ///
    /// The request is an operation's JSON object, as it goes to the operations API, without
    /// credentials. Dropping the future gives the call up wherever it is: an operation that
    /// changes something is better awaited in a task of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind`](crate::ErrorKind) lists them. The text is for the caller.
    pub async fn dispatch(&self, caller: &Caller, request: Value) -> Result<Value, Error> {
        self.perform(caller, request).await?.whole().await
    }

    /// The same, and a result that is large comes in parts: memory stays bounded, however many rows
    /// a search finds.
    ///
    /// # Errors
    ///
    /// As those of [`dispatch`](Self::dispatch); later parts have their own.
    pub async fn perform(&self, caller: &Caller, request: Value) -> Result<Reply, Error> {
        self.dispatch.dispatch(caller, request, None).await
    }

    /// The same for someone who may be removed while the operation waits for its place to run.
    pub(crate) async fn perform_while(
        &self,
        caller: &Caller,
        request: Value,
        still: &Still,
    ) -> Result<Reply, Error> {
        self.dispatch.dispatch(caller, request, Some(still)).await
    }

    /// Answers what another node asked on `<node>.__request__`: MessagePack as npm `msgpackr` writes
    /// it, both ways.
    ///
    /// There is always an answer: to bytes that are no request, and to one that is over its budget
    /// ([`HostBuilder::peer_limits`]), an error. Answers have places to run of their own, eight at a
    /// time: however much other nodes ask, operations go on. Dropping the future gives it up.
    pub async fn answer_peer(&self, request: Vec<u8>) -> Vec<u8> {
        self.dispatch.answer_peer(request).await
    }

    /// Has the clustering plugin finish or undo what its earlier calls have left, and returns how much
    /// is left.
    pub(crate) async fn recover(&self) -> Result<u32, CallError> {
        self.dispatch.recover().await
    }

    /// Resolves once a call may have left something.
    pub(crate) async fn something_left(&self) {
        self.dispatch.something_left().await;
    }

    /// Bytes of the largest request of another node that is looked at.
    pub(crate) fn largest_peer_request(&self) -> usize {
        self.dispatch.largest_peer_request()
    }

    /// What was counted so far, as OpenMetrics text for Prometheus.
    pub fn metrics(&self) -> String {
        metrics::text(&self.registries().collect::<Vec<_>>())
    }

    /// Looks at what [`metrics`](Self::metrics) shows of how far other nodes are, if that was not done
    /// in the last five seconds. Takes two seconds at the most.
    pub async fn look_for_metrics(&self) {
        if let Some(replicator) = &self.replicator {
            replicator.look_at_readers().await;
        }
    }

    pub(crate) fn registries(&self) -> impl Iterator<Item = &Registry> {
        let own = self.dispatch.metrics().registry();
        let of_servers = self.servers.as_ref().map(nats::Nats::registry);
        let of_replicator = self.replicator.as_ref().map(Replicator::registry);
        let of_flow = self.figures.as_ref().map(|figures| figures.registry());
        std::iter::once(own).chain(of_servers).chain(of_replicator).chain(of_flow)
    }

    /// What is wrong with this node's NATS servers, which should run and answer.
    pub(crate) fn trouble_with_servers(&self) -> Option<String> {
        use nats::{ServerKind, ServerState};
        let servers = self.servers.as_ref()?;
        let trouble = |kind| match *servers.state(kind).borrow() {
            ServerState::Up { .. } => None,
            ServerState::Silent { .. } => {
                Some(format!("this node's NATS {kind} server does not answer"))
            }
            ServerState::Down => Some(format!("this node's NATS {kind} server does not run")),
        };
        [ServerKind::Hub, ServerKind::Leaf].into_iter().find_map(trouble)
    }

    /// Whether the operation that `request` names may change anything; of one that there is not, no
    /// more is known than that it will be refused.
    pub(crate) fn may_change(&self, request: &Map<String, Value>) -> bool {
        self.dispatch.may_change(request)
    }

    /// Whether operations that change something are written down, as far as they are to be.
    pub(crate) async fn is_audited(&self) -> bool {
        match self.dispatch.audit() {
            Some(audit) => audit.is_written().await,
            None => true,
        }
    }

    /// The name of the operation that `request` names; none of one that there is not.
    pub(crate) fn operation_of(&self, request: &Map<String, Value>) -> Option<Arc<str>> {
        self.dispatch.name_of(request)
    }

    /// All operations, in the order of their names.
    pub fn operations(&self) -> Vec<Operation> {
        self.dispatch.operations()
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        self.dispatch.runtime()
    }
}
