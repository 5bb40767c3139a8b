//! The node's data as the capability `tables`, beside what the store keeps in `system`.
//!
//! Keys are texts there: a number is its JSON, and a text that could be taken for one is quoted, as
//! `"7"`. A record's revision is its version.

use serde_json::Value;

use super::error::Error;
use super::key::Key;
use super::row::{self, Checked};
use super::version::Version;
use super::{Data, Expected, NewTable, Row as DataRow, Write, open_rows, write};
use crate::capabilities::{
    BoxFuture, Page, ROWS_OF_A_PAGE, Row, SYSTEM_DATABASE, TableInfo, TableName, Tables,
    TablesError,
};
use crate::json;

/// Whoever changes records here is no user.
const WHO: &str = "";
/// Bytes of memory that rows take after which a page ends, though it has fewer than it may.
const BYTES_OF_A_PAGE: usize = 4 << 20;

type Reply<'a, T> = BoxFuture<'a, Result<T, TablesError>>;

impl Tables for Data {
    fn get(&self, table: TableName, key: String) -> Reply<'_, Option<Row>> {
        if table.database == SYSTEM_DATABASE {
            return Tables::get(&self.0.store, table, key);
        }
        Box::pin(async move {
            let table = self.known(&table)?;
            let wanted = read_key(&key)?;
            let found = self
                .0
                .store
                .read(move |t| {
                    let rows = open_rows(t, &table)?;
                    let found = rows.get(wanted.to_bytes().as_slice())?;
                    Ok::<_, Error>(found.map(|found| row::decode(found.value())).transpose()?)
                })
                .await?;
            Ok(found.map(|(version, row)| shown(key, &version, row)))
        })
    }

    fn list(&self, table: TableName, after: Option<String>) -> Reply<'_, Page> {
        if table.database == SYSTEM_DATABASE {
            return Tables::list(&self.0.store, table, after);
        }
        Box::pin(async move {
            let table = self.known(&table)?;
            let after = after.map(|after| read_key(&after)).transpose()?;
            let page = self.0.store.read(move |t| {
                use std::ops::Bound;
                let after = after.map(|after| after.to_bytes());
                let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                let (mut page, mut bytes) = (Page::default(), 0);
                for entry in open_rows(t, &table)?.range::<&[u8]>((from, Bound::Unbounded))? {
                    let (key, value) = entry?;
                    if page.rows.len() == ROWS_OF_A_PAGE || bytes > BYTES_OF_A_PAGE {
                        page.next = page.rows.last().map(|last: &Row| last.key.clone());
                        break;
                    }
                    let key = Key::from_bytes(key.value()).ok_or_else(row::damaged)?;
                    let (version, row) = row::decode(value.value())?;
                    bytes += json::size_of_fields(&row);
                    page.rows.push(shown(write_key(&key), &version, row));
                }
                Ok::<_, Error>(page)
            });
            Ok(page.await?)
        })
    }

    fn put(
        &self,
        table: TableName,
        key: String,
        record: String,
        expected: Option<String>,
    ) -> Reply<'_, String> {
        if table.database == SYSTEM_DATABASE {
            return Tables::put(&self.0.store, table, key, record, expected);
        }
        Box::pin(async move {
            let table = self.known(&table)?;
            let wanted = read_key(&key)?;
            let record = serde_json::from_str(&record).map_err(|error| {
                TablesError::InvalidRequest(format!("The record is no JSON object: {error}"))
            })?;
            let limits = &self.0.limits;
            let checked = row::check(&table, Write::Update, vec![record], limits)?;
            let [Checked { key, row }] = <[Checked; 1]>::try_from(checked)
                .map_err(|_| TablesError::Other("The record was lost".into()))?;
            if key != wanted {
                let text = format!("'{}' of a record must be its key", table.primary_key);
                return Err(TablesError::InvalidRequest(text));
            }
            let expected = match expected {
                Some(expected) => Expected::Version(revision(&expected)?),
                None => Expected::Missing,
            };
            let put = move |t: &mut super::transaction::Transaction<'_>| {
                write::put(t, &table, Checked { key, row }, &expected, WHO)
            };
            Ok(self.0.writer.ask(1, put).await?.to_string())
        })
    }

    fn delete(&self, table: TableName, key: String, expected: String) -> Reply<'_, ()> {
        if table.database == SYSTEM_DATABASE {
            return Tables::delete(&self.0.store, table, key, expected);
        }
        Box::pin(async move {
            let keys = vec![read_key(&key)?];
            let expected = Expected::Version(revision(&expected)?);
            self.0.writer.ask(1, move |t| write::delete(t, &table, keys, &expected, WHO)).await?;
            Ok(())
        })
    }

    fn create(&self, table: TableInfo) -> Reply<'_, ()> {
        Box::pin(async move {
            let TableInfo { name, hash_attribute, attributes } = table;
            Ok(self.ensure_table(&name, &hash_attribute, &attributes, WHO).await?)
        })
    }

    fn create_all(&self, tables: Vec<TableInfo>) -> Reply<'_, ()> {
        let one = |table: TableInfo| NewTable {
            name: table.name,
            primary_key: table.hash_attribute,
            attributes: table.attributes,
        };
        let tables = tables.into_iter().map(one).collect();
        Box::pin(async move { Ok(self.ensure_tables(tables, WHO).await?) })
    }

    fn describe(&self) -> Reply<'_, Vec<TableInfo>> {
        Box::pin(async move {
            let mut tables = Tables::describe(&self.0.store).await?;
            let catalog = self.0.shared.catalog();
            tables.extend(catalog.tables.values().map(|table| TableInfo {
                name: table.name.clone(),
                hash_attribute: table.primary_key.clone(),
                attributes: table.attributes.iter().map(ToString::to_string).collect(),
            }));
            Ok(tables)
        })
    }
}

fn shown(key: String, version: &Version, row: DataRow) -> Row {
    Row { key, revision: version.to_string(), record: json::text(&Value::Object(row)) }
}

/// Whether a text, as a key here, would be taken for something else than itself.
fn is_json(text: &str) -> bool {
    text.starts_with('"') || text.parse::<serde_json::Number>().is_ok()
}

fn write_key(key: &Key) -> String {
    match key.as_text() {
        Some(text) if is_json(text) => Value::from(text).to_string(),
        Some(text) => text.to_owned(),
        None => Value::from(key.clone()).to_string(),
    }
}

fn read_key(text: &str) -> Result<Key, TablesError> {
    let invalid = |why: String| TablesError::InvalidRequest(format!("The key {why}"));
    if !is_json(text) {
        return Key::try_from(text).map_err(|why| invalid(why.to_string()));
    }
    let value: Value = serde_json::from_str(text)
        .map_err(|_| invalid("begins with a quotation mark and is no JSON".into()))?;
    Key::try_from(&value).map_err(|why| invalid(why.to_string()))
}

/// One that was never given out names no state that a record could be in.
fn revision(text: &str) -> Result<Version, TablesError> {
    text.parse().map_err(|_| TablesError::Conflict)
}

impl From<Error> for TablesError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Conflict => Self::Conflict,
            Error::OtherKey { .. } => Self::ExistsOtherwise(text),
            Error::NoDatabase(_) | Error::NoTable(_) => Self::NotFound(text),
            Error::Full | Error::Failed | Error::Busy => Self::Unavailable(text),
            Error::Late | Error::Lost | Error::SlowSearch => Self::Other(text),
            _ => Self::InvalidRequest(text),
        }
    }
}
