//! `cluster_get_routes`: both lists of routes, as the configuration file has them now.

use serde_json::{Value, json};

use crate::capabilities::Capabilities;
use crate::operation::{Error, Operation};
use crate::routes::RouteLists;

pub(crate) const OPERATION: Operation = Operation {
    name: "cluster_get_routes",
    super_user: true,
    help: "Get all the hub and leaf server routes from the configuration",
    schema: || {
        json!({
            "type": "object",
            "required": ["operation"],
            "properties": { "operation": { "const": OPERATION.name } },
        })
    },
};

pub(crate) async fn handle(host: &impl Capabilities) -> Result<Value, Error> {
    Ok(RouteLists::read(host).await?.shown(host))
}
