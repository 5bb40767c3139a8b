//! The store as the capability `tables`: so far the operations' own records, in `system`.

use serde_json::Value;

use super::records::{INTENTS, NODES, Record, Records, Stale};
use super::{Error, Store};
use crate::capabilities::{
    BoxFuture, Page, ROWS_OF_A_PAGE, Row, SYSTEM_DATABASE, TableInfo, TableName, Tables,
    TablesError,
};

/// A table of the operations.
struct Known {
    name: &'static str,
    /// The first is the key.
    attributes: &'static [&'static str],
    records: &'static Records,
}

static KNOWN: [Known; 2] = [
    Known {
        name: "hdb_nodes",
        attributes: &["name", "subscriptions", "system_info"],
        records: &NODES,
    },
    Known {
        name: "hdb_intents",
        attributes: &["node", "operation", "direction", "boot", "until", "before", "after"],
        records: &INTENTS,
    },
];

type Reply<'a, T> = BoxFuture<'a, Result<T, TablesError>>;

impl Tables for Store {
    fn get(&self, table: TableName, key: String) -> Reply<'_, Option<Row>> {
        Box::pin(async move {
            let known = find(&table)?;
            Ok(self.text_of_record(known.records, &key).await?.map(|record| row(key, record)))
        })
    }

    fn list(&self, table: TableName, after: Option<String>) -> Reply<'_, Page> {
        Box::pin(async move {
            let known = find(&table)?;
            let found = self.texts_after(known.records, after, ROWS_OF_A_PAGE + 1).await?;
            let mut rows: Vec<_> =
                found.into_iter().map(|(key, record)| row(key, record)).collect();
            let is_last = rows.len() <= ROWS_OF_A_PAGE;
            rows.truncate(ROWS_OF_A_PAGE);
            let next = rows.last().filter(|_| !is_last).map(|row| row.key.clone());
            Ok(Page { rows, next })
        })
    }

    fn put(
        &self,
        table: TableName,
        key: String,
        record: Value,
        expected: Option<String>,
    ) -> Reply<'_, String> {
        Box::pin(async move {
            let known = find(&table)?;
            let hash_attribute = known.attributes[0];
            if record[hash_attribute] != key {
                let text = format!("'{hash_attribute}' of a record must be its key");
                return Err(TablesError::InvalidRequest(text));
            }
            let expected = expected.map(|text| revision(&text)).transpose()?;
            Ok(self.put_record(known.records, &key, record, expected).await??.to_string())
        })
    }

    fn delete(&self, table: TableName, key: String, expected: String) -> Reply<'_, ()> {
        Box::pin(async move {
            let known = find(&table)?;
            Ok(self.remove_record(known.records, &key, revision(&expected)?).await??)
        })
    }

    fn create(&self, _: TableInfo) -> Reply<'_, ()> {
        let text = "This host cannot make tables yet".into();
        Box::pin(std::future::ready(Err(TablesError::Unavailable(text))))
    }

    fn describe(&self) -> Reply<'_, Vec<TableInfo>> {
        let info = |known: &Known| TableInfo {
            name: TableName { database: SYSTEM_DATABASE.into(), table: known.name.into() },
            hash_attribute: known.attributes[0].into(),
            attributes: known.attributes.iter().map(|&name| name.into()).collect(),
        };
        Box::pin(std::future::ready(Ok(KNOWN.iter().map(info).collect())))
    }
}

fn find(TableName { database, table }: &TableName) -> Result<&'static Known, TablesError> {
    if database != SYSTEM_DATABASE {
        return Err(TablesError::NotFound(format!("database '{database}' does not exist")));
    }
    let missing = || TablesError::NotFound(format!("Table '{database}.{table}' does not exist"));
    KNOWN.iter().find(|known| known.name == table).ok_or_else(missing)
}

fn row(key: String, Record { revision, record }: Record<String>) -> Row {
    Row { key, revision: revision.to_string(), record }
}

/// One that was never given out names no state that a record could be in.
fn revision(text: &str) -> Result<u64, TablesError> {
    text.parse().map_err(|_| TablesError::Conflict)
}

impl From<Stale> for TablesError {
    fn from(_: Stale) -> Self {
        Self::Conflict
    }
}

/// The caller is told that it is the disk's doing or ours, and the log what it is.
impl From<Error> for TablesError {
    fn from(error: Error) -> Self {
        tracing::error!("a record was not read or written: {error}");
        match error {
            Error::Database(_) => {
                Self::Unavailable("The database cannot be read or written".into())
            }
            Error::Full => Self::Unavailable("The disk is full: nothing can be written".into()),
            Error::TooMany(_) => Self::Unavailable(error.to_string()),
            Error::Value(_) | Error::Lost => Self::Other("The database did not answer".into()),
        }
    }
}
