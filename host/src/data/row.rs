//! Rows: what a client may send as one, and how it is stored.

use serde_json::Value;

use super::catalog::Table;
use super::error::{Error, shown};
use super::key::Key;
use super::limits::DataLimits;
use super::names::{NameError, check_attribute};
use super::version::Version;
use super::{Row, Write};
use crate::store;

/// When a row was made, ms since 1970; ours to set.
pub const CREATED: &str = "__createdtime__";
/// When it was changed last, ms since 1970; ours to set.
pub const UPDATED: &str = "__updatedtime__";

/// A row that has passed, and its key.
pub(super) struct Checked {
    pub key: Key,
    pub row: Row,
}

/// Checks the rows of a request, and gives keys to new ones that have none.
pub(super) fn check(
    table: &Table,
    how: Write,
    rows: Vec<Row>,
    limits: &DataLimits,
) -> Result<Vec<Checked>, Error> {
    check_number(rows.len(), "records", limits)?;
    let one = |(index, mut row): (usize, Row)| {
        let place = format!("records[{index}]");
        row.shift_remove(CREATED);
        row.shift_remove(UPDATED);
        let key = match row.get(&table.primary_key) {
            None | Some(Value::Null) if how != Write::Update => {
                let key = Key::random().map_err(|error| {
                    tracing::error!("the system gives no random bits: {error}");
                    Error::Failed
                })?;
                row.insert(table.primary_key.clone(), key.clone().into());
                key
            }
            None => return Err(Error::NoKey { place: key_of(&place, table) }),
            Some(value) => {
                let key = Key::try_from(value)
                    .map_err(|problem| Error::Key { place: key_of(&place, table), problem })?;
                // 1.0 and -0 are written as other requests name them: 1 and 0.
                row.insert(table.primary_key.clone(), key.clone().into());
                key
            }
        };
        check_row(&row, &place, limits)?;
        Ok(Checked { key, row })
    };
    rows.into_iter().enumerate().map(one).collect()
}

/// Fails for more rows, or keys, than a request may have.
pub(super) fn check_number(number: usize, what: &str, limits: &DataLimits) -> Result<(), Error> {
    if number > limits.rows {
        return Err(Error::Limit(format!("'{what}' must have at most {} items", limits.rows)));
    }
    Ok(())
}

fn key_of(place: &str, table: &Table) -> String {
    format!("{place}.{}", shown(&table.primary_key))
}

/// Fails for a row that cannot be one; `place` is where it stands.
pub(super) fn check_row(row: &Row, place: &str, limits: &DataLimits) -> Result<(), Error> {
    for (name, value) in row {
        check_attribute(name).map_err(|problem| Error::Attribute {
            name: shown(name),
            place: format!("'{place}'"),
            problem,
        })?;
        check_value(value, place, 2, limits)?;
    }
    Ok(())
}

fn check_value(value: &Value, place: &str, depth: usize, limits: &DataLimits) -> Result<(), Error> {
    if (value.is_array() || value.is_object()) && depth > limits.depth {
        let most = limits.depth;
        return Err(Error::Limit(format!("'{place}' must not nest deeper than {most}")));
    }
    match value {
        Value::Array(items) => {
            items.iter().try_for_each(|item| check_value(item, place, depth + 1, limits))
        }
        Value::Object(entries) => entries.iter().try_for_each(|(name, value)| {
            // Elsewhere than at the top other names are data.
            if name == "__proto__" {
                return Err(Error::Attribute {
                    name: shown(name),
                    place: format!("'{place}'"),
                    problem: NameError::Reserved("__proto__"),
                });
            }
            check_value(value, place, depth + 1, limits)
        }),
        _ => Ok(()),
    }
}

/// All values of a row, those within others too.
pub(super) fn count(row: &Row) -> usize {
    fn of(value: &Value) -> usize {
        1 + match value {
            Value::Array(items) => items.iter().map(of).sum(),
            Value::Object(entries) => entries.values().map(of).sum(),
            _ => 0,
        }
    }
    1 + row.values().map(of).sum::<usize>()
}

/// A row's version, and its text.
pub(super) fn encode(version: &Version, row: &Row) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(256);
    version.write_to(&mut bytes);
    rmp_serde::encode::write(&mut bytes, row).map_err(|error| {
        tracing::error!("a row cannot be encoded: {error}");
        Error::Failed
    })?;
    Ok(bytes)
}

/// A stored row and its version.
pub(super) fn decode(bytes: &[u8]) -> Result<(Version, Row), store::Error> {
    let (version, row) = Version::read_from(bytes).ok_or_else(damaged)?;
    let row = rmp_serde::from_slice(row).map_err(serde::de::Error::custom);
    Ok((version, row.map_err(store::Error::Value)?))
}

/// The version of a stored row alone.
pub(super) fn version(bytes: &[u8]) -> Result<Version, store::Error> {
    Ok(Version::read_from(bytes).ok_or_else(damaged)?.0)
}

pub(super) fn damaged() -> store::Error {
    store::Error::Value(serde::de::Error::custom("a value is too short"))
}
