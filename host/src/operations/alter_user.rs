//! `alter_user`: another password or role, or whether the user may log in.

use serde_json::{Value, json};

use super::request::Fields;
use crate::dispatch::{Error, ErrorKind, Role};
use crate::runtime::Operation;
use crate::users::{Change, Users, check_password, check_role, check_username};

pub(super) fn operation() -> Operation {
    Operation::new("alter_user", "Change a user's password or role, or whether they may log in")
        .with_schema(json!({
            "type": "object",
            "required": ["operation", "username"],
            "properties": {
                "operation": { "const": "alter_user" },
                "username": { "type": "string", "description": "Whom to change" },
                "password": { "type": "string", "description": "The new password" },
                "role": { "type": "string", "description": "The new role" },
                "active": { "type": "boolean", "description": "Whether they may log in" },
            },
            "examples": [{ "operation": "alter_user", "username": "hdb_user", "active": false }],
        }))
}

pub(super) async fn perform(users: Users, request: Value) -> Result<Value, Error> {
    let mut fields = Fields::of(request);
    let username = fields.required("username", check_username);
    let password = fields.optional("password", check_password).map(Into::into);
    let role = fields.optional("role", check_role).map(Role::of_name);
    let active = fields.flag("active");
    fields.check()?;
    if password.is_none() && role.is_none() && active.is_none() {
        let text = "Nothing to change: give 'password', 'role' or 'active'";
        return Err(Error::new(ErrorKind::Invalid, text));
    }

    users.alter(&username, Change { password, role, active }).await?;
    Ok(json!({
        "message": "updated 1 of 1 records",
        "new_attributes": [],
        "txn_time": jiff::Timestamp::now().as_millisecond(),
        "update_hashes": [username],
        "skipped_hashes": [],
    }))
}
