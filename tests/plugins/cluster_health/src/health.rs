//! Who answers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::bindings::exports::harper::plugin::operations::Error;
use crate::bindings::harper::plugin::{nats, node, tables};

/// Milliseconds for which a silent node is waited for, when nothing is said.
const TIMEOUT: u64 = 2000;
/// And at most: a call has 30 seconds.
pub(crate) const LONGEST_TIMEOUT: u64 = 20_000;

/// Where the operator may list the nodes that should be there.
pub(crate) const INVENTORY: (&str, &str) = ("ops", "nodes");

/// What is known of a node.
#[derive(Default)]
struct Seen {
    /// Milliseconds until its hub's answer; none when there was none.
    response_time: Option<u64>,
    /// Nodes whose hubs have a route to it.
    seen_by: Vec<String>,
    /// Whether it stands in the inventory.
    is_listed: bool,
}

pub(crate) async fn cluster_health(request: &Value) -> Result<Value, Error> {
    let timeout = timeout(request)?;
    let this = node::get().name.unwrap_or_default();
    let mut nodes: BTreeMap<String, Seen> = BTreeMap::new();
    for name in inventory().await? {
        nodes.entry(name).or_default().is_listed = true;
    }
    for server in nats::servers(timeout).await.map_err(network)? {
        let Some(name) = node_of(&server.name) else { continue };
        for route in server.routes.iter().filter_map(|route| node_of(route)) {
            nodes.entry(route.into()).or_default().seen_by.push(name.into());
        }
        nodes.entry(name.into()).or_default().response_time = Some(server.response_time);
    }
    let silent: Vec<_> = nodes
        .iter()
        .filter(|(_, seen)| seen.response_time.is_none())
        .map(|(name, _)| name)
        .collect();
    Ok(json!({
        "healthy": silent.is_empty(),
        "node": this,
        "not_answering": silent,
        "nodes": nodes.iter().map(|(name, seen)| shown(name, seen)).collect::<Value>(),
    }))
}

fn timeout(request: &Value) -> Result<u64, Error> {
    match &request["timeout"] {
        Value::Null => Ok(TIMEOUT),
        value => value.as_u64().filter(|n| (1..=LONGEST_TIMEOUT).contains(n)).ok_or_else(|| {
            Error::Invalid(format!("'timeout' must be an integer from 1 to {LONGEST_TIMEOUT}"))
        }),
    }
}

/// A node's hub is `<node>-hub`; its leaf is not asked for.
fn node_of(server: &str) -> Option<&str> {
    server.strip_suffix("-hub").filter(|name| !name.is_empty())
}

fn shown(name: &str, seen: &Seen) -> Value {
    let mut node = json!({ "name": name, "answers": seen.response_time.is_some() });
    if let Some(milliseconds) = seen.response_time {
        node["response_time"] = milliseconds.into();
    }
    let mut seen_by = seen.seen_by.clone();
    seen_by.sort();
    seen_by.dedup();
    node["seen_by"] = seen_by.into();
    node["listed"] = seen.is_listed.into();
    node
}

/// The names in the operator's list; none where there is no such table.
async fn inventory() -> Result<Vec<String>, Error> {
    let (database, table) = INVENTORY;
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = match tables::list(database.into(), table.into(), after).await {
            Ok(page) => page,
            Err(tables::Error::NotFound(_)) => return Ok(Vec::new()),
            Err(error) => {
                return Err(Error::Failed(format!("{database}.{table} cannot be read: {error:?}")));
            }
        };
        for row in page.rows {
            let record: Value = serde_json::from_str(&row.value).unwrap_or_default();
            names.extend(record["name"].as_str().map(str::to_owned));
        }
        match page.next {
            None => return Ok(names),
            next => after = next,
        }
    }
}

/// What the caller is told when nobody could be asked.
fn network(error: nats::Error) -> Error {
    match error {
        nats::Error::NotEnabled => Error::Failed(
            "Clustering is not enabled: set clustering.enabled to true in harperdb-config.yaml"
                .into(),
        ),
        nats::Error::Denied(text)
        | nats::Error::Unavailable(text)
        | nats::Error::TooLarge(text)
        | nats::Error::InvalidRequest(text)
        | nats::Error::Other(text) => Error::Failed(text),
        nats::Error::NoResponders | nats::Error::Timeout => {
            Error::Failed("This node's own server does not answer".into())
        }
    }
}
