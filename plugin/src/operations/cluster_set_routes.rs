//! `cluster_set_routes`: adds routes to the hub's or the leaf's list.

use serde_json::{Value, json};

use crate::capabilities::Capabilities;
use crate::operation::{Error, Operation, Request};
use crate::routes::{RouteLists, Server, read_routes, routes_schema};
use crate::validate::Violations;

pub(crate) const OPERATION: Operation = Operation {
    name: "cluster_set_routes",
    super_user: true,
    help: "Add routes to the hub or leaf server configuration",
    schema: || {
        json!({
            "type": "object",
            "required": ["operation", "server", "routes"],
            "properties": {
                "operation": { "const": OPERATION.name },
                "server": { "enum": ["hub", "leaf"] },
                "routes": routes_schema(),
            },
        })
    },
};

pub(crate) async fn handle(host: &impl Capabilities, request: &Request) -> Result<Value, Error> {
    let mut violations = Violations::default();
    let server = violations.required_choice(request, "server", &["hub", "leaf"]);
    let routes = read_routes(request, &mut violations);
    violations.check()?;
    let server = if server == Some("leaf") { Server::Leaf } else { Server::Hub };

    let (set, skipped) = RouteLists::change(host, |lists| {
        let mut known = lists.keys();
        let (set, skipped): (Vec<_>, Vec<_>) =
            routes.iter().cloned().partition(|route| known.insert(route.key()));
        lists.append(server, &set);
        (set, skipped)
    })
    .await?;
    Ok(json!({ "message": "cluster routes successfully set", "set": set, "skipped": skipped }))
}
