//! What is counted, for Prometheus: each part counts its own, and `GET /metrics` of the API writes
//! all of it out.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::capabilities::Capability;
use crate::runtime::Used;

/// Seconds: from a read in the sandbox to the longest budget.
const SECONDS: [f64; 10] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 5.0, 30.0];
/// Bytes: from what our component starts with to the largest budget.
const MIB: f64 = 1_048_576.0;
const BYTES: [f64; 8] =
    [MIB, 2.0 * MIB, 4.0 * MIB, 8.0 * MIB, 16.0 * MIB, 32.0 * MIB, 64.0 * MIB, 128.0 * MIB];

/// Names and values. Values come from us alone: what a client makes up would be a new series each
/// time.
type Labels<const N: usize> = [(&'static str, String); N];
/// A counter for each combination of labels.
pub(crate) type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Histograms = Family<Labels<1>, Histogram>;

/// What a host counts.
pub(crate) struct Metrics {
    registry: Registry,
    operations: Counters<2>,
    seconds: Histograms,
    memory: Histograms,
    host_calls: Counters<2>,
    answers: Counters<1>,
    left: Gauge,
    plugins: Family<Labels<1>, Gauge>,
    pub(crate) config_writes: Counters<1>,
}

impl Metrics {
    /// `audit_lines_lost` is what the audit log counts, where there is one.
    pub(crate) fn new(audit_lines_lost: Option<Counter>) -> Self {
        let mut registry = Registry::with_prefix("harper");
        let seconds = Histograms::new_with_constructor(|| Histogram::new(SECONDS));
        let memory = Histograms::new_with_constructor(|| Histogram::new(BYTES));
        let (operations, host_calls) = (Counters::default(), Counters::default());
        let (answers, config_writes) = (Counters::default(), Counters::default());
        registry.register("operations", "Operations that ended", operations.clone());
        registry.register_with_unit(
            "operation_duration",
            "Time from request to reply",
            Unit::Seconds,
            seconds.clone(),
        );
        registry.register_with_unit(
            "plugin_memory",
            "Memory of a call's instance at its largest",
            Unit::Bytes,
            memory.clone(),
        );
        registry.register("plugin_host_calls", "Calls to capabilities", host_calls.clone());
        registry.register("peer_requests", "Requests of other nodes", answers.clone());
        let left = Gauge::default();
        registry.register(
            "operations_left",
            "Operations between nodes that are neither done nor undone",
            left.clone(),
        );
        let plugins = Family::<Labels<1>, Gauge>::default();
        registry.register("plugins", "Plugins of others, loaded or not", plugins.clone());
        registry.register("config_writes", "Writes of the configuration", config_writes.clone());
        if let Some(lost) = audit_lines_lost {
            let help = "Lines that could not be written to log/audit.log";
            registry.register("audit_lines_lost", help, lost);
        }
        Self {
            registry,
            operations,
            seconds,
            memory,
            host_calls,
            answers,
            left,
            plugins,
            config_writes,
        }
    }

    /// An operation has ended that there is not.
    pub(crate) fn unknown_operation(&self, outcome: &'static str, took: Duration) {
        self.operation(&OfOperation::new("unknown"), outcome, took);
    }

    /// An operation has ended.
    pub(crate) fn operation(&self, of: &OfOperation, outcome: &'static str, took: Duration) {
        let operation = || ("operation", of.name.clone());
        let count = || {
            let labels = [operation(), ("outcome", outcome.to_owned())];
            self.operations.get_or_create(&labels).clone()
        };
        match outcome {
            "ok" => of.ok.get_or_init(count).inc(),
            // Seldom, and there are many.
            _ => count().inc(),
        };
        let seconds = || self.seconds.get_or_create(&[operation()]).clone();
        of.seconds.get_or_init(seconds).observe(took.as_secs_f64());
    }

    /// A request of another node was answered.
    pub(crate) fn answer(&self, outcome: &'static str) {
        self.answers.get_or_create(&[("outcome", outcome.to_owned())]).inc();
    }

    /// So many operations are neither done nor undone.
    pub(crate) fn left(&self, left: u32) {
        self.left.set(left.into());
    }

    /// So many plugins of others run, and so many should and do not.
    pub(crate) fn plugins(&self, loaded: usize, not_loaded: usize) {
        for (state, number) in [("loaded", loaded), ("not_loaded", not_loaded)] {
            let gauge = self.plugins.get_or_create(&[("state", state.to_owned())]);
            gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }

    /// A call of a plugin has ended.
    pub(crate) fn call(&self, of: &OfPlugin, used: &Used) {
        let plugin = || ("plugin", of.name.clone());
        let memory = || self.memory.get_or_create(&[plugin()]).clone();
        of.memory.get_or_init(memory).observe(used.memory as f64);
        for ((capability, calls), counter) in used.host_calls.into_iter().zip(&of.host_calls) {
            if calls > 0 {
                let labels = || [plugin(), ("capability", capability.to_owned())];
                let counter =
                    counter.get_or_init(|| self.host_calls.get_or_create(&labels()).clone());
                counter.inc_by(calls.into());
            }
        }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// The series of one operation, found once: to look them up by their labels costs more than to
/// count. Each is there from the first time on that it counts.
pub(crate) struct OfOperation {
    name: String,
    ok: OnceLock<Counter>,
    seconds: OnceLock<Histogram>,
}

impl OfOperation {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ok: OnceLock::new(), seconds: OnceLock::new() }
    }
}

/// The series of one plugin, likewise.
pub(crate) struct OfPlugin {
    name: String,
    memory: OnceLock<Histogram>,
    host_calls: [OnceLock<Counter>; Capability::ALL.len()],
}

impl OfPlugin {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        let (memory, host_calls) = (OnceLock::new(), Default::default());
        Self { name: name.into(), memory, host_calls }
    }
}

/// OpenMetrics text of all these.
pub(crate) fn text(registries: &[&Registry]) -> String {
    let mut text = String::new();
    // To write into a string does not fail.
    let written = registries.iter().try_for_each(|one| encode_registry(&mut text, one));
    if let Err(error) = written.and_then(|()| encode_eof(&mut text)) {
        tracing::error!("the metrics cannot be written: {error}");
    }
    text
}
