//! `tables`: the node's records, by key.

use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf};

use crate::capabilities::grants::SYSTEM_DATABASE;
use crate::capabilities::{BoxFuture, Call, Capability};
use crate::json;
use crate::wit::harper::plugin::tables as wit;

/// Records of one page.
pub const ROWS_OF_A_PAGE: usize = 1000;

/// What an implementation returns.
type Reply<'a, T> = BoxFuture<'a, std::result::Result<T, TablesError>>;

/// The tables of a node.
///
/// Ours are in the node's store; an embedder that keeps its records elsewhere implements this trait
/// and gives it to the [builder](crate::HostBuilder::tables).
pub trait Tables: Send + Sync + 'static {
    /// Reads one record; none when there is none of this key.
    fn get(&self, table: TableName, key: String) -> Reply<'_, Option<Row>>;

    /// Reads the records whose keys come after `after`, or from the first: at most
    /// [`ROWS_OF_A_PAGE`], in the order of their keys.
    fn list(&self, table: TableName, after: Option<String>) -> Reply<'_, Page>;

    /// Writes a record if it is still at the revision `expected`, and returns its new one; without
    /// `expected`, if there is none of this key yet. It is durable when it returns. `record` is the
    /// text of a JSON object, for certain.
    fn put(
        &self,
        table: TableName,
        key: String,
        record: String,
        expected: Option<String>,
    ) -> Reply<'_, String>;

    /// Removes a record if it is still at the revision `expected`. That is durable when it returns.
    fn delete(&self, table: TableName, key: String, expected: String) -> Reply<'_, ()>;

    /// Makes a table, and its database, if it is not there. One that is there with the same hash
    /// attribute gets the attributes that it lacks. That is durable when it returns.
    fn create(&self, table: TableInfo) -> Reply<'_, ()>;

    /// The same of several. All or none are made, where the implementation can; this one makes one
    /// after another, and stops where one may not be made.
    fn create_all(&self, tables: Vec<TableInfo>) -> Reply<'_, ()> {
        Box::pin(async move {
            for table in tables {
                self.create(table).await?;
            }
            Ok(())
        })
    }

    /// All tables. Those of the database `system` are left out for plugins, whether this has them
    /// or not.
    fn describe(&self) -> Reply<'_, Vec<TableInfo>>;
}

/// Names a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// The database that it is in.
    pub database: String,
    /// Its name there.
    pub table: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its key.
    pub key: String,
    /// The state that it was read in; equal revisions of a key mean equal records.
    pub revision: String,
    /// The record: a JSON object, as text, since that is what plugins get.
    #[serde(with = "crate::json::within")]
    pub record: String,
}

/// Some of a table's records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// In the order of their keys.
    pub rows: Vec<Row>,
    /// The key after which the next page begins; none when this is the last.
    pub next: Option<String>,
}

/// A table, without its records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableInfo {
    /// Its name.
    pub name: TableName,
    /// The attribute that is the key.
    pub hash_attribute: String,
    /// All attributes, the key among them.
    pub attributes: Vec<String>,
}

/// Why a read or a write was not done; nothing was changed. The texts are for the caller: clear,
/// without paths of the machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TablesError {
    /// The record is no longer at the revision that was expected.
    #[error("The record was changed meanwhile")]
    Conflict,
    /// There is no such database or table.
    #[error("{0}")]
    NotFound(String),
    /// A name, a key or a record is not valid.
    #[error("{0}")]
    InvalidRequest(String),
    /// The table is there with another hash attribute.
    #[error("{0}")]
    ExistsOtherwise(String),
    /// The store cannot be read or written.
    #[error("{0}")]
    Unavailable(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// A host that keeps no records.
pub(crate) struct NoTables;

impl NoTables {
    fn answer<T: Send + 'static>() -> Reply<'static, T> {
        let text = "This host keeps no tables".into();
        Box::pin(std::future::ready(Err(TablesError::Unavailable(text))))
    }
}

impl Tables for NoTables {
    fn get(&self, _: TableName, _: String) -> Reply<'_, Option<Row>> {
        Self::answer()
    }

    fn list(&self, _: TableName, _: Option<String>) -> Reply<'_, Page> {
        Self::answer()
    }

    fn put(&self, _: TableName, _: String, _: String, _: Option<String>) -> Reply<'_, String> {
        Self::answer()
    }

    fn delete(&self, _: TableName, _: String, _: String) -> Reply<'_, ()> {
        Self::answer()
    }

    fn create(&self, _: TableInfo) -> Reply<'_, ()> {
        Self::answer()
    }

    fn describe(&self) -> Reply<'_, Vec<TableInfo>> {
        Self::answer()
    }
}

