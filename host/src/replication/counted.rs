//! What is counted.

use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::readers::Seen;
use crate::metrics::Counters;

/// Metrics of the reconciler.
pub(super) struct Counted {
    registry: Registry,
    pub(super) durables_wanted: Gauge,
    pub(super) durables_present: Gauge,
    pub(super) streams_wanted: Gauge,
    pub(super) streams_present: Gauge,
    failures: Counters<1>,
    /// How far other nodes are with this node's streams.
    pub(super) seen: Arc<Seen>,
}

impl Counted {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("harper_replication");
        let gauge = |registry: &mut Registry, name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let r = &mut registry;
        let durables_wanted =
            gauge(r, "durables_wanted", "Durable consumers on other nodes that records ask for");
        let durables_present =
            gauge(r, "durables_present", "Those that were there when they were last looked at");
        let streams_wanted =
            gauge(r, "streams_wanted", "Streams of this node that records ask for");
        let streams_present =
            gauge(r, "streams_present", "Those that were there when they were last looked at");
        let failures = Counters::default();
        registry.register(
            "failures",
            "Times that a node's durables, or the streams, could not be made to match",
            failures.clone(),
        );
        let seen = Arc::new(Seen::default());
        registry.register_collector(Box::new(seen.clone()));
        for of in ["durables", "streams"] {
            drop(failures.get_or_create(&[("of", of.to_owned())]));
        }
        Self {
            registry,
            durables_wanted,
            durables_present,
            streams_wanted,
            streams_present,
            failures,
            seen,
        }
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Something did not match in the end.
    pub(super) fn failed(&self, of: &'static str) {
        self.failures.get_or_create(&[("of", of.to_owned())]).inc();
    }
}
