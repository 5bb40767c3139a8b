//! `cluster_network`: all nodes that can be reached, and to whom each is connected.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::ask::NOT_ENABLED;
use crate::capabilities::{Capabilities, ServerInfo};
use crate::nodes::is_node_name;
use crate::operation::{Error, Operation, Request};
use crate::routes::{Route, RouteLists};
use crate::validate::Violations;

pub(crate) const OPERATION: Operation = Operation {
    name: "cluster_network",
    super_user: true,
    changes: false,
    warning: None,
    help: "Get all nodes that can be reached, and how they are connected",
    schema: || {
        json!({
            "type": "object",
            "required": ["operation"],
            "properties": {
                "operation": { "const": OPERATION.name },
                "timeout": {
                    "type": "number",
                    "minimum": 1,
                    "default": TIMEOUT.as_millis() as u64,
                    "description": "Milliseconds to wait for nodes that are there and say nothing",
                },
                "connected_nodes": {
                    "type": "boolean",
                    "default": false,
                    "description": "Whether to leave connected_nodes out of the reply",
                },
                "routes": {
                    "type": "boolean",
                    "default": false,
                    "description": "Whether to leave routes out of the reply",
                },
            },
            "examples": [{ "operation": OPERATION.name }],
        })
    },
};

/// How long to wait when nothing else is asked for. The reply goes out earlier when everyone who is
/// known to be there has answered.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What the server of a node is called, beside the node's name, that the others connect to.
const HUB: &str = "-hub";

pub(crate) async fn handle(host: &impl Capabilities, request: &Request) -> Result<Value, Error> {
    let mut violations = Violations::default();
    let timeout = violations.number(request, "timeout", 1.0);
    let without_connected_nodes = violations.flag(request, "connected_nodes");
    let without_routes = violations.flag(request, "routes");
    violations.check()?;
    let this = host.info();
    if !this.clustering {
        return Err(Error::Invalid(NOT_ENABLED.into()));
    }
    // The host waits no longer than this call may take.
    let timeout = timeout.map_or(TIMEOUT, |timeout| Duration::from_millis(timeout as u64));

    let mut hubs: BTreeMap<String, ServerInfo> = BTreeMap::new();
    for server in host.servers(timeout).await? {
        if let Some(name) = node_of(&server.name).map(str::to_owned) {
            hubs.entry(name).or_insert(server);
        }
    }
    // This node first, then the others by their names.
    let this = this.name.and_then(|name| hubs.remove_entry(&name));
    let this_name = this.as_ref().map(|(name, _)| name.clone());
    let mut nodes = Vec::new();
    for (name, hub) in this.into_iter().chain(hubs) {
        let mut node = Map::new();
        if !without_connected_nodes {
            node.insert("connected_nodes".into(), connected(&name, &hub));
        }
        if !without_routes {
            let routes = if Some(&name) == this_name.as_ref() {
                RouteLists::read(host).await?.hub_shown(host)
            } else {
                let routes = hub.cluster_urls.iter().filter_map(|url| Route::of_url(url));
                json!(routes.collect::<Vec<_>>())
            };
            node.insert("routes".into(), routes);
        }
        let mut first = Map::new();
        first.insert("name".into(), name.into());
        first.insert("response_time".into(), json!(hub.response_time.as_millis() as u64));
        first.append(&mut node);
        nodes.push(Value::Object(first));
    }
    Ok(json!({ "nodes": nodes }))
}

/// The node whose hub has this name.
fn node_of(server: &str) -> Option<&str> {
    server.strip_suffix(HUB).filter(|node| is_node_name(node))
}

