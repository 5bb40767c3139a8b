//! `cluster_set_routes`: adds routes to the hub's or the leaf's list.

use serde_json::{Value, json};

use crate::capabilities::Capabilities;
use crate::operation::{Error, Operation, Request};
use crate::routes::{RouteLists, Server, read_routes, routes_schema};
use crate::validate::Violations;

pub(crate) const OPERATION: Operation = Operation {
    name: "cluster_set_routes",
    super_user: true,
    changes: true,
    warning: None,
    help: "Add routes to the hub or leaf server configuration",
    schema: || {
        json!({
            "type": "object",
            "required": ["operation", "server", "routes"],
            "properties": {
                "operation": { "const": OPERATION.name },
                "server": {
                    "enum": ["hub", "leaf"],
                    "description": "Whose routes these are, in most cases the hub's",
                },
                "routes": routes_schema("The routes to add; those that are there stay"),
            },
            "examples": [{
                "operation": OPERATION.name,
                "server": "hub",
                "routes": [
                    { "host": "3.22.181.22", "port": 12345 },
                    { "host": "3.137.184.8", "port": 12345 },
                    { "host": "18.223.239.195", "port": 12345 },
                    { "host": "18.116.24.71", "port": 12345 },
                ],
            }],
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use crate::routes::{HUB_ROUTES, LEAF_ROUTES};

    fn request(routes: Value) -> Value {
        json!({ "operation": "cluster_set_routes", "server": "hub", "routes": routes })
    }

    #[test]
    fn skips_what_stands_in_either_list_or_twice_in_the_request() {
        let host = Fake::with(json!({
            HUB_ROUTES: [{ "host": "A.example.", "port": 1 }],
            LEAF_ROUTES: [{ "host": "2001:db8::1", "port": "2" }],
        }));
        let route = |host: &str, port: u16| json!({ "host": host, "port": port });
        let new = route("b", 3);
        let reply = host.send(request(json!([
            route("a.EXAMPLE", 1),
            route("2001:DB8:0::1", 2),
            new,
            route("B", 3),
            route("b", 4),
        ])));
        let reply = reply.unwrap();
        assert_eq!(reply["set"], json!([new, route("b", 4)]));
        let skipped = json!([route("a.EXAMPLE", 1), route("2001:DB8:0::1", 2), route("B", 3)]);
        assert_eq!(reply["skipped"], skipped);
        let hub = host.config.borrow()[HUB_ROUTES].clone();
        assert_eq!(hub, json!([route("A.example.", 1), new, route("b", 4)]));
    }

    #[test]
    fn writes_nothing_when_nothing_changes() {
        let host = Fake::with(json!({ HUB_ROUTES: [{ "host": "a", "port": 1 }] }));
        host.send(request(json!([{ "host": "a", "port": 1 }]))).unwrap();
        host.send(request(json!([]))).unwrap();
        assert_eq!(host.writes.get(), 0);
    }

    #[test]
    fn changes_nothing_when_anything_is_wrong() {
        let host = Fake::default();
        let routes = json!([{ "host": "a", "port": 1 }, { "host": "b:1", "port": true }, 3]);
        let text = "'routes[1].host' must be a host name, an IPv4 or an IPv6 address. \
                    'routes[1].port' must be a number. 'routes[2]' must be an object";
        assert_eq!(host.send(request(routes)), Err(Error::Invalid(text.into())));
        assert_eq!(host.writes.get(), 0);
    }
}
