//! What other nodes ask of this one: one file a request, named as they name it.
//!
//! A request is another machine's word: whatever it is, there is an answer.

mod add_node;
mod cluster_status;
mod describe_all;
mod record;
mod remove_node;
mod update_node;
mod upsert;

use harper_wire::Limits;
use serde_json::{Map, Value, json};

use crate::ask::NOT_ENABLED;
use crate::capabilities::{Capabilities, NodeInfo};
use crate::nodes::is_node_name;

/// Characters of an operation's name that are repeated to whoever sent it.
const LONGEST_NAME: usize = 64;

/// A request's object.
type Request = Map<String, Value>;

/// A node that asks for a change, and who is asked.
struct Peer<'a, H> {
    host: &'a H,
    /// This node.
    this: &'a NodeInfo,
    /// Its name.
    own: &'a str,
    /// The name of the node that asks: by its own word, since whoever has the cluster's password is
    /// the cluster.
    node: &'a str,
    /// What it asks for.
    operation: &'a str,
}

/// Answers a request, in MessagePack as npm `msgpackr` writes it, both ways.
pub async fn answer(host: &impl Capabilities, request: &[u8]) -> Vec<u8> {
    let reply = match read(request) {
        Ok((operation, request)) => perform(host, &operation, &request).await,
        Err(message) => Err(message),
    };
    let (status, message) = match reply {
        Ok(message) => ("success", message),
        Err(message) => ("error", message.into()),
    };
    let reply = json!({
        "status": status,
        "message": message,
        "system_info": host.info().system_info,
    });
    harper_wire::encode(&harper_wire::Value::from(reply))
}

/// The error is for whoever asked. Who is told one can rely on it that no record was changed.
async fn perform(
    host: &impl Capabilities,
    operation: &str,
    request: &Request,
) -> Result<Value, String> {
    let this = host.info();
    match operation {
        "cluster_status" => Ok(cluster_status::answer(&this)),
        "describe_all" => describe_all::answer(host).await,
        "add_node" => add_node::answer(&peer(host, &this, operation, request)?, request).await,
        "update_node" => {
            update_node::answer(&peer(host, &this, operation, request)?, request).await
        }
        "remove_node" => remove_node::answer(&peer(host, &this, operation, request)?).await,
        other => {
            let name: String = other.chars().take(LONGEST_NAME).collect();
            Err(format!("Operation '{}' not found", name.escape_debug()))
        }
    }
}

/// Who asks for a change.
fn peer<'a, H: Capabilities>(
    host: &'a H,
    this: &'a NodeInfo,
    operation: &'a str,
    request: &'a Request,
) -> Result<Peer<'a, H>, String> {
    let own = match &this.name {
        Some(own) if this.clustering => own,
        _ => return Err(NOT_ENABLED.into()),
    };
    let node = request.get("node_name").and_then(Value::as_str);
    let node = node.filter(|node| is_node_name(node));
    let node = node.ok_or("'node_name' must be the name of the node that asks")?;
    if node == own {
        return Err(format!("'node_name' must not be '{own}', which is this node"));
    }
    Ok(Peer { host, this, own, node, operation })
}

fn read(request: &[u8]) -> Result<(String, Request), String> {
    let request = harper_wire::decode(request, &Limits::default())
        .map_err(|error| format!("The request is not valid: {error}"))?
        .into_json();
    let Value::Object(request) = request else {
        return Err("The request must be an object".into());
    };
    match request.get("operation") {
        Some(Value::String(operation)) => Ok((operation.clone(), request)),
        _ => Err("The request must include an 'operation' property".into()),
    }
}

#[cfg(test)]
mod changes;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::TablesError;
    use crate::fake::{Fake, block_on};

    fn ask(host: &Fake, request: &[u8]) -> Value {
        let reply = block_on(answer(host, request));
        let reply = harper_wire::decode(&reply, &Limits::default()).unwrap().into_json();
        assert_eq!(reply["system_info"]["hdb_version"], "1.2.3");
        reply
    }

    fn send(host: &Fake, request: Value) -> Value {
        ask(host, &harper_wire::encode(&request.into()))
    }

    // covers: peers.cluster-status
    #[test]
    fn cluster_status() {
        let reply = send(&Fake::clustered("a"), json!({ "operation": "cluster_status" }));
        assert_eq!(reply["status"], "success");
        assert_eq!(
            reply["message"],
            json!({
                "uptime": "1h 1s",
                "ports": { "clustering": 9932, "operations_api": 9925 },
                "system_info": reply["system_info"],
            })
        );
    }

    /// As `new Encoder().encode({ operation: 'cluster_status' })` writes it.
    #[test]
    fn msgpackrs_records_are_understood() {
        let head = [0xd4, 0x72, 0x40, 0x91, 0xa9];
        let request = [&head[..], b"operation\xaecluster_status"].concat();
        assert_eq!(ask(&Fake::clustered("a"), &request)["status"], "success");
    }

    // covers: peers.describe-all
    #[test]
    fn describe_all() {
        let host = Fake::clustered("a");
        host.describe("dev", "dog", "id", &["id", "name"]);
        host.describe("dev", "cat", "key", &["key"]);
        host.describe("data", "__proto__", "id", &["id"]);
        host.describe("system", "hdb_user", "username", &["username", "password"]);
        let reply = send(&host, json!({ "operation": "describe_all" }));
        let table = |name: &str, hash: &str, attributes: Value| {
            json!({
                "schema": "dev",
                "name": name,
                "hash_attribute": hash,
                "attributes": attributes,
            })
        };
        assert_eq!(
            reply["message"],
            json!({ "dev": {
                "dog": table("dog", "id", json!([{ "attribute": "id" }, { "attribute": "name" }])),
                "cat": table("cat", "key", json!([{ "attribute": "key" }])),
            } })
        );
        *host.tables.borrow_mut() = Err(TablesError::Failed("The disk is gone".into()));
        let reply = send(&host, json!({ "operation": "describe_all" }));
        assert_eq!(
            (&reply["status"], &reply["message"]),
            (&json!("error"), &json!("The disk is gone"))
        );
    }

    // covers: peers.unknown, peers.broken
    #[test]
    fn there_is_always_an_answer() {
        let host = Fake::clustered("a");
        let error = |reply: Value| {
            assert_eq!(reply["status"], "error");
            reply["message"].as_str().unwrap().to_owned()
        };
        let unknown = send(&host, json!({ "operation": "drop\n_database" }));
        assert_eq!(error(unknown), "Operation 'drop\\n_database' not found");
        let long = send(&host, json!({ "operation": "x".repeat(100_000) }));
        assert_eq!(error(long), format!("Operation '{}' not found", "x".repeat(64)));
        let no_operation = "The request must include an 'operation' property";
        for request in [json!({}), json!({ "operation": 1 }), json!({ "operation": null })] {
            assert_eq!(error(send(&host, request)), no_operation);
        }
        for request in [json!(null), json!([]), json!("cluster_status"), json!(7)] {
            assert_eq!(error(send(&host, request)), "The request must be an object");
        }
        for request in [&b""[..], b"\xc1", b"{\"operation\":\"cluster_status\"}", &[0x91; 1000]] {
            assert!(error(ask(&host, request)).starts_with("The request is not valid: "));
        }
    }
}
