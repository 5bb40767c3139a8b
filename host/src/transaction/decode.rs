//! The bytes of a message to a transaction.

use std::collections::BTreeMap;

use harper_wire::{Value, decode_chain};
use serde_json::Value as Json;

use super::{Change, Decoded, Field, Limits, NEXT, Part, Transaction, TransactionError as Error};
use crate::capabilities::TableName;
use crate::data::{Key, MAX_NAME, Row, Version};

/// The latest time that is read: 2^43 ms, in the year 2248. Up to there a 64-bit float of
/// milliseconds tells all microseconds apart.
pub(super) const LATEST: f64 = 8_796_093_022_208.0;
/// Bytes of the longest user that is noted; a longer one is cut.
const LONGEST_USER: usize = 256;

pub(super) fn decode(payload: &[u8], limits: &Limits) -> Result<Decoded, Error> {
    let chain = decode_chain(payload, &limits.wire, NEXT)?;
    if chain.len() > limits.parts {
        return Err(Error::TooManyParts { limit: limits.parts });
    }
    let mut rows = Rows { limits, taken: 0, memory: 0 };
    let mut parts: Vec<Part> = Vec::with_capacity(chain.len());
    let mut origin = None;
    for (at, value) in chain.into_iter().enumerate() {
        let mut fields = Fields::of(value, at)?;
        if at == 0 {
            origin = Some(read_origin(&mut fields)?);
        }
        let first = parts.first().map(|part| &part.table);
        let part = read_part(&mut fields, first, &mut rows)?;
        parts.push(part);
    }
    let (version, user) = origin.ok_or(Error::NoMap { part: 0 })?;
    let memory = rows.memory + parts.len() * size_of::<Part>();
    Ok(Decoded { transaction: Transaction { parts, version, user }, memory })
}

/// The entries of one part.
struct Fields {
    entries: BTreeMap<harper_wire::Key, Value>,
    /// The part's place.
    at: usize,
}

impl Fields {
    fn of(value: Value, at: usize) -> Result<Fields, Error> {
        match value {
            Value::Map(entries) => Ok(Fields { entries: entries.into_iter().collect(), at }),
            _ => Err(Error::NoMap { part: at }),
        }
    }

    /// What is there of the first of these names that has something.
    fn take(&mut self, names: &[&str]) -> Option<Value> {
        names.iter().find_map(|name| {
            let value = self.entries.remove(*name)?;
            (!matches!(value, Value::Null | Value::Undefined)).then_some(value)
        })
    }

    /// A name of a database or a table. What can be one is for whoever makes it to say.
    fn name(&mut self, names: &[&str]) -> Option<String> {
        match self.take(names) {
            Some(Value::String(name)) if !name.is_empty() && name.len() <= MAX_NAME => Some(name),
            _ => None,
        }
    }

    fn bad(&self, field: Field) -> Error {
        Error::Field { part: self.at, field }
    }
}

/// Counts what the parts bring.
struct Rows<'l> {
    limits: &'l Limits,
    taken: usize,
    /// Bytes that they take.
    memory: usize,
}

impl Rows<'_> {
    fn take(&mut self, number: usize) -> Result<(), Error> {
        self.taken = self.taken.saturating_add(number);
        let limit = self.limits.rows;
        if self.taken > limit {
            return Err(Error::TooManyRows { limit });
        }
        Ok(())
    }

    /// Of a row, or a key, that is about to be made.
    fn charge(&mut self, value: &Value) -> Result<(), Error> {
        self.memory = self.memory.saturating_add(value.json_size());
        let limit = self.limits.memory;
        if self.memory > limit {
            return Err(Error::TooMuchMemory { limit });
        }
        Ok(())
    }
}

fn read_origin(fields: &mut Fields) -> Result<(Version, String), Error> {
    let origin = fields.take(&["__origin"]).ok_or_else(|| fields.bad(Field::Origin))?;
    let timestamp = origin.get("timestamp").and_then(microseconds);
    let timestamp = timestamp.ok_or_else(|| fields.bad(Field::Timestamp))?;
    let node = origin.get("node_name").and_then(Value::as_str);
    let is_name = |name: &&str| {
        !name.is_empty() && name.len() <= MAX_NAME && !name.contains(char::is_control)
    };
    let node = node.filter(is_name).ok_or_else(|| fields.bad(Field::NodeName))?.to_owned();
    let user = origin.get("user").and_then(Value::as_str).unwrap_or_default();
    let user = user.get(..user.floor_char_boundary(LONGEST_USER)).unwrap_or_default().to_owned();
    Ok((Version { timestamp, node }, user))
}

