//! `drop_user`: removes a user, who is out at once.

use serde_json::{Value, json};

use super::request::Fields;
use crate::dispatch::Error;
use crate::runtime::Operation;
use crate::users::{Users, check_username};

pub(super) fn operation() -> Operation {
    Operation::new("drop_user", "Remove a user")
        .with_warning("The user is out at once, and their password is gone.")
        .with_schema(json!({
            "type": "object",
            "required": ["operation", "username"],
            "properties": {
                "operation": { "const": "drop_user" },
                "username": { "type": "string", "description": "Whom to remove" },
            },
            "examples": [{ "operation": "drop_user", "username": "hdb_user" }],
        }))
}

pub(super) async fn perform(users: Users, request: Value) -> Result<Value, Error> {
    let mut fields = Fields::of(request);
    let username = fields.required("username", check_username);
    fields.check()?;

    users.remove(&username).await?;
    Ok(json!({ "message": format!("{username} successfully deleted") }))
}
