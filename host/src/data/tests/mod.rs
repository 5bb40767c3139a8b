//! Tests of the data layer on real files.

mod arrivals;
mod capability;
mod changes;
mod disk;
mod letters;
mod merge;
mod rows;
mod search;
mod tables;

use std::path::Path;

use serde_json::{Value, json};

use super::*;

/// Data of a node of its own.
struct Node {
    root: tempfile::TempDir,
    data: Data,
}

impl Node {
    async fn new() -> Node {
        Node::with(DataLimits::default()).await
    }

    async fn with(limits: DataLimits) -> Node {
        let root = tempfile::tempdir().unwrap();
        let data = open(root.path(), limits).await;
        Node { root, data }
    }

    /// With a table `dev.dog`, key `id`.
    async fn with_dogs() -> Node {
        let node = Node::new().await;
        node.data.create_table(&dog(), "id", &[], "admin").await.unwrap();
        node
    }

    /// As after a restart.
    async fn again(self) -> Node {
        let limits = (*self.data.0.limits).clone();
        self.data.close().await;
        let data = open(self.root.path(), limits).await;
        Node { root: self.root, data }
    }

    async fn write(&self, how: Write, rows: Value) -> Result<Written, Error> {
        self.data.write(&dog(), how, rows_of(rows), "admin").await
    }

    async fn get(&self, key: Value) -> Option<Value> {
        let found = self.data.get(&dog(), vec![Key::try_from(key).unwrap()]).await.unwrap();
        found.into_iter().next().map(Value::Object)
    }

    async fn count(&self) -> u64 {
        self.data.table(&dog()).await.unwrap().record_count
    }
}

async fn open(root: &Path, limits: DataLimits) -> Data {
    let store = Store::open(root).await.unwrap();
    let node_name = Some("node1".into());
    let config = DataConfig { node_name, limits, ..DataConfig::default() };
    Data::open(store, config).await.unwrap()
}

fn now() -> u64 {
    WallClock::default().now()
}

fn name(database: &str, table: &str) -> TableName {
    TableName { database: database.into(), table: table.into() }
}

fn dog() -> TableName {
    name("dev", "dog")
}

fn rows_of(rows: Value) -> Vec<Row> {
    let Value::Array(rows) = rows else { panic!("no rows") };
    rows.into_iter().map(|row| row.as_object().unwrap().clone()).collect()
}

fn keys(values: Value) -> Vec<Key> {
    values.as_array().unwrap().iter().map(|value| Key::try_from(value).unwrap()).collect()
}

/// Without the times that are ours.
fn bare(row: Option<Value>) -> Value {
    let mut row = row.unwrap();
    let entries = row.as_object_mut().unwrap();
    assert!(entries.shift_remove(CREATED_TIME).unwrap().is_u64());
    assert!(entries.shift_remove(UPDATED_TIME).unwrap().is_u64());
    row
}
