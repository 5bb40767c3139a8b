//! `drop_table`: removes a table with all of its records.

use serde_json::{Value, json};

use super::super::request::Fields;
use super::{schema, target};
use crate::data::Data;
use crate::dispatch::Error;
use crate::runtime::Operation;

pub(super) fn operation(name: &str) -> Operation {
    Operation::new(name, "Remove a table with all of its records")
        .with_warning(
            "All records of the table are gone. Other nodes that it is shared with keep theirs: end \
             that first.",
        )
        .with_schema(schema(
            name,
            &["table"],
            target::table_keys(json!({})),
            json!({ "database": "dev", "table": "dog" }),
        ))
}

pub(super) async fn perform(data: Data, request: Value) -> Result<Value, Error> {
    let mut fields = Fields::of(request);
    let name = target::table(&mut fields);
    fields.check()?;

    data.drop_table(&name).await?;
    let message = format!("successfully deleted table '{}.{}'", name.database, name.table);
    Ok(json!({ "message": message }))
}
