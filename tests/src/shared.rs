//! What nodes share with each other, as somebody sees it who looks at all of them: whether their
//! records agree, and whether streams and durable consumers are what the records say.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{consumer, stream};
use futures_util::TryStreamExt;
use harper_host::{TableInfo, TableName, Tables};
use harper_wire::names;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::nats::PATIENCE;
use crate::nodes::ClusterNode;

/// Which way a table's transactions go, seen from the node that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// To the other node.
    pub publish: bool,
    /// From the other node.
    pub subscribe: bool,
}

impl Flow {
    fn seen_from_there(self) -> Self {
        Self { publish: self.subscribe, subscribe: self.publish }
    }
}

/// What is shared with one node: tables, as `database.table`.
pub type Flows = BTreeMap<String, Flow>;

/// What can be seen of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Its records of other nodes.
    pub records: BTreeMap<String, Flows>,
    /// Nodes with which an operation is under way, or left to be finished or undone.
    pub left: BTreeSet<String>,
    /// Tables that have a stream here, each with the durable consumers on it.
    pub streams: BTreeMap<String, BTreeSet<String>>,
}

impl ClusterNode {
    /// Looks at it. Fails when its servers do not answer for some time.
    pub async fn seen(&self) -> Result<Seen> {
        // A list that is read while one of its items is removed cannot be read.
        let end = Instant::now() + std::time::Duration::from_secs(5);
        loop {
            match self.look().await {
                Err(_) if Instant::now() < end => {
                    sleep(std::time::Duration::from_millis(10)).await;
                }
                seen => return seen,
            }
        }
    }

    async fn look(&self) -> Result<Seen> {
        let records = self.store.nodes().await?.into_iter();
        let records = records.map(|(node, record)| Ok((node, flows(&record.record)?)));
        let intents = TableName { database: "system".into(), table: "hdb_intents".into() };
        let left = Tables::list(&self.store, intents, None).await?.rows.into_iter();
        Ok(Seen {
            name: self.name().into(),
            records: records.collect::<Result<_>>()?,
            left: left.map(|row| row.key).collect(),
            streams: self.streams().await?,
        })
    }

    async fn streams(&self) -> Result<BTreeMap<String, BTreeSet<String>>> {
        let context = self.servers.nats.jetstream(&names::domain(self.name()));
        let found: Vec<stream::Info> = context.streams().try_collect().await?;
        let mut streams = BTreeMap::new();
        for info in found {
            let subject = info.config.subjects.first().context("a stream has a subject")?;
            let table = subject.strip_prefix("txn.").context("a stream is a table's")?;
            let table = table.rsplit_once('.').context("a subject names the node")?.0.to_owned();
            // It may be gone since.
            let Ok(stream) = context.get_stream(&info.config.name).await else { continue };
            // While one is being deleted, nats-server lists what is no list.
            let durables: Vec<consumer::Info> = stream.consumers().try_collect().await?;
            streams.insert(table, durables.into_iter().map(|one| one.name).collect());
        }
        Ok(streams)
    }

    /// Makes a table of its own; the first of the attributes is the key.
    pub async fn make_table(&self, name: &str, attributes: &[&str]) -> Result<()> {
        let (database, table) = name.split_once('.').context("database.table")?;
        let known: Vec<_> = attributes[1..].iter().map(|name| json!({ "name": name })).collect();
        let request = json!({
            "operation": "create_table",
            "database": database,
            "table": table,
            "primary_key": attributes[0],
            "attributes": known,
        });
        self.send(request).await?;
        Ok(())
    }

    /// The attributes of a table, of which the first is the key; none when it is not there.
    pub async fn attributes(&self, name: &str) -> Result<Option<Vec<String>>> {
        let tables = Tables::describe(&self.data).await?;
        let found = tables.into_iter().find(|table| table.name.to_string() == name);
        Ok(found.map(|TableInfo { hash_attribute, attributes, .. }| {
            let others = attributes.into_iter().filter(|name| *name != hash_attribute);
            let mut others: Vec<_> = others.collect();
            others.sort();
            others.insert(0, hash_attribute);
            others
        }))
    }
}

/// What a record says.
pub fn flows(record: &Value) -> Result<Flows> {
    let flow = |one: &Value| {
        let text = |key: &str| one[key].as_str().with_context(|| format!("{key} in {one}"));
        let flag = |key: &str| one[key].as_bool().with_context(|| format!("{key} in {one}"));
        let flow = Flow { publish: flag("publish")?, subscribe: flag("subscribe")? };
        Ok((format!("{}.{}", text("schema")?, text("table")?), flow))
    };
    record["subscriptions"].as_array().context("a list")?.iter().map(flow).collect()
}