impl From<wit::Table> for TableInfo {
    fn from(table: wit::Table) -> Self {
        let wit::Table { database, name, hash_attribute, attributes } = table;
        let name = TableName { database, table: name };
        Self { name, hash_attribute, attributes }
    }
}

/// What a table that is to be made counts, beside its name.
fn bytes(table: &TableInfo) -> usize {
    table.hash_attribute.len() + table.attributes.iter().map(String::len).sum::<usize>()
}

impl From<TablesError> for wit::Error {
    fn from(error: TablesError) -> Self {
        match error {
            TablesError::Conflict => Self::Conflict,
            TablesError::NotFound(text) => Self::NotFound(text),
            TablesError::InvalidRequest(text) => Self::InvalidRequest(text),
            TablesError::ExistsOtherwise(text) => Self::ExistsOtherwise(text),
            TablesError::Unavailable(text) => Self::Unavailable(text),
            TablesError::Other(text) => Self::Other(text),
        }
    }
}

type Refused<T> = std::result::Result<T, wit::Error>;
type Answer<T> = Result<Refused<T>>;

impl wit::Host for Call {}

/// What is done with one table.
enum Deed {
    Read,
    Write,
    Create,
}

/// Charges a call, and checks whether it is allowed.
fn begin(call: &mut Call, name: &TableName, bytes: usize, deed: &Deed) -> Answer<()> {
    let TableName { database, table } = name;
    call.meter.host_call(Capability::Tables, database.len() + table.len() + bytes)?;
    let (verb, refused) = match deed {
        Deed::Read => ("read", call.missing(|g| g.tables.may_read(database, table))),
        Deed::Write => ("write", call.missing_to_change(|g| g.tables.may_write(database, table))),
        Deed::Create => {
            ("create", call.missing_to_change(|g| g.tables.may_create(database, table)))
        }
    };
    let Some(refused) = refused else { return Ok(Ok(())) };
    let name = format!("{database}.{table}");
    let text = format!("{refused} {verb} the table '{}'", name.escape_debug());
    Ok(Err(wit::Error::Denied(text)))
}

/// Rows as the plugin gets them, and the bytes that they take.
fn crossing(rows: Vec<Row>) -> (Vec<wit::Row>, usize) {
    let rows: Vec<_> = rows
        .into_iter()
        .map(|Row { key, revision, record }| wit::Row { key, revision, value: record })
        .collect();
    let bytes = rows.iter().map(|row| row.key.len() + row.revision.len() + row.value.len()).sum();
    (rows, bytes)
}

/// Whether what a plugin wants to write is a record.
fn check(value: &str) -> Refused<()> {
    let invalid = |why: String| Err(wit::Error::InvalidRequest(format!("The record is {why}")));
    match serde_json::from_str::<IgnoredAny>(value) {
        Ok(_) if value.trim_start().starts_with('{') => Ok(()),
        Ok(_) => invalid("no JSON object".into()),
        Err(error) => invalid(format!("not JSON: {error}")),
    }
}

impl<T: Send> wit::HostWithStore<T> for HasSelf<Call> {
    async fn get(
        accessor: &Accessor<T, Self>,
        database: String,
        table: String,
        key: String,
    ) -> Answer<Option<wit::Row>> {
        let name = TableName { database, table };
        let (tables, granted) = accessor.with(|mut access| {
            let call = access.get();
            let granted = begin(call, &name, key.len(), &Deed::Read)?;
            wasmtime::error::Ok((call.capabilities.tables.clone(), granted))
        })?;
        if let Err(refused) = granted {
            return Ok(Err(refused));
        }
        let row = match tables.get(name, key).await {
            Ok(row) => row,
            Err(error) => return Ok(Err(error.into())),
        };
        let (mut rows, bytes) = crossing(row.into_iter().collect());
        accessor.with(|mut access| access.get().meter.bytes(bytes))?;
        Ok(Ok(rows.pop()))
    }

