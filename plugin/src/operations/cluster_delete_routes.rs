//! `cluster_delete_routes`: removes routes from both lists.

use serde_json::{Value, json};

use crate::capabilities::Capabilities;
use crate::operation::{Error, Operation, Request};
use crate::routes::{RouteLists, read_routes, routes_schema};
use crate::validate::Violations;

pub(crate) const OPERATION: Operation = Operation {
    name: "cluster_delete_routes",
    super_user: true,
    changes: true,
    warning: Some("Nodes that are reached over these routes alone are cut off."),
    help: "Remove routes from the hub and leaf server configuration",
    schema: || {
        json!({
            "type": "object",
            "required": ["operation", "routes"],
            "properties": {
                "operation": { "const": OPERATION.name },
                "routes": routes_schema("The routes to remove, from the hub and from the leaf"),
            },
            "examples": [{
                "operation": OPERATION.name,
                "routes": [{ "host": "18.116.24.71", "port": 12345 }],
            }],
        })
    },
};

pub(crate) async fn handle(host: &impl Capabilities, request: &Request) -> Result<Value, Error> {
    let mut violations = Violations::default();
    let routes = read_routes(request, &mut violations);
    violations.check()?;

    let (deleted, skipped) = RouteLists::change(host, |lists| {
        let mut known = lists.keys();
        let (deleted, skipped): (Vec<_>, Vec<_>) =
            routes.iter().cloned().partition(|route| known.remove(&route.key()));
        lists.remove(&deleted.iter().map(|route| route.key()).collect());
        (deleted, skipped)
    })
    .await?;
    Ok(json!({
        "message": "cluster routes successfully deleted",
        "deleted": deleted,
        "skipped": skipped,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use crate::routes::{HUB_ROUTES, LEAF_ROUTES};

    #[test]
    fn removes_from_both_lists_and_leaves_null_for_an_empty_one() {
        let route = |host: &str| json!({ "host": host, "port": 1 });
        let host = Fake::with(json!({
            HUB_ROUTES: [route("a"), route("b"), "no route", route("A.")],
            LEAF_ROUTES: [route("a")],
        }));
        let request = json!({
            "operation": "cluster_delete_routes",
            "routes": [route("A"), route("c"), route("a")],
        });
        let reply = host.send(request).unwrap();
        assert_eq!(reply["deleted"], json!([route("A")]));
        assert_eq!(reply["skipped"], json!([route("c"), route("a")]));
        assert_eq!(host.config.borrow()[HUB_ROUTES], json!([route("b"), "no route"]));
        assert_eq!(host.config.borrow()[LEAF_ROUTES], json!(null));
        assert_eq!(host.writes.get(), 1, "both lists in one step");
    }
}
