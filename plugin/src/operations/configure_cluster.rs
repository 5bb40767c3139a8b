//! `configure_cluster`: replaces all that this node shares with others.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::capabilities::Capabilities;
use crate::manifest::change::{NONE_MADE, SOME_SKIPPED};
use crate::manifest::replace::{Configured, Connection, replace};
use crate::manifest::{Errand, Time, own_name};
use crate::operation::{Error, Operation, Request};
use crate::subscriptions::{self, Form, MOST, read_node_name};
use crate::validate::Violations;

pub(crate) const OPERATION: Operation = Operation {
    name: "configure_cluster",
    super_user: true,
    changes: true,
    warning: Some("All that is shared with other nodes now and is not named here is removed."),
    help: "Replace all that is shared with other instances",
    schema: || {
        json!({
            "type": "object",
            "required": ["operation", "connections"],
            "properties": {
                "operation": { "const": OPERATION.name },
                "connections": {
                    "type": "array",
                    "maxItems": MOST_CONNECTIONS,
                    "description": "The nodes to share tables with, and no others",
                    "items": {
                        "type": "object",
                        "required": ["node_name", "subscriptions"],
                        "properties": {
                            "node_name": subscriptions::node_name_schema(),
                            "subscriptions": subscriptions::schema(None),
                        },
                    },
                },
            },
            "examples": [{
                "operation": OPERATION.name,
                "connections": [
                    {
                        "node_name": "ec2-3-137-184-8",
                        "subscriptions": [{
                            "schema": "dev",
                            "table": "dog",
                            "subscribe": true,
                            "publish": false,
                        }],
                    },
                    {
                        "node_name": "ec2-18-223-239-195",
                        "subscriptions": [{
                            "schema": "dev",
                            "table": "dog",
                            "subscribe": true,
                            "publish": true,
                        }],
                    },
                ],
            }],
        })
    },
};

/// The most nodes of one request.
const MOST_CONNECTIONS: usize = 1000;

/// What is said when some nodes keep their setup.
const PARTLY: &str = "The cluster was configured in part: some nodes keep their present setup";

pub(crate) async fn handle(host: &impl Capabilities, request: &Request) -> Result<Value, Error> {
    let this = host.info();
    let mut violations = Violations::default();
    let connections = read(request, this.name.as_deref(), &mut violations);
    violations.check()?;

    let own = own_name(&this)?;
    let time = Time::begin(host);
    let operation = OPERATION.name;
    let errand = Errand { host, this: &this, own, node: own, operation, time };
    let results = replace(&errand, &connections).await?;
    Ok(reply(&connections, &results))
}

fn read(request: &Request, own: Option<&str>, violations: &mut Violations) -> Vec<Connection> {
    let items = violations.required_array(request, "connections").unwrap_or_default();
    if items.len() > MOST_CONNECTIONS {
        violations.add("connections", format_args!("must have at most {MOST_CONNECTIONS} items"));
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut connections = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let label = format!("connections[{i}]");
        let Some(object) = item.as_object() else {
            violations.add(label, "must be an object");
            continue;
        };
        let name = object.get("node_name");
        let node = read_node_name(name, &format!("{label}.node_name"), own, violations);
        let form = Form { default_schema: None, must_flow: true };
        let at = format!("{label}.subscriptions");
        let wanted = subscriptions::read(object, &at, form, violations);
        let Some(node) = node else { continue };
        if seen.insert(node.clone()) {
            connections.push(Connection { node, wanted });
        } else {
            let rule = "must not be a node that another one names";
            violations.add(format_args!("{label}.node_name"), rule);
        }
    }
    let all: usize = connections.iter().map(|connection| connection.wanted.len()).sum();
    if all > MOST {
        let rule = format_args!("must have at most {MOST} subscriptions in all");
        violations.add("connections", rule);
    }
    connections
}

fn reply(connections: &[Connection], results: &[Configured]) -> Value {
    let all = || connections.iter().zip(results);
    let failed: Vec<_> = all()
        .filter(|(_, result)| matches!(result, Configured::Failed(_)))
        .map(|(connection, _)| connection.node.as_str())
        .collect();
    let listed = |made: bool| -> Vec<Value> {
        let of_one = |(connection, result): (&Connection, &Configured)| -> Vec<Value> {
            let (Configured::Done(plan) | Configured::NoTable(plan)) = result else {
                return Vec::new();
            };
            let shown = |shown: Value| {
                let mut one = Map::new();
                one.insert("node_name".into(), connection.node.as_str().into());
                one.extend(shown.as_object().cloned().unwrap_or_default());
                Value::Object(one)
            };
            if made {
                plan.made.iter().map(|planned| shown(planned.wanted.shown())).collect()
            } else {
                plan.skipped.iter().map(|wanted| shown(wanted.shown())).collect()
            }
        };
        all().flat_map(of_one).collect()
    };
    let (made, skipped) = (listed(true), listed(false));
    let message = match (failed.is_empty(), skipped.is_empty(), made.is_empty()) {
        (false, _, _) => PARTLY,
        (true, true, _) => "Cluster successfully configured.",
        (true, false, false) => SOME_SKIPPED,
        (true, false, true) => NONE_MADE,
    };
    let mut reply = Map::new();
    reply.insert("message".into(), message.into());
    if !failed.is_empty() {
        reply.insert("failed_nodes".into(), json!(failed));
        reply.insert("connections".into(), all().map(|(one, result)| shown(one, result)).collect());
    }
    if !skipped.is_empty() {
        reply.insert("updated".into(), made.into());
        reply.insert("skipped".into(), skipped.into());
    }
    reply.into()
}

/// What came of a connection, where not all went well.
fn shown(connection: &Connection, result: &Configured) -> Value {
    let Connection { node, .. } = connection;
    let (status, message) = match result {
        Configured::Done(_) => ("success", format!("Successfully updated '{node}'")),
        Configured::NoTable(_) => ("skipped", NONE_MADE.to_owned()),
        Configured::Failed(error) => ("error", error.text().to_owned()),
    };
    json!({ "node_name": node, "status": status, "message": message })
}