    async fn list(
        accessor: &Accessor<T, Self>,
        database: String,
        table: String,
        after: Option<String>,
    ) -> Answer<wit::Page> {
        let name = TableName { database, table };
        let (tables, granted) = accessor.with(|mut access| {
            let call = access.get();
            let bytes = after.as_ref().map_or(0, String::len);
            let granted = begin(call, &name, bytes, &Deed::Read)?;
            wasmtime::error::Ok((call.capabilities.tables.clone(), granted))
        })?;
        if let Err(refused) = granted {
            return Ok(Err(refused));
        }
        let page = match tables.list(name, after).await {
            Ok(page) => page,
            Err(error) => return Ok(Err(error.into())),
        };
        let (rows, bytes) = crossing(page.rows);
        accessor.with(|mut access| access.get().meter.bytes(bytes))?;
        Ok(Ok(wit::Page { rows, next: page.next }))
    }

    async fn put(
        accessor: &Accessor<T, Self>,
        database: String,
        table: String,
        key: String,
        value: String,
        expected: Option<String>,
    ) -> Answer<String> {
        let name = TableName { database, table };
        let (tables, checked) = accessor.with(|mut access| {
            let call = access.get();
            let granted = begin(call, &name, key.len() + value.len(), &Deed::Write)?;
            call.meter.at_once(json::built_size(value.as_bytes()))?;
            let checked = granted.and_then(|()| check(&value));
            wasmtime::error::Ok((call.capabilities.tables.clone(), checked))
        })?;
        if let Err(refused) = checked {
            return Ok(Err(refused));
        }
        Ok(tables.put(name, key, value, expected).await.map_err(wit::Error::from))
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        database: String,
        table: String,
        key: String,
        expected: String,
    ) -> Answer<()> {
        let name = TableName { database, table };
        let (tables, granted) = accessor.with(|mut access| {
            let call = access.get();
            let granted = begin(call, &name, key.len() + expected.len(), &Deed::Write)?;
            wasmtime::error::Ok((call.capabilities.tables.clone(), granted))
        })?;
        if let Err(refused) = granted {
            return Ok(Err(refused));
        }
        Ok(tables.delete(name, key, expected).await.map_err(wit::Error::from))
    }

    async fn create(accessor: &Accessor<T, Self>, table: wit::Table) -> Answer<()> {
        let table = TableInfo::from(table);
        let (tables, granted) = accessor.with(|mut access| {
            let call = access.get();
            let granted = begin(call, &table.name, bytes(&table), &Deed::Create)?;
            wasmtime::error::Ok((call.capabilities.tables.clone(), granted))
        })?;
        if let Err(refused) = granted {
            return Ok(Err(refused));
        }
        Ok(tables.create(table).await.map_err(wit::Error::from))
    }

    async fn create_all(accessor: &Accessor<T, Self>, all: Vec<wit::Table>) -> Answer<()> {
        let all: Vec<_> = all.into_iter().map(TableInfo::from).collect();
        let (tables, refused) = accessor.with(|mut access| {
            let call = access.get();
            // None at all is a call too.
            call.meter.host_call(Capability::Tables, 0)?;
            let mut refused = None;
            for table in &all {
                let granted = begin(call, &table.name, bytes(table), &Deed::Create)?;
                refused = refused.or(granted.err());
            }
            wasmtime::error::Ok((call.capabilities.tables.clone(), refused))
        })?;
        if let Some(refused) = refused {
            return Ok(Err(refused));
        }
        Ok(tables.create_all(all).await.map_err(wit::Error::from))
    }

    async fn describe(accessor: &Accessor<T, Self>) -> Answer<Vec<wit::Table>> {
        let (tables, refused) = accessor.with(|mut access| {
            let call = access.get();
            call.meter.host_call(Capability::Tables, 0)?;
            let refused = call.missing(|grants| grants.tables.describe);
            wasmtime::error::Ok((call.capabilities.tables.clone(), refused))
        })?;
        if let Some(refused) = refused {
            let text = format!("{refused} know which tables there are");
            return Ok(Err(wit::Error::Denied(text)));
        }
        let described = match tables.describe().await {
            Ok(described) => described,
            Err(error) => return Ok(Err(error.into())),
        };
        let shown = described.into_iter().filter(|table| table.name.database != SYSTEM_DATABASE);
        let shown: Vec<_> = shown
            .map(|TableInfo { name, hash_attribute, attributes }| wit::Table {
                database: name.database,
                name: name.table,
                hash_attribute,
                attributes,
            })
            .collect();
        let bytes = |table: &wit::Table| {
            let names = table.database.len() + table.name.len() + table.hash_attribute.len();
            names + table.attributes.iter().map(String::len).sum::<usize>()
        };
        accessor.with(|mut access| access.get().meter.bytes(shown.iter().map(bytes).sum()))?;
        Ok(Ok(shown))
    }
}
