//! How far other nodes are with this node's streams: what each has acknowledged, and what is left
//! for it. One request asks for all streams, and one for the readers of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use harper_wire::names;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::time::{Instant, timeout_at};

use super::own::{table_of, unreachable};
use super::wanted::{NodeRecord, Wanted, stream_of};
use crate::capabilities::TableName;
use crate::nats::{Consumer, Nats};
use crate::store::Store;

/// Streams whose readers are asked for at the same time.
const TOGETHER: usize = 8;

/// A stream of this node, and who reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnStream {
    /// The table that it is of.
    pub table: TableName,
    /// How many messages it holds.
    pub messages: u64,
    /// The sequence of the first of them; beyond the last one when it holds none.
    pub first_sequence: u64,
    /// The last sequence that it has given.
    pub last_sequence: u64,
    /// By their names; none when that was not answered in time.
    pub readers: Option<Vec<Reader>>,
}

/// Who reads a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reader {
    /// The node; of a durable consumer that is no node's, that one's name.
    pub node: String,
    /// Up to which sequence it has acknowledged; none for a node that is to read it and has no
    /// durable consumer there yet.
    pub acknowledged: Option<u64>,
    /// How many messages it has not acknowledged; none for the same.
    pub pending: Option<u64>,
}

/// All of them, as far as they are known when `end` has come.
pub(super) async fn of(store: &Store, nats: &Nats, end: Instant) -> Result<Vec<OwnStream>, String> {
    let own = nats.node_name();
    let domain = names::domain(own);
    let patience = || end.saturating_duration_since(Instant::now());
    let streams = timeout_at(end, nats.streams_of(&domain, patience())).await;
    let streams = streams
        .map_err(|_| "This node's leaf server does not answer".to_owned())?
        .map_err(|error| unreachable(&error))?;
    let wanted = wanted(store).await?;
    let ours = streams.into_iter().filter_map(|stream| {
        let table = table_of(&stream.config, own)?;
        Some((table, stream.state))
    });
    let domain = &domain;
    let asked = futures_util::stream::iter(ours).map(async |(table, held)| {
        let stream = stream_of(&table);
        let consumers = match held.consumer_count {
            0 => Some(Vec::new()),
            _ => {
                let asked = nats.consumers_of(domain, &stream, patience());
                timeout_at(end, asked).await.ok().and_then(Result::ok)
            }
        };
        let wanted = wanted.get(&table);
        OwnStream {
            messages: held.messages,
            first_sequence: held.first_seq,
            last_sequence: held.last_seq,
            readers: consumers.map(|consumers| readers(own, consumers, wanted)),
            table,
        }
    });
    let mut all: Vec<_> = asked.buffer_unordered(TOGETHER).collect().await;
    all.sort_by(|one, other| one.table.cmp(&other.table));
    Ok(all)
}

/// The nodes that records let read each table.
async fn wanted(store: &Store) -> Result<BTreeMap<TableName, BTreeSet<String>>, String> {
    let records = store.nodes().await.map_err(|error| {
        tracing::error!("the records of nodes cannot be read: {error}");
        "The node's database failed: its log has the cause".to_owned()
    })?;
    let mut wanted: BTreeMap<TableName, BTreeSet<String>> = BTreeMap::new();
    for (node, record) in records {
        let Ok(record) = serde_json::from_value::<NodeRecord>(record.record) else { continue };
        for table in Wanted::of(record).publish {
            wanted.entry(table).or_default().insert(node.clone());
        }
    }
    Ok(wanted)
}

fn readers(own: &str, consumers: Vec<Consumer>, wanted: Option<&BTreeSet<String>>) -> Vec<Reader> {
    let mut readers: BTreeMap<String, Reader> = BTreeMap::new();
    for Consumer { name, info, pending } in consumers {
        let node = node_of(&name, own).unwrap_or(&name).to_owned();
        // Before the first acknowledgement it is where it began.
        let began = if info.given == 0 { info.delivered } else { 0 };
        let acknowledged = Some(info.acknowledged.max(began));
        let reader = Reader { node: node.clone(), acknowledged, pending: Some(pending) };
        readers.insert(node, reader);
    }
    for node in wanted.into_iter().flatten() {
        let reader = || Reader { node: node.clone(), acknowledged: None, pending: None };
        readers.entry(node.clone()).or_insert_with(reader);
    }
    readers.into_values().collect()
}

/// Whose durable consumer this is: `<node>-leaf_<own>` of ours, `<node>-leaf` of Harper's nodes.
fn node_of<'n>(durable: &'n str, own: &str) -> Option<&'n str> {
    let leaf = match durable.strip_suffix(own).and_then(|rest| rest.strip_suffix('_')) {
        Some(leaf) => leaf,
        None => durable,
    };
    leaf.strip_suffix("-leaf")
}

