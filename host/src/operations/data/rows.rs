//! What the operations on rows have in common: keys, attributes, and how rows go out.

use std::collections::HashSet;
use std::iter;
use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};

use super::super::request::Fields;
use super::target;
use crate::capabilities::TableName;
use crate::data::{self, Data, Key, Row};
use crate::dispatch::{Error, Reply, Rows};

/// The keys that name records, for a schema.
pub(super) fn id_keys() -> Value {
    json!({
        "ids": { "type": "array", "description": "The records' keys" },
        "hash_values": target::older("ids"),
    })
}

/// The records' keys, each once, in the order that they are given.
pub(super) fn ids(fields: &mut Fields) -> Vec<Key> {
    let (label, values) = fields.list(&["ids", "hash_values"]);
    let (mut keys, mut seen) = (Vec::new(), HashSet::new());
    for (n, value) in values.iter().enumerate() {
        match Key::try_from(value) {
            Ok(key) => {
                if seen.insert(key.clone()) {
                    keys.push(key);
                }
            }
            Err(error) => fields.wrong(format!("{label}[{n}]"), error),
        }
    }
    keys
}

/// Which attributes are wanted.
pub(super) enum Wanted {
    All,
    These(Vec<String>),
}

/// The key of a schema for them.
pub(super) fn wanted_key() -> Value {
    json!({
        "type": "array",
        "items": { "type": "string" },
        "description": "The attributes to return; [\"*\"] is all of them",
    })
}

/// Which attributes are wanted.
pub(super) fn wanted(fields: &mut Fields) -> Wanted {
    const LABEL: &str = "get_attributes";
    let (_, value) = fields.any(&[LABEL]);
    let items = match value {
        Some(Value::String(all)) if all == "*" => return Wanted::All,
        Some(Value::Array(items)) if !items.is_empty() => items,
        other => {
            let rule = match other {
                None => "is required",
                Some(Value::Array(_)) => "must not be empty",
                Some(_) => "must be an array",
            };
            fields.wrong(LABEL, rule);
            return Wanted::All;
        }
    };
    let (mut names, mut seen) = (Vec::new(), HashSet::new());
    for (n, item) in items.into_iter().enumerate() {
        match item {
            Value::String(name) => {
                if seen.insert(name.clone()) {
                    names.push(name);
                }
            }
            _ => fields.wrong(format!("{LABEL}[{n}]"), "must be a string"),
        }
    }
    if seen.contains("*") { Wanted::All } else { Wanted::These(names) }
}

impl Wanted {
    /// Refuses what the table does not have: more likely misspelled than never written.
    pub(super) fn check(&self, data: &Data, name: &TableName) -> Result<(), data::Error> {
        match self {
            Self::All => Ok(()),
            Self::These(names) => data.check_attributes(name, names),
        }
    }

    /// How many rows to make at a time: what a row does not have is null, and takes memory for all
    /// that.
    fn at_a_time(&self) -> usize {
        const BYTES: usize = 1 << 20;
        const NULL: usize = 128;
        match self {
            Self::All => usize::MAX,
            Self::These(names) => {
                let bytes: usize = names.iter().map(|name| name.len() + NULL).sum();
                (BYTES / bytes.max(1)).max(1)
            }
        }
    }

    /// The row without the others. What it does not have is null.
    fn of(&self, mut row: Row) -> Row {
        match self {
            Self::All => row,
            Self::These(names) => {
                let value = |name: &String| (name.clone(), row.remove(name).unwrap_or_default());
                names.iter().map(value).collect()
            }
        }
    }
}

/// The rows as they go out.
pub(super) async fn reply(
    rows: impl Stream<Item = Result<Vec<Row>, data::Error>> + Send + 'static,
    wanted: Wanted,
) -> Result<Reply, Error> {
    let (most, wanted) = (wanted.at_a_time(), Arc::new(wanted));
    let rows = rows.flat_map(move |part| match part {
        Ok(rows) => stream::iter(parts(rows, most, wanted.clone())).left_stream(),
        Err(error) => stream::iter([Err(error.into())]).right_stream(),
    });
    Rows::new(rows).reply().await
}

/// What is wanted of these rows, made so many at a time.
fn parts(
    rows: Vec<Row>,
    most: usize,
    wanted: Arc<Wanted>,
) -> impl Iterator<Item = Result<Vec<Row>, Error>> {
    let mut rows = rows.into_iter();
    iter::from_fn(move || {
        let some: Vec<_> = rows.by_ref().take(most).map(|row| wanted.of(row)).collect();
        (!some.is_empty()).then_some(Ok(some))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: data.search.nulls
    #[tokio::test]
    async fn nulls_of_many_attributes_come_in_small_parts() {
        let row = json!({ "id": 1 }).as_object().cloned().unwrap();
        let found = || stream::iter([Ok(vec![row.clone(); 256]), Ok(Vec::new())]);
        let names = |many: usize| {
            let names = (0..many).map(|n| format!("{n:0250}"));
            Wanted::These(names.chain(["id".to_owned()]).collect())
        };
        let Reply::Rows(rows) = reply(found(), names(999)).await.unwrap() else { panic!("whole") };
        let sizes: Vec<_> = rows.map(|part| part.unwrap().len()).collect().await;
        assert_eq!(sizes.iter().sum::<usize>(), 256);
        assert!(sizes.iter().all(|size| *size <= 4), "{sizes:?}");
        let Reply::Value(rows) = reply(found(), names(1)).await.unwrap() else { panic!("parts") };
        assert_eq!(rows.as_array().unwrap().len(), 256);
    }
}
