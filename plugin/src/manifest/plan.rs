//! Which tables are where, and so which subscriptions can be made.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::merge::{Edit, Starts};
use super::request::no_stream;
use super::{Errand, REACH, merge};
use crate::ask::NOT_ENABLED;
use crate::capabilities::{Capabilities, JetStreamError, ReplicationError, TableInfo};
use crate::nodes::{Start, TableKey};
use crate::operation::Error;
use crate::subscriptions::Wanted;

/// The most attributes of a table that are taken from another node.
const MOST_ATTRIBUTES: usize = 1000;

/// Tables of a node, by database and name.
pub type Tables = HashMap<(String, String), TableInfo>;

/// A subscription that can be made.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What is wanted.
    pub wanted: Wanted,
    /// The table, as it is on this node, or else on the other; none when it is on neither, and
    /// nothing flows.
    pub table: Option<TableInfo>,
    /// Whether this node has it.
    pub is_here: bool,
}

/// What can be made of the subscriptions of a request.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// These.
    pub made: Vec<Planned>,
    /// Not these: the table is on neither node.
    pub skipped: Vec<Wanted>,
}

impl Plan {
    /// Sorts the subscriptions by what there is here and on `node`.
    pub fn new(
        wanted: &[Wanted],
        here: &Tables,
        there: &Tables,
        node: &str,
    ) -> Result<Self, Error> {
        let mut plan = Self::default();
        let mut wrong = Vec::new();
        for wanted in wanted {
            let key = (wanted.schema.clone(), wanted.table.clone());
            let (local, remote) = (here.get(&key), there.get(&key));
            if let (Some(local), Some(remote)) = (local, remote)
                && local.hash_attribute != remote.hash_attribute
            {
                wrong.push(other_key(local, &format!("on node '{node}'"), remote));
                continue;
            }
            let table = local.or(remote).cloned();
            if table.is_none() && (wanted.publish || wanted.subscribe) {
                plan.skipped.push(wanted.clone());
            } else {
                let is_here = local.is_some();
                plan.made.push(Planned { wanted: wanted.clone(), table, is_here });
            }
        }
        if wrong.is_empty() { Ok(plan) } else { Err(Error::Invalid(wrong.join(". "))) }
    }

    /// The change to the record here.
    pub fn edits(&self) -> Vec<Edit> {
        self.made.iter().map(|planned| Edit::Want(planned.wanted.clone())).collect()
    }

    /// What the other node is told.
    pub fn told(&self) -> Vec<Value> {
        let told = |planned: &Planned| {
            let mut told = merge::told(&Edit::Want(planned.wanted.clone()));
            if let Some(table) = &planned.table {
                let attribute = |name: &String| json!({ "attribute": name });
                told["hash_attribute"] = table.hash_attribute.as_str().into();
                told["attributes"] = table.attributes.iter().map(attribute).collect();
            }
            told
        };
        self.made.iter().map(told).collect()
    }

    /// The tables that this node lacks.
    pub fn missing(&self) -> Vec<TableInfo> {
        let is_wanted = |planned: &&Planned| planned.wanted.publish || planned.wanted.subscribe;
        let missing = self.made.iter().filter(is_wanted).filter(|planned| !planned.is_here);
        missing.filter_map(|planned| planned.table.clone()).collect()
    }

    /// The tables whose transactions go to the other node.
    pub fn published(&self) -> Vec<TableKey<'_>> {
        let published = self.made.iter().filter(|planned| planned.wanted.publish);
        published.map(|planned| planned.wanted.key()).collect()
    }
}

/// A table has one primary key here and another there.
pub fn other_key(here: &TableInfo, where_there: &str, there: &TableInfo) -> String {
    let TableInfo { database, name, hash_attribute, .. } = here;
    let other: String =
        there.hash_attribute.chars().filter(|c| !c.is_control()).take(100).collect();
    format!(
        "Table '{database}.{name}' has the primary key '{hash_attribute}' here and '{other}' \
         {where_there}"
    )
}

/// The tables of this node.
pub async fn here(host: &impl Capabilities) -> Result<Tables, Error> {
    let tables = host.describe().await?;
    Ok(tables.into_iter().map(|one| ((one.database.clone(), one.name.clone()), one)).collect())
}

/// The tables that another node describes, as far as they are wanted: its word, of whatever form.
pub fn there<'w>(description: &Value, wanted: impl Iterator<Item = &'w Wanted>) -> Tables {
    let table = |wanted: &Wanted| {
        let table = description.get(&wanted.schema)?.get(&wanted.table)?;
        let hash_attribute = table.get("hash_attribute")?.as_str()?.to_owned();
        let attributes = attributes(table.get("attributes"), &hash_attribute);
        let (database, name) = (wanted.schema.clone(), wanted.table.clone());
        let key = (database.clone(), name.clone());
        Some((key, TableInfo { database, name, hash_attribute, attributes }))
    };
    wanted.filter_map(table).collect()
}

/// The names of attributes, as nodes tell each other, the key among them.
pub fn attributes(told: Option<&Value>, hash_attribute: &str) -> Vec<String> {
    let items = told.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let name = |item: &Value| {
        let name = item.as_str().or_else(|| item.get("attribute")?.as_str())?;
        Some(name.to_owned())
    };
    let mut seen = BTreeSet::new();
    let names = std::iter::once(hash_attribute.to_owned()).chain(items.iter().filter_map(name));
    names.filter(|name| seen.insert(name.clone())).take(MOST_ATTRIBUTES).collect()
}

/// Where the other node's streams of these tables are now.
pub async fn starts<H: Capabilities>(
    errand: &Errand<'_, H>,
    tables: &[TableKey<'_>],
    most: Duration,
) -> Result<Starts, Error> {
    let domain = harper_wire::names::domain(errand.node);
    let timeout = errand.time.at_most(errand.host, most);
    let look = |&(schema, table): &TableKey<'_>| {
        let (domain, key) = (&domain, (schema.to_owned(), table.to_owned()));
        async move {
            let stream = harper_wire::names::stream(&key.0, &key.1);
            let start = match errand.host.inspect(domain, &stream, timeout).await {
                Ok(state) => Start { created: Some(state.created), sequence: state.last_sequence },
                Err(JetStreamError::NotFound) => Start { created: None, sequence: 0 },
                Err(error) => return Err(no_stream(errand, error, timeout)),
            };
            Ok((key, start))
        }
    };
    Ok(try_join_all(tables.iter().map(look)).await?.into_iter().collect())
}

/// What has to be known before the record is changed: this node's streams are made, and the
/// places in the other's are looked up.
pub async fn prepare<H: Capabilities>(
    errand: &Errand<'_, H>,
    published: &[TableKey<'_>],
    needed: &[TableKey<'_>],
) -> Result<Starts, Error> {
    if !published.is_empty() {
        errand.host.ensure_streams(published).await?;
    }
    if needed.is_empty() {
        return Ok(Starts::new());
    }
    starts(errand, needed, REACH).await
}

/// Makes the tables that this node lacks: all or none, since there may be more than it takes.
pub async fn create(host: &impl Capabilities, tables: &[TableInfo]) -> Result<(), Error> {
    match tables {
        [] => Ok(()),
        [table] => Ok(host.create(table).await?),
        tables => Ok(host.create_all(tables).await?),
    }
}

impl From<ReplicationError> for Error {
    fn from(error: ReplicationError) -> Self {
        match error {
            ReplicationError::NotEnabled => Self::Invalid(NOT_ENABLED.into()),
            ReplicationError::Unsettled(text) | ReplicationError::Failed(text) => {
                Self::Failed(text)
            }
        }
    }
}
