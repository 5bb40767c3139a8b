//! `add_node`: shares tables with another node that this one does not know yet.

use serde_json::{Value, json};

use crate::capabilities::Capabilities;
use crate::manifest::change::{self, Rule};
use crate::operation::{Error, Operation, Request};
use crate::subscriptions::{self, Form};

pub(crate) const OPERATION: Operation = Operation {
    name: "add_node",
    super_user: true,
    changes: true,
    warning: None,
    help: "Register another instance, with the tables to share with it",
    schema: || {
        json!({
            "type": "object",
            "required": ["operation", "node_name", "subscriptions"],
            "properties": {
                "operation": { "const": OPERATION.name },
                "node_name": subscriptions::node_name_schema(),
                "subscriptions": subscriptions::schema(None),
            },
            "examples": [{
                "operation": OPERATION.name,
                "node_name": "ec2-3-22-181-22",
                "subscriptions": [{
                    "schema": "dev",
                    "table": "dog",
                    "subscribe": false,
                    "publish": true,
                    "start_time": "2022-09-02T20:06:35.993Z",
                }],
            }],
        })
    },
};

pub(crate) async fn handle(host: &impl Capabilities, request: &Request) -> Result<Value, Error> {
    let form = Form { default_schema: None, must_flow: true };
    let (node, plan) = change::handle(host, request, OPERATION.name, form, Rule::New).await?;
    Ok(change::reply(&plan, format!("Successfully added '{node}' to manifest"), "added"))
}
