//! `cluster_get_routes`: both lists of routes, as the configuration file has them now.

use serde_json::{Value, json};

use crate::capabilities::Capabilities;
use crate::operation::{Error, Operation};
use crate::routes::RouteLists;

pub(crate) const OPERATION: Operation = Operation {
    name: "cluster_get_routes",
    super_user: true,
    changes: false,
    warning: None,
    help: "Get all the hub and leaf server routes from the configuration",
    schema: || {
        json!({
            "type": "object",
            "required": ["operation"],
            "properties": { "operation": { "const": OPERATION.name } },
            "examples": [{ "operation": OPERATION.name }],
        })
    },
};

pub(crate) async fn handle(host: &impl Capabilities) -> Result<Value, Error> {
    Ok(RouteLists::read(host).await?.shown(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use crate::routes::{HUB_ROUTES, LEAF_ROUTES};

    #[test]
    fn shows_what_is_no_route_and_warns_of_it() {
        let host = Fake::with(json!({
            HUB_ROUTES: [{ "host": "a", "port": "1", "note": "x" }, { "host": "b" }],
        }));
        let reply = host.send(json!({ "operation": "cluster_get_routes" })).unwrap();
        assert_eq!(
            reply,
            json!({ "hub": [{ "host": "a", "port": 1 }, { "host": "b" }], "leaf": [] })
        );
        assert_eq!(host.warnings.borrow().len(), 1);
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        let host = Fake::with(json!({ LEAF_ROUTES: { "host": "a", "port": 1 } }));
        let text = "'clustering.leafServer.network.routes' in the configuration must be a list of \
                    routes";
        let error = Error::Failed(text.into());
        assert_eq!(host.send(json!({ "operation": "cluster_get_routes" })), Err(error));
    }
}
