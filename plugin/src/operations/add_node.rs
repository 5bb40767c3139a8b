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
        let subscription = json!({
            "schema": "dev",
            "table": "dog",
            "subscribe": false,
            "publish": true,
            "start_time": "2022-09-02T20:06:35.993Z",
        });
        subscriptions::request_schema(OPERATION.name, None, "ec2-3-22-181-22", subscription)
    },
};

pub(crate) async fn handle(host: &impl Capabilities, request: &Request) -> Result<Value, Error> {
    let form = Form { default_schema: None, must_flow: true };
    let (node, plan) = change::handle(host, request, OPERATION.name, form, Rule::New).await?;
    Ok(change::reply(&plan, format!("Successfully added '{node}' to manifest"), "added"))
}
