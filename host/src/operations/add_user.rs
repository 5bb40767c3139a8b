//! `add_user`: a new user with a role.

use serde_json::{Value, json};

use super::request::Fields;
use crate::dispatch::{Error, Role};
use crate::runtime::Operation;
use crate::users::{Users, check_password, check_role, check_username};

pub(super) fn operation() -> Operation {
    Operation::new("add_user", "Add a user with a role and a password").with_schema(json!({
        "type": "object",
        "required": ["operation", "role", "username", "password"],
        "properties": {
            "operation": { "const": "add_user" },
            "role": {
                "type": "string",
                "description": "super_user, cluster_user, or the name of a role that may do nothing yet",
            },
            "username": { "type": "string", "description": "The name they log in with; it cannot be changed" },
            "password": { "type": "string", "description": "Their password; only a hash of it is kept" },
            "active": { "type": "boolean", "description": "Whether they may log in; true by default" },
        },
        "examples": [{
            "operation": "add_user",
            "role": "super_user",
            "username": "hdb_user",
            "password": "password",
            "active": true,
        }],
    }))
}

pub(super) async fn perform(users: Users, request: Value) -> Result<Value, Error> {
    let mut fields = Fields::of(request);
    let role = fields.required("role", check_role);
    let username = fields.required("username", check_username);
    let password = zeroize::Zeroizing::new(fields.required("password", check_password));
    let active = fields.flag("active").unwrap_or(true);
    fields.check()?;

    users.add(&username, &password, &Role::of_name(role), active).await?;
    Ok(json!({ "message": format!("{username} successfully added") }))
}