fn connected(name: &str, hub: &ServerInfo) -> Value {
    let nodes = hub.routes.iter().filter_map(|server| node_of(server));
    json!(nodes.filter(|node| *node != name).collect::<BTreeSet<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::NatsError;
    use crate::fake::Fake;
    use crate::routes::HUB_ROUTES;

    fn server(name: &str, routes: &[&str], urls: &[&str]) -> ServerInfo {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        ServerInfo {
            name: name.into(),
            response_time: Duration::from_micros(4900),
            routes: owned(routes),
            cluster_urls: owned(urls),
        }
    }

    fn network(servers: Vec<ServerInfo>) -> Fake {
        let host = Fake::clustered("m");
        *host.servers.borrow_mut() = Ok(servers);
        host.config
            .borrow_mut()
            .insert(HUB_ROUTES.into(), json!([{ "host": "10.0.0.2", "port": "9932" }]));
        host
    }

    fn send(host: &Fake, more: Value) -> Result<Value, Error> {
        let mut request = json!({ "operation": "cluster_network" });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        host.send(request)
    }

    #[test]
    fn hubs_are_nodes() {
        let host = network(vec![
            server("z-hub", &["m-hub", "b-hub"], &["10.0.0.1:9932", "[2001:db8::1]:9932"]),
            server("m-leaf", &[], &[]),
            server("b-hub", &["z-hub", "m-hub"], &[]),
            server("m-hub", &["z-hub", "b-hub", "z-hub"], &["elsewhere:1"]),
        ]);
        assert_eq!(
            send(&host, json!({})).unwrap(),
            json!({ "nodes": [
                {
                    "name": "m",
                    "response_time": 4,
                    "connected_nodes": ["b", "z"],
                    "routes": [{ "host": "10.0.0.2", "port": 9932 }],
                },
                { "name": "b", "response_time": 4, "connected_nodes": ["m", "z"], "routes": [] },
                {
                    "name": "z",
                    "response_time": 4,
                    "connected_nodes": ["b", "m"],
                    "routes": [
                        { "host": "10.0.0.1", "port": 9932 },
                        { "host": "2001:db8::1", "port": 9932 },
                    ],
                },
            ] })
        );
        assert_eq!(*host.servers_asked.borrow(), [Duration::from_secs(2)]);
        let reply = send(&host, json!({ "connected_nodes": true, "timeout": 10.5 })).unwrap();
        assert_eq!(reply["nodes"][1], json!({ "name": "b", "response_time": 4, "routes": [] }));
        let reply = send(&host, json!({ "connected_nodes": true, "routes": true })).unwrap();
        assert_eq!(reply["nodes"][1], json!({ "name": "b", "response_time": 4 }));
        assert_eq!(host.servers_asked.borrow()[1], Duration::from_millis(10));
    }

    // covers: network.odd-servers
    #[test]
    fn servers_may_say_anything() {
        let host = network(vec![
            server("", &[], &[]),
            server("-hub", &[], &[]),
            server("a.b-hub", &[], &[]),
            server("a b\n-hub", &[], &[]),
            server("stranger", &["b-hub"], &["10.0.0.1:1"]),
            server(
                "b-hub",
                &["b-hub", "-hub", "x", "a.*-hub", "c-hub"],
                &[
                    "",
                    "10.0.0.1",
                    "10.0.0.1:0",
                    "10.0.0.1:70000",
                    "user:password@10.0.0.1:1",
                    "nats://10.0.0.1:1",
                    "10.0.0.1:1/path",
                    "2001:db8::1:1",
                    "[x]:1",
                    "good:1",
                ],
            ),
            server("b-hub", &["d-hub"], &[]),
        ]);
        assert_eq!(
            send(&host, json!({})).unwrap(),
            json!({ "nodes": [{
                "name": "b",
                "response_time": 4,
                "connected_nodes": ["c"],
                "routes": [{ "host": "good", "port": 1 }],
            }] })
        );
    }

    #[test]
    fn what_is_wrong_is_told_together() {
        let invalid = |text: &str| Err(Error::Invalid(text.into()));
        let host = network(vec![]);
        assert_eq!(
            send(&host, json!({ "timeout": "2000", "connected_nodes": 1, "routes": null })),
            invalid(
                "'timeout' must be a number. 'connected_nodes' must be a boolean. 'routes' must be \
                 a boolean"
            )
        );
        for timeout in [json!(0), json!(-5), json!(0.99)] {
            let text = "'timeout' must be greater than or equal to 1";
            assert_eq!(send(&host, json!({ "timeout": timeout })), invalid(text));
        }
        assert_eq!(host.servers_asked.borrow().len(), 0);
        for timeout in [json!(1), json!(1e300), json!(u64::MAX)] {
            send(&host, json!({ "timeout": timeout })).unwrap();
        }
    }

    #[test]
    fn clustering_off() {
        let reply = send(&Fake::default(), json!({}));
        assert_eq!(reply, Err(Error::Invalid(NOT_ENABLED.into())));
    }

    // covers: network.own-server
    #[test]
    fn ones_own_server_is_down() {
        let host = network(vec![]);
        *host.servers.borrow_mut() = Err(NatsError::Failed("The server is down".into()));
        assert_eq!(send(&host, json!({})), Err(Error::Failed("The server is down".into())));
    }
}
