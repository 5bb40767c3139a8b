//! Tables and records.

use serde_json::{Value, json};

use super::node::{Created, FakeNode, lock, parsed};
use crate::capabilities::{
    BoxFuture, Page, Row, SYSTEM_DATABASE, TableInfo, TableName, Tables, TablesError,
};

impl Tables for FakeNode {
    fn get(
        &self,
        table: TableName,
        key: String,
    ) -> BoxFuture<'_, Result<Option<Row>, TablesError>> {
        self.note("tables.get", json!({ "table": table.to_string(), "key": key }));
        Box::pin(async move {
            self.exists(&table)?;
            let row = |(revision, record): &(u64, Value)| Row {
                key: key.clone(),
                revision: revision.to_string(),
                record: record.to_string(),
            };
            Ok(lock(&self.records).get(&(table, key.clone())).map(row))
        })
    }

    /// Pages of two.
    fn list(
        &self,
        table: TableName,
        after: Option<String>,
    ) -> BoxFuture<'_, Result<Page, TablesError>> {
        self.note("tables.list", json!({ "table": table.to_string(), "after": after }));
        Box::pin(async move {
            self.exists(&table)?;
            let records = lock(&self.records);
            let rows = records.iter().filter(|((of, key), _)| {
                *of == table && after.as_ref().is_none_or(|after| key > after)
            });
            let row = |((_, key), (revision, record)): (&(TableName, String), &(u64, Value))| Row {
                key: key.clone(),
                revision: revision.to_string(),
                record: record.to_string(),
            };
            let mut rows: Vec<_> = rows.map(row).take(3).collect();
            let more = rows.len() > 2;
            rows.truncate(2);
            let next = rows.last().filter(|_| more).map(|row| row.key.clone());
            Ok(Page { rows, next })
        })
    }

    fn put(
        &self,
        table: TableName,
        key: String,
        record: String,
        expected: Option<String>,
    ) -> BoxFuture<'_, Result<String, TablesError>> {
        let record: Value = serde_json::from_str(&record).unwrap_or_default();
        let at = table.to_string();
        let arguments = json!({ "table": at, "key": key, "record": record, "expected": expected });
        self.note("tables.put", arguments);
        Box::pin(async move {
            self.exists(&table)?;
            let mut records = lock(&self.records);
            let now = records.get(&(table.clone(), key.clone())).map(|(revision, _)| *revision);
            if now.map(|now| now.to_string()) != expected {
                return Err(TablesError::Conflict);
            }
            self.learn(&table, &record);
            let revision = now.unwrap_or(0) + 1;
            records.insert((table, key), (revision, record));
            Ok(revision.to_string())
        })
    }

    fn delete(
        &self,
        table: TableName,
        key: String,
        expected: String,
    ) -> BoxFuture<'_, Result<(), TablesError>> {
        let arguments = json!({ "table": table.to_string(), "key": key, "expected": expected });
        self.note("tables.delete", arguments);
        Box::pin(async move {
            self.exists(&table)?;
            let mut records = lock(&self.records);
            let at = (table, key);
            if records.get(&at).is_none_or(|(now, _)| now.to_string() != expected) {
                return Err(TablesError::Conflict);
            }
            records.remove(&at);
            Ok(())
        })
    }

    fn create(&self, table: TableInfo) -> BoxFuture<'_, Result<(), TablesError>> {
        let TableInfo { name: table, hash_attribute, attributes } = table;
        let arguments = json!({
            "table": table.to_string(), "hash_attribute": hash_attribute, "attributes": attributes,
        });
        self.note("tables.create", arguments);
        Box::pin(async move {
            let mut all = self.attributes(&table).unwrap_or_else(|| vec![hash_attribute.clone()]);
            if all.first() != Some(&hash_attribute) {
                let text = format!("Table '{}' has another hash attribute", table);
                return Err(TablesError::ExistsOtherwise(text));
            }
            let missing = attributes.into_iter().filter(|one| !all.contains(one));
            let missing: Vec<_> = missing.collect();
            all.extend(missing);
            lock(&self.created).insert(table, all);
            Ok(())
        })
    }

    fn describe(&self) -> BoxFuture<'_, Result<Vec<TableInfo>, TablesError>> {
        self.note("tables.describe", json!({}));
        let mut all: Created =
            self.cluster.tables.iter().map(|(at, list)| (parsed(at), list.clone())).collect();
        all.extend(lock(&self.created).clone());
        let table = |(name, attributes): (TableName, Vec<String>)| TableInfo {
            name,
            hash_attribute: attributes.first().cloned().unwrap_or_default(),
            attributes,
        };
        let mut tables: Vec<_> = all.into_iter().map(table).collect();
        // A host that forgets to leave it out.
        tables.push(TableInfo {
            name: TableName { database: "system".into(), table: "hdb_user".into() },
            hash_attribute: "username".into(),
            attributes: vec!["username".into(), "password".into()],
        });
        Box::pin(std::future::ready(Ok(tables)))
    }
}

impl FakeNode {
    /// A table has the attributes that its records have.
    fn learn(&self, table: &TableName, record: &Value) {
        let Some(mut known) = self.attributes(table).filter(|_| table.database != SYSTEM_DATABASE)
        else {
            return;
        };
        let keys = record.as_object().into_iter().flat_map(|record| record.keys());
        let new: Vec<_> = keys.filter(|key| !known.contains(key)).cloned().collect();
        if !new.is_empty() {
            known.extend(new);
            lock(&self.created).insert(table.clone(), known);
        }
    }
}
