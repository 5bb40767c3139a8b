//! A table as the API describes it.

use harper_wire::names;
use serde_json::{Map, Value, json};

use crate::data::TableDescription;
use crate::dispatch::{Error, ErrorKind, Reply};
use crate::json;

/// What every description of a table holds. Records are counted as they come and go, so that none
/// is read for it.
pub(super) fn of(table: &TableDescription) -> Value {
    let attribute = |name: &str| {
        let is_key = name == table.primary_key;
        let mut attribute = json!({ "attribute": name, "indexed": is_key });
        if is_key {
            attribute["is_primary_key"] = true.into();
        }
        attribute
    };
    let attributes = table.attributes.iter().map(|one| attribute(&one.name));
    json!({
        "schema": table.name.database,
        "name": table.name.table,
        "hash_attribute": table.primary_key,
        "audit": true,
        "schema_defined": false,
        "attributes": attributes.collect::<Vec<_>>(),
        "clustering_stream_name": names::stream(&table.name.database, &table.name.table),
        "record_count": table.record_count,
        "last_updated_record": table.last_updated,
    })
}

/// Many of them. All together they may have a hundred thousand attributes: nobody else waits while
/// they are made.
pub(super) async fn reply(
    make: impl FnOnce() -> Map<String, Value> + Send + 'static,
) -> Result<Reply, Error> {
    let text = tokio::task::spawn_blocking(move || json::text(&make().into()));
    let lost = |_| Error::new(ErrorKind::Failed, "The node stops");
    Ok(Reply::Json(text.await.map_err(lost)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::TableName;

    // covers: data.describe.aside
    #[tokio::test]
    async fn nobody_waits_for_a_description() {
        // This runtime has one thread, which another task must get meanwhile.
        let (go, wait) = std::sync::mpsc::channel();
        let other = tokio::spawn(async move { go.send(()) });
        let made = reply(move || {
            wait.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
            Map::from_iter([("dev".to_owned(), json!({}))])
        });
        let Ok(Reply::Json(text)) = made.await else { panic!("not as text") };
        assert_eq!(text, r#"{"dev":{}}"#);
        other.await.unwrap().unwrap();
    }

    #[test]
    fn a_stream_is_named_in_lower_case_hex() {
        let table = TableDescription {
            name: TableName { database: "dev".into(), table: "dog".into() },
            id: 1,
            primary_key: "id".into(),
            attributes: Vec::new(),
            record_count: 0,
            created: 0,
            last_updated: None,
        };
        assert_eq!(of(&table)["clustering_stream_name"], "9d2969dfab3c9b5daa6f8d3d0b3ad347");
    }
}
