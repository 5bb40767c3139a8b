//! Rows from one node to another: how fast what waits in a stream is applied, against a client that
//! only pulls and acknowledges the same messages; how long one row takes, against a NATS request
//! between the same nodes; what it costs a node to publish what is inserted; and the memory of a node
//! that catches up. All of the nodes' servers run on this machine.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::context::PublishAckFuture;
use futures_util::{StreamExt, TryStreamExt, stream};
use harper_host::TableName;
use harper_host::data::{Key, Row as Record, Version, Write};
use harper_host::flow::FlowConfig;
use harper_host::transaction::{Change, Part, Passed, Transaction};
use harper_tests::nats::eventually;
use harper_tests::nodes::{ClusterNode, Nodes, Wanted};
use harper_tests::shared::change;
use harper_wire::names;
use serde_json::{Value, json};

use crate::samples::Samples;
use crate::table::{Floor, Row, Unit};

const ROUNDS: u64 = 5;
/// Messages of a round, each a row.
const MESSAGES: u64 = 20_000;
/// Rows whose way is timed, one after another.
const LONE: u64 = 300;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(10);
const INSERT_FOR: Duration = Duration::from_secs(2);
const WRITERS: usize = 16;
/// For what was sent to be there.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn table(name: &str) -> TableName {
    TableName { database: "dev".into(), table: name.into() }
}

/// A row of 256 bytes on the wire.
fn record(id: u64) -> Record {
    let text = "x".repeat(150);
    let row = json!({ "id": id, "name": "Penny", "breed": "a retriever", "age": 7, "text": text });
    row.as_object().cloned().unwrap_or_default()
}

/// Nodes that rows flow between.
pub(crate) fn flowing() -> Wanted {
    Wanted { flow: Some(FlowConfig::default()), ..Wanted::default() }
}

pub(crate) fn measure(rows: &mut Vec<Row>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let cluster = Nodes::with(2, flowing()).await?;
        let [first, second] = &cluster.nodes[..] else { unreachable!("two were asked for") };
        let mut pair = Pair { first, second, tables: 0, version: now() };
        pair.apply_rate(rows, 1).await?;
        pair.apply_rate(rows, 10).await?;
        pair.latency(rows).await?;
        pair.insert_rate(rows).await?;
        cluster.stop().await;
        Ok(())
    })
}

/// Two nodes; rows go from the first to the second.
struct Pair<'c> {
    first: &'c ClusterNode,
    second: &'c ClusterNode,
    /// Tables so far.
    tables: usize,
    /// The last version that was made up, in microseconds.
    version: u64,
}

