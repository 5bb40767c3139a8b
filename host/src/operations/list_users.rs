//! `list_users`: all users and their roles, without passwords.

use serde_json::{Value, json};

use super::user_info::shown;
use crate::dispatch::Error;
use crate::runtime::Operation;
use crate::users::Users;

pub(super) fn operation() -> Operation {
    Operation::new("list_users", "List all users and their roles").read_only().with_schema(json!({
        "type": "object",
        "required": ["operation"],
        "properties": { "operation": { "const": "list_users" } },
        "examples": [{ "operation": "list_users" }],
    }))
}

pub(super) async fn perform(users: Users) -> Result<Value, Error> {
    Ok(users.list().await?.iter().map(shown).collect())
}