fn microseconds(value: &Value) -> Option<u64> {
    #[expect(clippy::cast_precision_loss, reason = "what is larger than 2^53 is refused")]
    let milliseconds = match value {
        Value::Integer(milliseconds) | Value::Date(milliseconds) => *milliseconds as f64,
        Value::Float(milliseconds) => *milliseconds,
        _ => return None,
    };
    if !(0.0..=LATEST).contains(&milliseconds) {
        return None;
    }
    // Apart, since the product of both would be rounded twice.
    let (whole, fraction) = (milliseconds.trunc(), milliseconds.fract());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
    Some(whole as u64 * 1000 + (fraction * 1000.0).round() as u64)
}

/// Of a part whose `schema` or `table` is not said, it is that of the first.
fn read_part(
    fields: &mut Fields,
    first: Option<&TableName>,
    rows: &mut Rows<'_>,
) -> Result<Part, Error> {
    let of = |said: Option<String>, first: Option<&String>| said.or_else(|| first.cloned());
    let database = of(fields.name(&["schema", "database"]), first.map(|name| &name.database));
    let database = database.ok_or_else(|| fields.bad(Field::Schema))?;
    let table = of(fields.name(&["table"]), first.map(|name| &name.table));
    let table = table.ok_or_else(|| fields.bad(Field::Table))?;
    let operation = fields.take(&["operation"]);
    let operation = operation.as_ref().and_then(Value::as_str);
    let change = match operation.ok_or_else(|| fields.bad(Field::Operation))? {
        "insert" | "upsert" | "put" => written(fields, rows, false)?,
        "update" | "patch" => written(fields, rows, true)?,
        "delete" => {
            let keys = ids(fields, rows)?.ok_or_else(|| fields.bad(Field::HashValues))?;
            Change::Deleted(keys)
        }
        "define_schema" => schema(fields, rows)?,
        _ => return Err(Error::Operation { part: fields.at }),
    };
    Ok(Part { table: TableName { database, table }, change })
}

fn written(fields: &mut Fields, counted: &mut Rows<'_>, partial: bool) -> Result<Change, Error> {
    let records = match (fields.take(&["records"]), fields.take(&["record"])) {
        (Some(Value::Array(records)), _) => records,
        (None, Some(record)) => vec![record],
        _ => return Err(fields.bad(Field::Records)),
    };
    counted.take(records.len())?;
    let mut rows = Vec::with_capacity(records.len());
    for record in records {
        counted.charge(&record)?;
        match record {
            Value::Map(_) => rows.push(row(record).ok_or_else(|| fields.bad(Field::Records))?),
            _ => return Err(fields.bad(Field::Records)),
        }
    }
    let ids = ids(fields, counted)?.unwrap_or_default();
    if !ids.is_empty() && ids.len() != rows.len() {
        return Err(Error::Uneven { part: fields.at });
    }
    Ok(Change::Rows { rows, ids, partial })
}

fn row(record: Value) -> Option<Row> {
    match record.into_json() {
        Json::Object(row) => Some(row),
        _ => None,
    }
}

/// The keys, where there are some.
fn ids(fields: &mut Fields, rows: &mut Rows<'_>) -> Result<Option<Vec<Key>>, Error> {
    let values = match (fields.take(&["hash_values"]), fields.take(&["id"])) {
        (Some(Value::Array(values)), _) => values,
        (None, Some(id)) => vec![id],
        (None, None) => return Ok(None),
        _ => return Err(fields.bad(Field::HashValues)),
    };
    rows.take(values.len())?;
    let part = fields.at;
    let key = |value: Value| {
        rows.charge(&value)?;
        Key::try_from(value.into_json()).map_err(|problem| Error::Key { part, problem })
    };
    values.into_iter().map(key).collect::<Result<_, _>>().map(Some)
}

/// What `define_schema` tells. An attribute is its name, or an object that has it.
fn schema(fields: &mut Fields, rows: &mut Rows<'_>) -> Result<Change, Error> {
    let mut primary_key = fields.name(&["hash_attribute", "primary_key"]);
    let listed = match fields.take(&["attributes"]) {
        Some(Value::Array(listed)) => listed,
        None => Vec::new(),
        Some(_) => return Err(fields.bad(Field::Attributes)),
    };
    rows.take(listed.len())?;
    let mut attributes = Vec::with_capacity(listed.len());
    for attribute in &listed {
        let name = match attribute {
            Value::String(name) => Some(name.as_str()),
            other => ["attribute", "name"].iter().find_map(|key| other.get(key)?.as_str()),
        };
        let name = name.ok_or_else(|| fields.bad(Field::Attributes))?;
        rows.charge(attribute)?;
        let flag = |key: &&str| attribute.get(key).and_then(Value::as_bool) == Some(true);
        let is_key = ["isPrimaryKey", "is_primary_key", "is_hash_attribute"].iter().any(flag);
        if is_key && primary_key.is_none() {
            primary_key = Some(name.to_owned());
        }
        attributes.push(name.to_owned());
    }
    Ok(Change::DefineSchema { primary_key, attributes })
}
