//! Data as plugins get it.

use super::*;
use crate::capabilities::{Tables, TablesError};

// covers: layer.capability
#[tokio::test]
async fn rows_by_key_with_versions_as_revisions() {
    let node = Node::with_dogs().await;
    let data = &node.data;
    let put = |key: &str, record: Value, expected: Option<&str>| {
        Tables::put(data, dog(), key.into(), record, expected.map(String::from))
    };
    assert_eq!(Tables::get(data, dog(), "1".into()).await, Ok(None));
    let first = put("1", json!({ "id": 1, "a": 1, "b": 2 }), None).await.unwrap();
    assert_eq!(put("1", json!({ "id": 1 }), None).await, Err(TablesError::Conflict));
    let row = Tables::get(data, dog(), "1".into()).await.unwrap().unwrap();
    assert_eq!((&row.key, &row.revision), (&"1".to_owned(), &first));
    let second = put("1", json!({ "id": 1, "a": 3 }), Some(&first)).await.unwrap();
    assert_eq!(put("1", json!({ "id": 1 }), Some(&first)).await, Err(TablesError::Conflict));
    assert_eq!(put("1", json!({ "id": 1 }), Some("7")).await, Err(TablesError::Conflict));
    let after = Tables::get(data, dog(), "1".into()).await.unwrap().unwrap().record;
    let [before, after] =
        [&row.record, &after].map(|text| serde_json::from_str::<Value>(text).unwrap());
    assert_eq!(bare(Some(after.clone())), json!({ "id": 1, "a": 3 }), "the whole record");
    assert_eq!(after[CREATED_TIME], before[CREATED_TIME]);
    let stale = Tables::delete(data, dog(), "1".into(), first).await;
    assert_eq!(stale, Err(TablesError::Conflict));
    Tables::delete(data, dog(), "1".into(), second.clone()).await.unwrap();
    assert_eq!(Tables::get(data, dog(), "1".into()).await, Ok(None));
    assert_eq!(put("1", json!({ "id": 1 }), Some(&second)).await, Err(TablesError::Conflict));

    // A key that is a text, though it looks like a number.
    put("\"1\"", json!({ "id": "1" }), None).await.unwrap();
    put("a", json!({ "id": "a" }), None).await.unwrap();
    put("1", json!({ "id": 1.0 }), None).await.unwrap();
    let page = Tables::list(data, dog(), None).await.unwrap();
    let listed: Vec<_> = page.rows.iter().map(|row| row.key.as_str()).collect();
    assert_eq!((listed, page.next), (vec!["1", "\"1\"", "a"], None));
    for row in page.rows {
        let found = Tables::get(data, dog(), row.key.clone()).await.unwrap();
        assert_eq!(found.as_ref(), Some(&row));
    }
    for (key, record) in [("2", json!({ "id": "2" })), ("b", json!({ "id": "a" }))] {
        let text = "'id' of a record must be its key".to_owned();
        assert_eq!(put(key, record, None).await, Err(TablesError::InvalidRequest(text)));
    }
    for key in ["", "\"x", "a\n", "1e999", "9007199254740993"] {
        let refused = put(key, json!({ "id": 1 }), None).await;
        assert!(matches!(refused, Err(TablesError::InvalidRequest(_))), "{key:?} {refused:?}");
    }
    let missing = Tables::get(data, name("dev", "x"), "1".into()).await;
    assert_eq!(missing, Err(TablesError::NotFound("Table 'dev.x' does not exist".into())));
    let kinds = data.changes(1, 100).await.unwrap().changes;
    assert_eq!(kinds.len(), 6, "they are in the log as all changes are");
}

// covers: layer.capability
#[tokio::test]
async fn pages_and_descriptions() {
    let node = Node::with_dogs().await;
    let rows: Vec<_> = (0..2500).map(|n| json!({ "id": n, "name": "x" })).collect();
    node.write(Write::Insert, rows.into()).await.unwrap();
    let (mut after, mut lengths) = (None, Vec::new());
    loop {
        let page = Tables::list(&node.data, dog(), after).await.unwrap();
        lengths.push(page.rows.len());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(lengths, [1000, 1000, 500]);
    let described = Tables::describe(&node.data).await.unwrap();
    let names: Vec<_> = described.iter().map(|table| table.name.to_string()).collect();
    assert_eq!(names, ["system.hdb_nodes", "system.hdb_intents", "dev.dog"]);
    assert_eq!(described[2].hash_attribute, "id");
    assert_eq!(described[2].attributes, ["id", CREATED_TIME, UPDATED_TIME, "name"]);
    // What is the store's is still there.
    let nodes = name("system", "hdb_nodes");
    let record = json!({ "name": "node2" });
    Tables::put(&node.data, nodes.clone(), "node2".into(), record, None).await.unwrap();
    assert_eq!(Tables::list(&node.data, nodes, None).await.unwrap().rows.len(), 1);
    let other = Tables::get(&node.data, name("system", "x"), "1".into()).await;
    assert_eq!(other, Err(TablesError::NotFound("Table 'system.x' does not exist".into())));
}
