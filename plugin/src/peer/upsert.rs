//! Subscriptions that another node adds or changes.

use std::cell::RefCell;
use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Map, Value};

use super::record::change;
use super::{Peer, Request};
use crate::capabilities::{Capabilities, TableInfo};
use crate::manifest::merge::{Edit, Origin, Starts, edited, needed, replacing};
use crate::manifest::plan::{self, attributes, other_key};
use crate::manifest::{Errand, Time};
use crate::nodes::{NodeRecord, TableKey, system_info};
use crate::operation::Error;
use crate::start_time::is_start_time;
use crate::subscriptions::{MOST, Wanted, is_shared_table};

/// The most subscriptions of a record.
const MOST_IN_A_RECORD: usize = 10_000;

/// Longest name of a change, in bytes.
const LONGEST_CHANGE: usize = 100;

/// How long the streams of the node that asks are waited for.
const LOOK: Duration = Duration::from_secs(3);

/// A subscription that a node tells, as this one sees it.
struct Told {
    edit: Edit,
    /// The table as the other one has it.
    table: Option<TableInfo>,
}

/// Makes the tables that are not here, and then changes the record.
pub(super) async fn upsert<H: Capabilities>(
    peer: &Peer<'_, H>,
    request: &Request,
) -> Result<(), String> {
    let told = read(request)?;
    let flag = |key| request.get(key).and_then(Value::as_bool).unwrap_or_default();
    let name = request.get("change").and_then(Value::as_str);
    let name = name.filter(|name| name.len() <= LONGEST_CHANGE);
    let origin = if flag("undo") { Origin::Undo(name) } else { Origin::There(name) };
    let replace = flag("replace");
    let told_info = request.get("system_info").map(|told| system_info(Some(told)));
    let text = |error: Error| error.text().to_owned();

    create(peer, &told, origin).await?;
    let edits: Vec<_> = told.into_iter().map(|told| told.edit).collect();
    let published: Vec<TableKey<'_>> = edits.iter().filter_map(published).collect();
    if !published.is_empty() {
        peer.host.ensure_streams(&published).await.map_err(|error| text(error.into()))?;
    }

    let errand = Errand {
        host: peer.host,
        this: peer.this,
        own: peer.own,
        node: peer.node,
        operation: peer.operation,
        time: Time::begin(peer.host),
    };
    // Where the other's streams are is looked up once: that is "now".
    let starts = RefCell::new(Starts::new());
    change(peer, async |record: Option<&NodeRecord>| {
        let edits = if replace { replacing(record, edits.clone()) } else { edits.clone() };
        let wanted = {
            let starts = starts.borrow();
            let is_unknown = |(schema, table): &TableKey<'_>| {
                !starts.contains_key(&((*schema).to_owned(), (*table).to_owned()))
            };
            needed(record, &edits, origin).into_iter().filter(is_unknown).collect::<Vec<_>>()
        };
        if !wanted.is_empty() {
            let found = plan::starts(&errand, &wanted, LOOK).await.map_err(text)?;
            starts.borrow_mut().extend(found);
        }
        let subscriptions = edited(record, &edits, &starts.borrow(), origin);
        if subscriptions.len() > MOST_IN_A_RECORD {
            return Err(format!("There can be at most {MOST_IN_A_RECORD} subscriptions"));
        }
        let known_info = || record.map_or_else(|| system_info(None), |one| one.system_info.clone());
        let system_info = told_info.clone().unwrap_or_else(known_info);
        Ok(Some(NodeRecord { name: peer.node.into(), subscriptions, system_info }))
    })
    .await
}

fn published(edit: &Edit) -> Option<TableKey<'_>> {
    match edit {
        Edit::Want(wanted) if wanted.publish => Some(wanted.key()),
        _ => None,
    }
}

/// Makes the tables that are not here.
async fn create<H: Capabilities>(
    peer: &Peer<'_, H>,
    told: &[Told],
    origin: Origin<'_>,
) -> Result<(), String> {
    let flows = |told: &&Told| match &told.edit {
        Edit::Want(wanted) => wanted.publish || wanted.subscribe,
        _ => false,
    };
    let text = |error: Error| error.text().to_owned();
    let here = plan::here(peer.host).await.map_err(text)?;
    let mut missing = Vec::new();
    for told in told.iter().filter(flows) {
        let (schema, name) = told.edit.key();
        let key = (schema.to_owned(), name.to_owned());
        match (here.get(&key), &told.table) {
            (None, Some(table)) => missing.push(table.clone()),
            (Some(here), Some(there)) if here.hash_attribute != there.hash_attribute => {
                return Err(other_key(here, &format!("on node '{}'", peer.node), there));
            }
            // What is undone was there before, as it is.
            (None, None) if !matches!(origin, Origin::Undo(_)) => {
                return Err(format!(
                    "Table '{schema}.{name}' does not exist, and its hash_attribute was not told"
                ));
            }
            _ => {}
        }
    }
    plan::create(peer.host, &missing).await.map_err(text)
}

fn read(request: &Request) -> Result<Vec<Told>, String> {
    let items = match request.get("subscriptions") {
        Some(Value::Array(items)) if items.len() <= MOST => items,
        Some(Value::Array(_)) => {
            return Err(format!("'subscriptions' must have at most {MOST} items"));
        }
        Some(_) => return Err("'subscriptions' must be an array".into()),
        None => return Err("'subscriptions' is required".into()),
    };
    let mut seen = HashSet::new();
    let mut told = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let item =
            item.as_object().ok_or_else(|| format!("'subscriptions[{i}]' must be an object"))?;
        let one = read_one(item).map_err(|rule| format!("'subscriptions[{i}].{rule}"))?;
        let (schema, table) = one.edit.key();
        if !seen.insert((schema.to_owned(), table.to_owned())) {
            return Err(format!(
                "'subscriptions[{i}]' must not name a table that another one names"
            ));
        }
        told.push(one);
    }
    Ok(told)
}

/// The error ends a text that names the subscription.
fn read_one(item: &Map<String, Value>) -> Result<Told, &'static str> {
    let text = |key: &str| item.get(key).and_then(Value::as_str);
    let schema = text("schema").or_else(|| text("database")).ok_or("schema' must be a string")?;
    let table = text("table").ok_or("table' must be a string")?;
    if !is_shared_table(schema, table) {
        return Err("table' is none that can be shared");
    }
    let flag = |key: &str| item.get(key).map_or(Some(false), Value::as_bool);
    if flag("drop").unwrap_or_default() {
        return Ok(Told { edit: Edit::Drop(schema.into(), table.into()), table: None });
    }
    let start_time = match item.get("start_time") {
        None | Some(Value::Null) => None,
        Some(Value::String(time)) if is_start_time(time) => Some(time.clone()),
        Some(_) => return Err("start_time' must be in ISO 8601 date format (UTC, ending in Z)"),
    };
    let wanted = Wanted {
        schema: schema.into(),
        table: table.into(),
        publish: flag("publish").ok_or("publish' must be a boolean")?,
        subscribe: flag("subscribe").ok_or("subscribe' must be a boolean")?,
        start_time,
    };
    let described = text("hash_attribute").map(|hash_attribute| TableInfo {
        database: schema.into(),
        name: table.into(),
        hash_attribute: hash_attribute.into(),
        attributes: attributes(item.get("attributes"), hash_attribute),
    });
    Ok(Told { edit: Edit::Want(wanted), table: described })
}