impl Pair<'_> {
    /// Makes so many tables on both, with streams on the first.
    async fn new_tables(&mut self, number: usize) -> Result<Vec<TableName>> {
        let names = self.tables..self.tables + number;
        self.tables += number;
        let tables: Vec<_> = names.map(|n| table(&format!("t{n}"))).collect();
        for table in &tables {
            for node in [self.first, self.second] {
                node.data.create_table(table, "id", &[], "bench").await?;
            }
        }
        Ok(tables)
    }

    async fn subscribe(&self, tables: &[TableName], sign: &str, from: Option<&str>) -> Result<()> {
        let names: Vec<_> = tables.iter().map(ToString::to_string).collect();
        let signs: Vec<_> = names.iter().map(|name| (name.as_str(), sign)).collect();
        let mut request = change("set_node_replication", self.first.name(), &signs);
        if let (Some(from), Some(all)) = (from, request["subscriptions"].as_array_mut()) {
            for one in all {
                one["start_time"] = from.into();
            }
        }
        self.second.send(request).await?;
        Ok(())
    }

    /// Messages a second of a backlog.
    async fn apply_rate(&mut self, rows: &mut Vec<Row>, tables: usize) -> Result<()> {
        let (mut ours, mut theirs) = (Samples::default(), Samples::default());
        for round in 0..=ROUNDS {
            let of = self.new_tables(tables).await?;
            // The second node has the streams kept, and goes away before there is anything.
            self.subscribe(&of, "<", None).await?;
            let record = self.second.store.node(self.first.name()).await?.context("a record")?;
            self.second.store.remove_node(self.first.name(), record.revision).await??;
            fill(self.first, &of, MESSAGES, &mut self.version).await?;

            let pulled = self.pull(&of).await?;
            let began = Instant::now();
            self.subscribe(&of, "<", Some("2020-01-01T00:00:00.000Z")).await?;
            self.has_all(&of, MESSAGES).await?;
            let applied = MESSAGES as f64 / began.elapsed().as_secs_f64();
            self.subscribe(&of, "", None).await?;
            if round > 0 {
                ours.push(applied);
                theirs.push(pulled);
            }
        }
        let what = format!("rows applied, tables: {tables}");
        let other = "a pull with an ack each";
        let floor = Some(Floor::AtLeast(0.5));
        rows.push(Row::against(&what, &ours, other, &theirs, Unit::PerSecond, floor));
        Ok(())
    }

    async fn has_all(&self, tables: &[TableName], messages: u64) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let mut found = 0;
            for table in tables {
                found += self.second.data.table(table).await?.record_count;
            }
            if found >= messages {
                return Ok(());
            }
            ensure!(Instant::now() < end, "{found} of {messages} rows have come");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Messages a second that a client on the second node's leaf reads, and acknowledges each.
    async fn pull(&self, tables: &[TableName]) -> Result<f64> {
        let context = self.second.servers.nats.jetstream(&names::domain(self.first.name()));
        let mut readers = Vec::new();
        for table in tables {
            let stream = context.get_stream(names::stream(&table.database, &table.table)).await?;
            let config = pull::Config {
                durable_name: Some("bench".into()),
                deliver_policy: DeliverPolicy::All,
                max_ack_pending: 100_000,
                ..pull::Config::default()
            };
            readers.push(stream.create_consumer(config).await?);
        }
        let each = MESSAGES / u64::try_from(tables.len())?;
        let began = Instant::now();
        let read = readers.iter().map(|consumer| async move {
            let messages = consumer.stream().max_messages_per_batch(500).messages().await?;
            let mut messages = messages.take(usize::try_from(each)?);
            while let Some(message) = messages.try_next().await? {
                message.ack().await.map_err(|error| anyhow::anyhow!("{error}"))?;
            }
            anyhow::Ok(())
        });
        futures_util::future::try_join_all(read).await?;
        let rate = MESSAGES as f64 / began.elapsed().as_secs_f64();
        for table in tables {
            let stream = context.get_stream(names::stream(&table.database, &table.table)).await?;
            stream.delete_consumer("bench").await?;
        }
        Ok(rate)
    }

    /// From the insert's reply on the first node until the row can be read on the second.
    async fn latency(&mut self, rows: &mut Vec<Row>) -> Result<()> {
        let of = self.new_tables(1).await?;
        self.subscribe(&of, "<", None).await?;
        let (table, second) = (&of[0], self.second);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let responder = second.servers.nats.client();
        let mut asked = responder.subscribe("bench.echo").await?;
        let echo = tokio::spawn(async move {
            while let Some(message) = asked.next().await {
                if let Some(reply) = message.reply {
                    // Who asked may have gone.
                    let _ = responder.publish(reply, message.payload).await;
                }
            }
        });
        let client = self.first.servers.nats.client();
        eventually("the responder is heard of", async || {
            client.request("bench.echo", "x".into()).await.is_ok()
        })
        .await?;
        for id in 0..LONE {
            let key = Key::try_from(Value::from(id))?;
            self.first.data.write(table, Write::Insert, vec![record(id)], "bench").await?;
            let began = Instant::now();
            while second.data.get(table, vec![key.clone()]).await?.is_empty() {
                ensure!(began.elapsed() < PATIENCE, "the row does not come");
                tokio::time::sleep(Duration::from_micros(50)).await;
            }
            let took = began.elapsed();
            tokio::time::sleep(PAUSE).await;
            let began = Instant::now();
            client.request("bench.echo", vec![b'x'; 256].into()).await?;
            let asked = began.elapsed();
            // The first ones find nothing warm.
            if id >= 20 {
                ours.push(took.as_secs_f64());
                theirs.push(asked.as_secs_f64());
            }
        }
        echo.abort();
        for samples in [&mut ours, &mut theirs] {
            samples.sort_by(f64::total_cmp);
        }
        for (name, part, floor) in [("p50", 0.5, Some(Floor::AtMost(5.0))), ("p99", 0.99, None)] {
            let at = |samples: &[f64]| {
                let place = (part * (samples.len() - 1) as f64).round() as usize;
                let mut one = Samples::default();
                one.push(samples[place]);
                one
            };
            let what = format!("a row's way, {name}");
            let other = format!("a NATS request, {name}");
            let (ours, theirs) = (at(&ours), at(&theirs));
            rows.push(Row::against(&what, &ours, &other, &theirs, Unit::Milliseconds, floor));
        }
        self.subscribe(&of, "", None).await
    }

    /// Inserts a second, of rows that are published and of others.
    async fn insert_rate(&mut self, rows: &mut Vec<Row>) -> Result<()> {
        let tables = self.new_tables(2).await?;
        let (shared, own) = (&tables[0], &tables[1]);
        self.subscribe(std::slice::from_ref(shared), "<", None).await?;
        let (mut ours, mut theirs) = (Samples::default(), Samples::default());
        let mut ids = 0..u64::MAX;
        for round in 0..=ROUNDS {
            let published = self.insert(shared, &mut ids).await?;
            // What is still on its way is not the other's cost.
            self.first.is_published().await?;
            let all = self.first.data.table(shared).await?.record_count;
            self.has_all(std::slice::from_ref(shared), all).await?;
            let unpublished = self.insert(own, &mut ids).await?;
            if round > 0 {
                ours.push(published);
                theirs.push(unpublished);
            }
        }
        let what = format!("inserts that are published, writers: {WRITERS}");
        let floor = Some(Floor::AtLeast(0.6));
        let other = "of a table that is not shared";
        rows.push(Row::against(&what, &ours, other, &theirs, Unit::PerSecond, floor));
        self.subscribe(std::slice::from_ref(shared), "", None).await
    }

    async fn insert(&self, table: &TableName, ids: &mut Range<u64>) -> Result<f64> {
        let end = Instant::now() + INSERT_FOR;
        let began = Instant::now();
        let data = &self.first.data;
        let insert =
            |id| async move { data.write(table, Write::Insert, vec![record(id)], "bench").await };
        let some = ids.by_ref().take_while(|_| Instant::now() < end);
        let written = stream::iter(some).map(insert).buffer_unordered(WRITERS);
        let written: Vec<_> = written.try_collect().await?;
        Ok(written.len() as f64 / began.elapsed().as_secs_f64())
    }
}

