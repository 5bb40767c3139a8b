//! The figures as metrics, taken when they are asked for.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::{Shared, State, SubscriptionFigures as Figures, now};

/// One number of each subscription.
enum Number {
    Counter(fn(&Figures) -> u64),
    /// None is not shown.
    Gauge(fn(&Figures) -> Option<f64>),
}

#[expect(clippy::cast_precision_loss, reason = "a float of so many messages is near enough")]
const NUMBERS: [(&str, &str, Option<Unit>, Number); 8] = [
    (
        "reached",
        "Whether a subscription's node is reached: while it is not, its lag is not known.",
        None,
        Number::Gauge(|one| Some(f64::from(u8::from(one.state != State::Away)))),
    ),
    (
        "lag_messages",
        "Messages of a subscription that are not applied yet.",
        None,
        Number::Gauge(|one| one.lag_messages.map(|messages| messages as f64)),
    ),
    (
        "lag",
        "Age of the oldest message of a subscription that is not applied yet.",
        Some(Unit::Seconds),
        Number::Gauge(|one| one.lag_seconds),
    ),
    (
        "applied",
        "Rows of a subscription that were written or deleted here.",
        None,
        Number::Counter(|one| one.applied),
    ),
    (
        "dropped",
        "Messages and rows of a subscription that were here already, or older than what is here.",
        None,
        Number::Counter(|one| one.dropped),
    ),
    (
        "dead_lettered",
        "Messages of a subscription that could not be applied and were laid aside.",
        None,
        Number::Counter(|one| one.dead_lettered),
    ),
    (
        "dead_letters",
        "Messages of a subscription that lie aside now.",
        None,
        Number::Gauge(|one| Some(one.dead_letters as f64)),
    ),
    (
        "gap",
        "Messages that were removed from the stream before they were read, and are lost here.",
        None,
        Number::Counter(|one| one.gap),
    ),
];

impl Collector for Shared {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let snapshot = self.snapshot(now());
        let outbox = snapshot.outbox;
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?)
        };
        #[expect(clippy::cast_precision_loss, reason = "near enough")]
        let waiting = outbox.waiting as f64;
        gauge("outbox_changes", "Changes of this node that are not published yet.", None, waiting)?;
        #[expect(clippy::cast_precision_loss, reason = "near enough")]
        let aside = snapshot.dead_letters as f64;
        let help = "Messages that lie aside now, those of subscriptions that have ended too.";
        gauge("all_dead_letters", help, None, aside)?;
        let help = "How long the oldest change that is not published has waited.";
        gauge("outbox_age", help, Some(&Unit::Seconds), outbox.waiting_seconds)?;
        let mut counter = |name: &str, help: &str, value: u64| {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
        };
        counter("published", "Messages that this node has published.", outbox.published)?;
        counter(
            "publish_failures",
            "Times that publishing failed and began again.",
            outbox.failures,
        )?;
        let help =
            "Changes that left the change log before they were published, and are lost to others.";
        counter("outbox_gap", help, outbox.gap)?;
        let help = "Messages that were not published, because no stream takes them.";
        counter("unpublished", help, outbox.unpublished)?;
        for (name, help, unit, number) in NUMBERS {
            let kind = match number {
                Number::Counter(_) => MetricType::Counter,
                Number::Gauge(_) => MetricType::Gauge,
            };
            let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
            for one in &snapshot.subscriptions {
                let labels = [
                    ("node", one.node.as_str()),
                    ("database", one.table.database.as_str()),
                    ("table", one.table.table.as_str()),
                ];
                match &number {
                    Number::Counter(of) => {
                        ConstCounter::new(of(one)).encode(family.encode_family(&labels)?)?;
                    }
                    Number::Gauge(of) => {
                        let Some(value) = of(one) else { continue };
                        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }
}
