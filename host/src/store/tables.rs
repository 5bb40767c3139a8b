//! The store as the capability `tables`: so far its one table is `system.hdb_nodes`.

use serde_json::Value;

use super::{Error, NodeRecord, Stale, Store};
use crate::capabilities::{
    BoxFuture, Page, ROWS_OF_A_PAGE, Row, TableInfo, TableName, Tables, TablesError,
};

const DATABASE: &str = "system";
const TABLE: &str = "hdb_nodes";
const HASH_ATTRIBUTE: &str = "name";
const ATTRIBUTES: [&str; 3] = [HASH_ATTRIBUTE, "subscriptions", "system_info"];

type Reply<'a, T> = BoxFuture<'a, Result<T, TablesError>>;

impl Tables for Store {
    fn get(&self, table: TableName, key: String) -> Reply<'_, Option<Row>> {
        Box::pin(async move {
            is_there(&table)?;
            Ok(self.node(&key).await?.map(|record| row(key, record)))
        })
    }

    fn list(&self, table: TableName, after: Option<String>) -> Reply<'_, Page> {
        Box::pin(async move {
            is_there(&table)?;
            let nodes = self.nodes_after(after, ROWS_OF_A_PAGE + 1).await?;
            let mut rows: Vec<_> =
                nodes.into_iter().map(|(key, record)| row(key, record)).collect();
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
            is_there(&table)?;
            if record[HASH_ATTRIBUTE] != key {
                let text = format!("'{HASH_ATTRIBUTE}' of a record must be its key");
                return Err(TablesError::InvalidRequest(text));
            }
            let expected = expected.map(|text| revision(&text)).transpose()?;
            Ok(self.put_node(&key, record, expected).await??.to_string())
        })
    }

    fn delete(&self, table: TableName, key: String, expected: String) -> Reply<'_, ()> {
        Box::pin(async move {
            is_there(&table)?;
            Ok(self.remove_node(&key, revision(&expected)?).await??)
        })
    }

    fn create(&self, _: TableInfo) -> Reply<'_, ()> {
        let text = "This host cannot make tables yet".into();
        Box::pin(std::future::ready(Err(TablesError::Unavailable(text))))
    }

    fn describe(&self) -> Reply<'_, Vec<TableInfo>> {
        let table = TableInfo {
            name: TableName { database: DATABASE.into(), table: TABLE.into() },
            hash_attribute: HASH_ATTRIBUTE.into(),
            attributes: ATTRIBUTES.map(String::from).to_vec(),
        };
        Box::pin(std::future::ready(Ok(vec![table])))
    }
}

fn is_there(TableName { database, table }: &TableName) -> Result<(), TablesError> {
    match (&**database, &**table) {
        (DATABASE, TABLE) => Ok(()),
        (DATABASE, _) => {
            Err(TablesError::NotFound(format!("Table '{database}.{table}' does not exist")))
        }
        _ => Err(TablesError::NotFound(format!("database '{database}' does not exist"))),
    }
}

fn row(key: String, NodeRecord { revision, record }: NodeRecord) -> Row {
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
            Error::Value(_) | Error::Lost => Self::Other("The database did not answer".into()),
        }
    }
}
