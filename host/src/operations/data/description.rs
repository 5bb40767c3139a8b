//! A table as the API describes it.

use md5::{Digest, Md5};
use serde_json::{Value, json};

use crate::capabilities::TableName;
use crate::data::TableDescription;

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
        "clustering_stream_name": stream_name(&table.name),
        "record_count": table.record_count,
        "last_updated_record": table.last_updated,
    })
}

/// The name of the stream in which Harper's nodes find the table's transactions.
fn stream_name(TableName { database, table }: &TableName) -> String {
    let digest = Md5::digest(format!("{database}.{table}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_named_in_lower_case_hex() {
        let name = TableName { database: "dev".into(), table: "dog".into() };
        assert_eq!(stream_name(&name), "9d2969dfab3c9b5daa6f8d3d0b3ad347");
    }
}
