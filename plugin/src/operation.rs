//! The list of operations, and the way from a request to the file that answers it.

use serde_json::{Map, Value};

use crate::capabilities::Capabilities;
use crate::operations::{
    add_node, cluster_delete_routes, cluster_get_routes, cluster_network, cluster_set_routes,
    cluster_status, configure_cluster, purge_stream, remove_node, set_node_replication,
    update_node,
};

/// A request's JSON object, with `operation` and without credentials.
pub type Request = Map<String, Value>;

/// Who asks. The host has authenticated and authorised them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user's name; empty for the host's own tasks.
    pub username: String,
    /// Whether the role is super_user.
    pub super_user: bool,
}

/// Why an operation did not do what was asked, as a sentence for the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The request breaks a rule; nothing was changed.
    Invalid(String),
    /// Others changed the same thing again and again meanwhile; nothing was changed.
    Conflict(String),
    /// The request is right, but the host's state does not allow it to be done.
    Failed(String),
}

impl Error {
    /// The sentence.
    pub fn text(&self) -> &str {
        match self {
            Self::Invalid(text) | Self::Conflict(text) | Self::Failed(text) => text,
        }
    }
}

/// What the host is told of an operation.
#[derive(Debug)]
pub struct Operation {
    /// The value of `operation` in a request.
    pub name: &'static str,
    /// Whether only a super_user may call it.
    pub super_user: bool,
    /// Whether it may change anything.
    pub changes: bool,
    /// What follows, for an operation that takes something away.
    pub warning: Option<&'static str>,
    /// One line for a list of operations.
    pub help: &'static str,
    /// The JSON schema of the request body.
    pub schema: fn() -> Value,
}

/// All operations of this plugin.
pub const OPERATIONS: &[Operation] = &[
    cluster_set_routes::OPERATION,
    cluster_get_routes::OPERATION,
    cluster_delete_routes::OPERATION,
    add_node::OPERATION,
    update_node::OPERATION,
    set_node_replication::OPERATION,
    cluster_status::OPERATION,
    cluster_network::OPERATION,
    remove_node::OPERATION,
    configure_cluster::OPERATION,
    purge_stream::OPERATION,
];

/// Performs the operation that the request names.
pub async fn handle(host: &impl Capabilities, request: &Request) -> Result<Value, Error> {
    match request.get("operation").and_then(Value::as_str) {
        Some("cluster_set_routes") => cluster_set_routes::handle(host, request).await,
        Some("cluster_get_routes") => cluster_get_routes::handle(host).await,
        Some("cluster_delete_routes") => cluster_delete_routes::handle(host, request).await,
        Some("cluster_status") => cluster_status::handle(host).await,
        Some("cluster_network") => cluster_network::handle(host, request).await,
        Some("add_node") => add_node::handle(host, request).await,
        Some("update_node") => update_node::handle(host, request).await,
        Some("set_node_replication") => set_node_replication::handle(host, request).await,
        Some("remove_node") => remove_node::handle(host, request).await,
        Some("configure_cluster") => configure_cluster::handle(host, request).await,
        Some("purge_stream") => purge_stream::handle(host, request).await,
        // The host asks for nothing that `describe` does not list.
        other => Err(Error::Invalid(format!("Operation '{}' not found", other.unwrap_or("")))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::fake::{Fake, block_on};

    #[test]
    fn every_operation_is_handled_under_its_name() {
        for operation in OPERATIONS {
            let request = json!({ "operation": operation.name });
            let reply = block_on(handle(&Fake::default(), request.as_object().unwrap()));
            let unknown = Error::Invalid(format!("Operation '{}' not found", operation.name));
            assert_ne!(reply, Err(unknown));
        }
    }

    #[test]
    fn every_schema_describes_its_operation() {
        for operation in OPERATIONS {
            let schema = (operation.schema)();
            assert_eq!(schema["properties"]["operation"]["const"], operation.name);
            assert!(schema["required"].as_array().unwrap().contains(&json!("operation")));
        }
    }

    #[test]
    fn every_example_is_the_documents_request() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
        for operation in OPERATIONS {
            let file = golden.join(operation.name).join("document-example/request.json");
            let request: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
            assert_eq!((operation.schema)()["examples"], json!([request]), "{}", operation.name);
        }
    }
}
