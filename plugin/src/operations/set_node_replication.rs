//! `set_node_replication`: as `update_node`, and adds a node that is not known yet. The database
//! need not be named.

use serde_json::{Value, json};

use crate::capabilities::Capabilities;
use crate::manifest::change::{self, Rule};
use crate::operation::{Error, Operation, Request};
use crate::subscriptions::{self, Form};

pub(crate) const OPERATION: Operation = Operation {
    name: "set_node_replication",
    super_user: true,
    changes: true,
    warning: None,
    help: "Set which tables are shared with another instance, registered or not",
    schema: || {
        let subscription = json!({ "table": "dog", "subscribe": true, "publish": true });
        subscriptions::request_schema(OPERATION.name, Some(DEFAULT), "node1", subscription)
    },
};

/// The database of a table that names none.
const DEFAULT: &str = "data";

pub(crate) async fn handle(host: &impl Capabilities, request: &Request) -> Result<Value, Error> {
    let form = Form { default_schema: Some(DEFAULT), must_flow: false };
    let (node, plan) = change::handle(host, request, OPERATION.name, form, Rule::Either).await?;
    Ok(change::reply(&plan, format!("Successfully updated '{node}'"), "updated"))
}