/// What is not as it has to be between nodes at rest that see all of each other.
pub fn problems(nodes: &[Seen]) -> Vec<String> {
    let mut problems = Vec::new();
    for node in nodes {
        let Seen { name, records, left, streams } = node;
        if !left.is_empty() {
            problems.push(format!("{name} has something left with {left:?}"));
        }
        let published = records.values().flatten().filter(|(_, flow)| flow.publish);
        let published: BTreeSet<_> = published.map(|(table, _)| table).collect();
        if !streams.keys().eq(published.iter().copied()) {
            let keys: Vec<_> = streams.keys().collect();
            problems.push(format!("{name} publishes {published:?} and has streams of {keys:?}"));
        }
        for (table, durables) in streams {
            let of_other = |other: &&Seen| {
                let flow = other.records.get(name).and_then(|flows| flows.get(table));
                other.name != *name && flow.is_some_and(|flow| flow.subscribe)
            };
            let wanted = nodes.iter().filter(of_other);
            let wanted = wanted.map(|other| names::durable(&other.name, name));
            let wanted: BTreeSet<_> = wanted.collect();
            if wanted != *durables {
                problems.push(format!("{table} of {name} has {durables:?} and not {wanted:?}"));
            }
        }
        for other in nodes {
            let here = records.get(&other.name);
            let there = other.records.get(name).map(mirrored);
            if name < &other.name && here != there.as_ref() {
                let other = &other.name;
                problems.push(format!("{name} has {here:?} of {other}, which has {there:?}"));
            }
        }
    }
    problems
}

fn mirrored(flows: &Flows) -> Flows {
    flows.iter().map(|(table, flow)| (table.clone(), flow.seen_from_there())).collect()
}

/// Waits until these nodes, which know of no others, agree and nothing is left to be done.
pub async fn agreed(nodes: &[&ClusterNode]) -> Result<Vec<Seen>> {
    agreed_by(async || {
        let mut seen = Vec::new();
        for node in nodes {
            seen.push(node.seen().await?);
        }
        Ok(seen)
    })
    .await
}

/// The same of nodes that are looked at so.
pub async fn agreed_by(look: impl AsyncFn() -> Result<Vec<Seen>>) -> Result<Vec<Seen>> {
    let end = Instant::now() + PATIENCE;
    loop {
        let wrong = match look().await {
            Ok(seen) => match problems(&seen) {
                wrong if wrong.is_empty() => return Ok(seen),
                wrong => format!("{wrong:#?}\nof {seen:#?}"),
            },
            Err(error) => error.to_string(),
        };
        ensure!(Instant::now() < end, "they do not agree: {wrong}");
        sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// A flow of a table, for what is expected: `>` publishes, `<` subscribes, `<>` does both.
pub fn flowing(tables: &[(&str, &str)]) -> Flows {
    let flow = |sign: &str| Flow { publish: sign.contains('>'), subscribe: sign.contains('<') };
    tables.iter().map(|(table, sign)| ((*table).to_owned(), flow(sign))).collect()
}

/// The subscriptions of a request, by the same signs.
pub fn subscriptions(tables: &[(&str, &str)]) -> Value {
    let one = |(table, sign): &(&str, &str)| {
        let (database, table) = table.split_once('.').unwrap_or(("data", table));
        json!({
            "schema": database,
            "table": table,
            "publish": sign.contains('>'),
            "subscribe": sign.contains('<'),
        })
    };
    tables.iter().map(one).collect()
}

/// A request about a node.
pub fn change(operation: &str, node: &str, tables: &[(&str, &str)]) -> Value {
    json!({
        "operation": operation,
        "node_name": node,
        "subscriptions": subscriptions(tables),
    })
}

/// The request that removes a node.
pub fn remove(node: &str) -> Value {
    json!({ "operation": "remove_node", "node_name": node })
}

/// The request that replaces the setup.
pub fn configure(connections: &[(&str, &[(&str, &str)])]) -> Value {
    let one = |(node, tables): &(&str, &[(&str, &str)])| json!({ "node_name": node, "subscriptions": subscriptions(tables) });
    json!({
        "operation": "configure_cluster",
        "connections": connections.iter().map(one).collect::<Vec<_>>(),
    })
}
