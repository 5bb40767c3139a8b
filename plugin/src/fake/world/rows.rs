//! Records and tables, which a node writes one after the other.

use serde_json::Value;

use super::host::Host;
use super::story::brief;
use crate::capabilities::{Page, Row, TableInfo, Tables, TablesError};

/// What a node takes here, of all databases.
pub const MOST_TABLES: usize = 100;

impl Host {
    fn write(&self) -> Result<(), TablesError> {
        self.state(|state| match &mut state.writes_left {
            Some(0) => {
                state.writes_left = None;
                Err(TablesError::Failed("The disk is full".into()))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        })
    }
}

impl Tables for Host {
    async fn get(
        &self,
        database: &str,
        table: &str,
        key: &str,
    ) -> Result<Option<Row>, TablesError> {
        self.step().await;
        assert_eq!(database, "system");
        let found = self.state(|state| state.rows.get(&(table.into(), key.into())).cloned());
        let row = |(revision, value): (u64, Value)| Row {
            key: key.into(),
            revision: revision.to_string(),
            record: value.to_string(),
        };
        Ok(found.map(row))
    }

    async fn list(
        &self,
        database: &str,
        table: &str,
        after: Option<&str>,
    ) -> Result<Page, TablesError> {
        self.step().await;
        assert_eq!((database, after), ("system", None));
        let rows = self.state(|state| {
            let of_table = state.rows.iter().filter(|((name, _), _)| name == table);
            let row = |((_, key), (revision, value)): (&(String, String), &(u64, Value))| Row {
                key: key.clone(),
                revision: revision.to_string(),
                record: value.to_string(),
            };
            of_table.map(row).collect()
        });
        Ok(Page { rows, next: None })
    }

    async fn put(
        &self,
        database: &str,
        table: &str,
        key: &str,
        record: &str,
        expected: Option<&str>,
    ) -> Result<String, TablesError> {
        self.step().await;
        assert_eq!(database, "system");
        self.write()?;
        let revision = self.world.next_revision();
        let record: Value = serde_json::from_str(record).unwrap();
        self.state(|state| {
            let at = (table.to_owned(), key.to_owned());
            let now = state.rows.get(&at).map(|(revision, _)| revision.to_string());
            if now.as_deref() != expected {
                return Err(TablesError::Conflict);
            }
            state.rows.insert(at, (revision, record.clone()));
            Ok(revision.to_string())
        })
        .inspect(|_| self.note(format_args!("puts {table} {key}: {}", brief(&record))))
    }

    async fn delete(
        &self,
        database: &str,
        table: &str,
        key: &str,
        expected: &str,
    ) -> Result<(), TablesError> {
        self.step().await;
        assert_eq!(database, "system");
        self.write()?;
        self.state(|state| {
            let at = (table.to_owned(), key.to_owned());
            if state.rows.get(&at).is_none_or(|(revision, _)| revision.to_string() != expected) {
                return Err(TablesError::Conflict);
            }
            state.rows.remove(&at);
            Ok(())
        })
        .inspect(|()| self.note(format_args!("deletes {table} {key}")))
    }

    async fn create_all(&self, tables: &[TableInfo]) -> Result<(), TablesError> {
        self.step().await;
        let names: Vec<_> = tables.iter().map(|table| &*table.name).collect();
        self.note(format_args!("makes {}", names.join(", ")));
        if self.state(|state| state.tables.len()) + tables.len() > MOST_TABLES {
            return Err(TablesError::Failed(format!("There may be at most {MOST_TABLES} tables")));
        }
        for table in tables {
            self.create(table).await?;
        }
        Ok(())
    }

    async fn create(&self, table: &TableInfo) -> Result<(), TablesError> {
        self.step().await;
        self.write()?;
        self.state(|state| {
            let is_it = |one: &&TableInfo| one.database == table.database && one.name == table.name;
            match state.tables.iter().find(is_it) {
                Some(one) if one.hash_attribute != table.hash_attribute => {
                    Err(TablesError::ExistsOtherwise("It has another key".into()))
                }
                Some(_) => Ok(()),
                None => {
                    state.tables.push(table.clone());
                    Ok(())
                }
            }
        })
    }

    async fn describe(&self) -> Result<Vec<TableInfo>, TablesError> {
        self.step().await;
        Ok(self.state(|state| state.tables.clone()))
    }
}
