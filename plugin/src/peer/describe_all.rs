//! `describe_all`: the tables of this node. What is in `system` is nobody else's business.

use serde_json::{Map, Value, json};

use crate::capabilities::Tables;
use crate::operation::Error;

/// A name that JavaScript would take for something else than a key.
const PROTOTYPE: &str = "__proto__";

pub(super) async fn answer(host: &impl Tables) -> Result<Value, String> {
    let tables = host.describe().await.map_err(|error| Error::from(error).text().to_owned())?;
    let mut databases = Map::new();
    for table in tables {
        let hidden = [&table.database, &table.name].iter().any(|name| *name == PROTOTYPE);
        if hidden || table.database == "system" {
            continue;
        }
        let attribute = |name: &String| json!({ "attribute": name });
        let described = json!({
            "schema": table.database,
            "name": table.name,
            "hash_attribute": table.hash_attribute,
            "attributes": table.attributes.iter().map(attribute).collect::<Vec<_>>(),
        });
        let database = databases.entry(table.database).or_insert_with(|| Map::new().into());
        if let Some(database) = database.as_object_mut() {
            database.insert(table.name, described);
        }
    }
    Ok(databases.into())
}
