//! `search_by_value`: records whose attribute has a value, or one like it.

use serde_json::{Value, json};

use super::super::request::Fields;
use super::{rows, schema, target};
use crate::data::{self, Data, Search};
use crate::dispatch::{Error, Reply};
use crate::runtime::Operation;

pub(super) const NAMES: [&str; 1] = ["search_by_value"];

pub(super) fn operation(name: &str) -> Operation {
    Operation::new(name, "Find records by the value of an attribute").read_only().with_schema(
        schema(
            name,
            &["table", "attribute", "value", "get_attributes"],
            target::table_keys(json!({
                "attribute": { "type": "string", "description": "The attribute" },
                "search_attribute": target::older_text("attribute"),
                "value": {
                    "description": "Its value; in a text, a * at either end stands for anything",
                },
                "search_value": target::older("value"),
                "get_attributes": rows::wanted_key(),
                "limit": { "type": "integer", "description": "How many records at most; all by default" },
                "offset": { "type": "integer", "description": "How many to pass over; 0 by default" },
            })),
            json!({
                "database": "dev",
                "table": "dog",
                "attribute": "owner_name",
                "value": "Ky*",
                "get_attributes": ["id", "dog_name"],
            }),
        ),
    )
}

pub(super) async fn perform(data: Data, request: Value) -> Result<Reply, Error> {
    let mut fields = Fields::of(request);
    let name = target::table(&mut fields);
    let (label, attribute) = fields.required_any(&["attribute", "search_attribute"]);
    let attribute =
        attribute.and_then(|text| target::text(&mut fields, label, text, data::check_attribute));
    let (label, value) = fields.required_any(&["value", "search_value"]);
    if value.as_ref().is_some_and(|value| value.is_array() || value.is_object()) {
        fields.wrong(label, "must be a string, a number or a boolean");
    }
    let wanted = rows::wanted(&mut fields);
    let limit = fields.count("limit", 1);
    let offset = fields.count("offset", 0);
    fields.check()?;
    let (attribute, value) = (attribute.unwrap_or_default(), value.unwrap_or_default());
    wanted.check(&data, &name)?;

    let offset = offset.unwrap_or(0);
    let search = Search { offset, limit, ..Search::new(attribute, value) };
    rows::reply(data.search(&name, search).await?, wanted).await
}
