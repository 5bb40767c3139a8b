//! Operations on what came from other nodes, could not be applied and was laid aside.

mod apply_dead_letters;
#[expect(clippy::module_inception, reason = "named as the operation is")]
mod dead_letters;
mod drop_dead_letters;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::data::target::{self, DATABASE, DEFAULT};
use super::request::Fields;
use super::with;
use crate::capabilities::TableName;
use crate::data::Which;
use crate::dispatch::Native;
use crate::flow::DeadLetters;
use crate::runtime::Operation;

/// Numbers that one request names.
const MOST_IDS: usize = 10_000;

/// All of them.
pub(super) fn descriptions() -> Vec<Operation> {
    vec![dead_letters::operation(), apply_dead_letters::operation(), drop_dead_letters::operation()]
}

/// All of them, as they are performed.
pub(super) fn operations(letters: Option<DeadLetters>) -> Vec<(Operation, Arc<Native>)> {
    vec![
        (
            dead_letters::operation(),
            with(&letters, |letters, _, request| dead_letters::perform(letters, request)),
        ),
        (
            apply_dead_letters::operation(),
            with(&letters, |letters, _, request| apply_dead_letters::perform(letters, request)),
        ),
        (
            drop_dead_letters::operation(),
            with(&letters, |letters, _, request| drop_dead_letters::perform(letters, request)),
        ),
    ]
}

/// The schema of a request: which messages, and the keys in `more`.
fn schema(name: &str, more: Value, example: Value) -> Value {
    let text = |meaning: &str| json!({ "type": "string", "description": meaning });
    let mut keys = Map::from_iter([
        ("operation".to_owned(), json!({ "const": name })),
        ("node_name".to_owned(), text("Those that came from this node")),
        ("database".to_owned(), text("Those of tables of this database")),
        ("schema".to_owned(), target::older_text("database")),
        (
            "table".to_owned(),
            text("Those of this table; its database is 'data' where none is named"),
        ),
    ]);
    let mut whole = json!({ "operation": name });
    for (all, more) in [(Some(&mut keys), more), (whole.as_object_mut(), example)] {
        if let (Some(all), Value::Object(more)) = (all, more) {
            all.extend(more);
        }
    }
    json!({ "type": "object", "required": ["operation"], "properties": keys, "examples": [whole] })
}

/// The key `ids`.
fn ids_key() -> Value {
    json!({
        "ids": {
            "type": "array",
            "items": { "type": "integer", "minimum": 1 },
            "minItems": 1,
            "maxItems": MOST_IDS,
            "description": "Those with these ids, as dead_letters has them",
        },
    })
}

/// Which messages a request is about.
fn which(fields: &mut Fields) -> Which {
    let any = |_: &str| Ok::<_, &str>(());
    let source = fields.optional("node_name", any);
    let (name, value) = fields.any(&DATABASE);
    let database = value.and_then(|value| target::text(fields, name, value, any));
    let table = fields.optional("table", any);
    let numbers = ids(fields);
    let table = table.map(|table| {
        let database = database.clone().unwrap_or_else(|| DEFAULT.into());
        TableName { database, table }
    });
    // The table says it, also of those that do not have its name.
    let database = database.filter(|_| table.is_none());
    Which { numbers, source, database, table }
}

fn ids(fields: &mut Fields) -> Option<BTreeSet<u64>> {
    let (name, value) = fields.any(&["ids"]);
    let value = value?;
    let ids = value.as_array().filter(|ids| !ids.is_empty() && ids.len() <= MOST_IDS);
    let Some(ids) = ids else {
        fields.wrong(name, format_args!("must be an array of 1 to {MOST_IDS} integers"));
        return None;
    };
    let mut numbers = BTreeSet::new();
    for (index, id) in ids.iter().enumerate() {
        match id.as_u64() {
            Some(id) if id > 0 => drop(numbers.insert(id)),
            _ => fields.wrong(format_args!("{name}[{index}]"), "must be an integer from 1 on"),
        }
    }
    Some(numbers)
}

/// So many of them, in words.
fn counted(number: u64) -> String {
    match number {
        1 => "1 dead letter".into(),
        number => format!("{number} dead letters"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(request: Value) -> Result<Which, String> {
        let mut fields = Fields::of(request);
        let which = which(&mut fields);
        fields.check().map(|()| which).map_err(|error| error.message)
    }

    // covers: dead-letters.which
    #[test]
    fn which_ones_is_read() {
        assert_eq!(read(json!({})), Ok(Which::default()));
        let dog =
            |database: &str| Some(TableName { database: database.into(), table: "dog".into() });
        let of_table = |database| Which { table: dog(database), ..Which::default() };
        assert_eq!(read(json!({ "table": "dog" })), Ok(of_table("data")));
        assert_eq!(read(json!({ "database": "dev", "table": "dog" })), Ok(of_table("dev")));
        // Who means one database by its older name does not mean all of them.
        assert_eq!(read(json!({ "schema": "dev", "table": "dog" })), Ok(of_table("dev")));
        let of_dev = Which { database: Some("dev".into()), ..Which::default() };
        assert_eq!(read(json!({ "schema": "dev" })), Ok(of_dev));
        let both = Which {
            source: Some("node-1".into()),
            database: Some("dev".into()),
            numbers: Some([2, 7].into()),
            table: None,
        };
        let request = json!({ "node_name": "node-1", "database": "dev", "ids": [7, 2] });
        assert_eq!(read(request), Ok(both));
        for (request, wrong) in [
            (json!({ "ids": [] }), "'ids' must be an array of 1 to 10000 integers"),
            (json!({ "ids": 3 }), "'ids' must be an array of 1 to 10000 integers"),
            (
                json!({ "ids": [1, "x", 0] }),
                "'ids[1]' must be an integer from 1 on. 'ids[2]' must be an integer from 1 on",
            ),
            (json!({ "node_name": 1 }), "'node_name' must be a string"),
            (json!({ "schema": 1 }), "'schema' must be a string"),
            (
                json!({ "database": "dev", "schema": "data" }),
                "'database' and 'schema' mean the same and must not differ",
            ),
        ] {
            assert_eq!(read(request), Err(wrong.to_owned()));
        }
    }
}