/// Fills a node's streams of these tables with so many messages in all, a row each, as it would.
/// `version` is the last one in microseconds, and is counted up.
pub(crate) async fn fill(
    node: &ClusterNode,
    tables: &[TableName],
    messages: u64,
    version: &mut u64,
) -> Result<()> {
    let name = node.name();
    let context = node.servers.nats.jetstream(&names::domain(name));
    let passed = Passed { origin: name.into(), transacted: vec![name.into()] };
    let mut headers = async_nats::HeaderMap::new();
    passed.put_into(&mut headers);
    let mut sent = Vec::with_capacity(1000);
    for id in 0..messages {
        let table = &tables[usize::try_from(id)? % tables.len()];
        *version += 1;
        let ids = vec![Key::try_from(Value::from(id))?];
        let rows = vec![record(id)];
        let transaction = Transaction {
            parts: vec![Part {
                table: table.clone(),
                change: Change::Rows { rows, ids, partial: false },
            }],
            version: Version { timestamp: *version, node: name.into() },
            user: "bench".into(),
        };
        let subject = names::subject(&table.database, &table.table, name);
        let payload = transaction.encode().into();
        sent.push(context.publish_with_headers(subject, headers.clone(), payload).await?);
        if sent.len() == 1000 {
            stored(&mut sent).await?;
        }
    }
    stored(&mut sent).await
}

async fn stored(sent: &mut Vec<PublishAckFuture>) -> Result<()> {
    for one in sent.drain(..) {
        one.await?;
    }
    Ok(())
}

/// Some time ago, in microseconds since 1970: nothing is from the future.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let since = since.unwrap_or_default().as_micros();
    u64::try_from(since).unwrap_or_default() - 3_600_000_000
}