/// For a look that metrics wait for.
const LOOK: Duration = Duration::from_secs(2);
/// What was seen so lately is shown again.
const FRESH: Duration = Duration::from_secs(5);

/// What was seen last, as metrics.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// When it was looked; whoever looks has it.
    looked: tokio::sync::Mutex<Option<Instant>>,
    streams: Mutex<Vec<OwnStream>>,
}

impl Seen {
    /// Has `look` tell, if it did not lately. What it does not tell is not shown.
    pub(super) async fn look(
        &self,
        look: impl AsyncFnOnce(Duration) -> Result<Vec<OwnStream>, String>,
    ) {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|looked| looked.elapsed() < FRESH) {
            return;
        }
        let streams = look(LOOK).await.unwrap_or_default();
        *self.streams.lock().unwrap_or_else(PoisonError::into_inner) = streams;
        *looked = Some(Instant::now());
    }
}

impl Collector for Seen {
    #[expect(clippy::cast_precision_loss, reason = "a float of so many messages is near enough")]
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let help = "The last sequence of this node's stream of a table.";
        let mut family =
            encoder.encode_descriptor("stream_sequence", help, None, MetricType::Gauge)?;
        for OwnStream { table: TableName { database, table }, last_sequence, .. } in &*streams {
            let labels = [("database", database.as_str()), ("table", table.as_str())];
            ConstGauge::new(*last_sequence as f64).encode(family.encode_family(&labels)?)?;
        }
        type Number = fn(&Reader) -> Option<u64>;
        let numbers: [(&str, &str, Number); 2] = [
            (
                "reader_acknowledged",
                "The sequence up to which another node has acknowledged this node's stream of a table.",
                |reader| reader.acknowledged,
            ),
            (
                "reader_pending",
                "Messages of this node's stream of a table that another node has not acknowledged.",
                |reader| reader.pending,
            ),
        ];
        for (name, help, number) in numbers {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for OwnStream { table: TableName { database, table }, readers, .. } in &*streams {
                for reader in readers.iter().flatten() {
                    let Some(value) = number(reader) else { continue };
                    let labels = [
                        ("node", reader.node.as_str()),
                        ("database", database.as_str()),
                        ("table", table.as_str()),
                    ];
                    ConstGauge::new(value as f64).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nats::DurableInfo;

    fn consumer(name: &str, (given, delivered, acknowledged): (u64, u64, u64)) -> Consumer {
        let info = DurableInfo { given, delivered, acknowledged, acks_all: true };
        Consumer { name: name.into(), info, pending: 3 }
    }

    // covers: replication.readers.names
    #[test]
    fn a_durable_consumer_is_shown_as_the_node_whose_it_is() {
        let reader =
            |node: &str, acknowledged, pending| Reader { node: node.into(), acknowledged, pending };
        let consumers = vec![
            consumer("a-leaf_own", (9, 9, 7)),
            consumer("b-leaf", (0, 5, 0)),
            consumer("somebody", (1, 1, 1)),
        ];
        let wanted = ["a", "c"].map(String::from).into();
        let expected = [
            reader("a", Some(7), Some(3)),
            reader("b", Some(5), Some(3)),
            // It is to read, and has not begun.
            reader("c", None, None),
            reader("somebody", Some(1), Some(3)),
        ];
        assert_eq!(readers("own", consumers, Some(&wanted)), expected);
    }

    // covers: replication.readers.metrics
    #[tokio::test]
    async fn what_was_seen_is_shown_and_looked_at_once_for_many_who_ask() {
        let seen = std::sync::Arc::new(Seen::default());
        let mut registry = prometheus_client::registry::Registry::with_prefix("harper_replication");
        registry.register_collector(Box::new(seen.clone()));
        let readers = readers("own", vec![consumer("a-leaf_own", (9, 9, 7))], None);
        let table = TableName { database: "dev".into(), table: "dog".into() };
        let (messages, first_sequence, last_sequence) = (3, 10, 12);
        let readers = Some(readers);
        let stream = OwnStream { table, messages, first_sequence, last_sequence, readers };
        seen.look(async |_| Ok(vec![stream])).await;
        seen.look(async |_| Err("it was looked at just now".into())).await;
        let text = crate::metrics::text(&[&registry]);
        let of = r#"database="dev",table="dog"}"#;
        for line in [
            format!("harper_replication_stream_sequence{{{of} 12.0"),
            format!(r#"harper_replication_reader_acknowledged{{node="a",{of} 7.0"#),
            format!(r#"harper_replication_reader_pending{{node="a",{of} 3.0"#),
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
    }
}
