//! `update_node`: adds and changes tables that are shared with a node; the others stay.

use serde_json::{Value, json};

use crate::capabilities::Capabilities;
use crate::manifest::change::{self, Rule};
use crate::operation::{Error, Operation, Request};
use crate::subscriptions::{self, Form};

pub(crate) const OPERATION: Operation = Operation {
    name: "update_node",
    super_user: true,
    changes: true,
    warning: None,
    help: "Change which tables are shared with a registered instance",
    schema: || {
        let subscription = json!({
            "schema": "dev",
            "table": "dog",
            "subscribe": true,
            "publish": false,
            "start_time": "2022-09-02T20:06:35.993Z",
        });
        subscriptions::request_schema(OPERATION.name, None, "ec2-18-223-239-195", subscription)
    },
};

pub(crate) async fn handle(host: &impl Capabilities, request: &Request) -> Result<Value, Error> {
    let form = Form { default_schema: None, must_flow: false };
    let (node, plan) = change::handle(host, request, OPERATION.name, form, Rule::Known).await?;
    Ok(change::reply(&plan, format!("Successfully updated '{node}'"), "updated"))
}
