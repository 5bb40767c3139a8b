//! `user_info`: who the caller is.

use serde_json::{Value, json};

use crate::dispatch::{Caller, Error, Origin, Role};
use crate::runtime::Operation;
use crate::users::{UserInfo, Users};

pub(super) fn operation() -> Operation {
    Operation::new("user_info", "Show the user who asks").read_only().with_schema(json!({
        "type": "object",
        "required": ["operation"],
        "properties": { "operation": { "const": "user_info" } },
        "examples": [{ "operation": "user_info" }],
    }))
}

pub(super) async fn perform(users: Users, caller: Caller) -> Result<Value, Error> {
    // Who asks over the socket is no user of the node's, whatever they are called.
    let user = match caller.origin {
        Origin::Socket => None,
        _ => users.info(&caller.username).await?,
    };
    let without_record =
        || json!({ "active": true, "role": role(&caller.role), "username": caller.username });
    Ok(user.as_ref().map_or_else(without_record, shown))
}

/// A user as clients know them.
pub(super) fn shown(user: &UserInfo) -> Value {
    json!({
        "__createdtime__": user.created,
        "__updatedtime__": user.updated,
        "active": user.active,
        "role": role(&user.role),
        "username": user.username,
    })
}

/// A role is a name so far; its id is the same.
fn role(role: &Role) -> Value {
    let permission = match role {
        Role::SuperUser => json!({ "super_user": true }),
        Role::ClusterUser => json!({ "cluster_user": true }),
        Role::Named(_) => json!({ "super_user": false }),
    };
    json!({ "id": role.name(), "permission": permission, "role": role.name() })
}
