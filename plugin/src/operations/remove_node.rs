//! `remove_node`: shares nothing with a node any more.

use serde_json::{Value, json};

use crate::capabilities::Capabilities;
use crate::manifest::remove::{Removed, remove};
use crate::manifest::{Errand, Time, own_name};
use crate::operation::{Error, Operation, Request};
use crate::subscriptions::{node_name_schema, read_node_name};
use crate::validate::Violations;

pub(crate) const OPERATION: Operation = Operation {
    name: "remove_node",
    super_user: true,
    changes: true,
    warning: Some("No table is shared with this node any more, in either direction."),
    help: "Remove an instance, and all that is shared with it, from the manifest",
    schema: || {
        json!({
            "type": "object",
            "required": ["operation"],
            "properties": {
                "operation": { "const": OPERATION.name },
                "node_name": node_name_schema(),
                "name": { "type": "string", "description": "The same as node_name" },
            },
            "anyOf": [{ "required": ["node_name"] }, { "required": ["name"] }],
            "examples": [{ "operation": OPERATION.name, "node_name": "ec2-3-22-181-22" }],
        })
    },
};

pub(crate) async fn handle(host: &impl Capabilities, request: &Request) -> Result<Value, Error> {
    let this = host.info();
    let mut violations = Violations::default();
    let (label, value) = match (request.get("node_name"), request.get("name")) {
        (Some(node_name), Some(name)) if node_name != name => {
            violations.add("name", "must be the same as 'node_name'");
            ("node_name", Some(node_name))
        }
        (None, Some(name)) => ("name", Some(name)),
        (node_name, _) => ("node_name", node_name),
    };
    let node = read_node_name(value, label, this.name.as_deref(), &mut violations);
    violations.check()?;
    let node = node.unwrap_or_default();

    let own = own_name(&this)?;
    let time = Time::begin(host);
    let operation = OPERATION.name;
    let errand = Errand { host, this: &this, own, node: &node, operation, time };
    Ok(json!({ "message": match remove(&errand).await? {
        Removed::There => format!("Successfully removed '{node}' from manifest"),
        Removed::HereOnly => format!(
            "Successfully removed '{node}' from the local manifest; node '{node}' could not be \
             reached and may still list this node"
        ),
    } }))
}
