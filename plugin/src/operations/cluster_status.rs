//! `cluster_status`: each node that this one shares tables with, and whether it answers.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use crate::ask::{NoAnswer, Question, ask};
use crate::capabilities::{Capabilities, NodeInfo};
use crate::nodes::{NodeRecord, Subscription};
use crate::operation::{Error, Operation};
use crate::{routes, uptime};

pub(crate) const OPERATION: Operation = Operation {
    name: "cluster_status",
    super_user: true,
    changes: false,
    warning: None,
    help: "Get the state of this node's connections to other nodes",
    schema: || {
        json!({
            "type": "object",
            "required": ["operation"],
            "properties": { "operation": { "const": OPERATION.name } },
            "examples": [{ "operation": OPERATION.name }],
        })
    },
};

/// Bytes of a node's answer. Harper's has some two hundred.
const LARGEST_ANSWER: u32 = 64 << 10;

/// A node without clustering, and without a name in its configuration, has none: `node_name` is
/// null.
pub(crate) async fn handle(host: &impl Capabilities) -> Result<Value, Error> {
    let this = host.info();
    let connections = if this.clustering {
        let records = NodeRecord::all(host).await?;
        let states = records.iter().map(|stored| connection(host, &this, &stored.record));
        // All at the same time: it takes as long as the slowest.
        join_all(states).await.into_iter().collect::<Result<_, _>>()?
    } else {
        Vec::new()
    };
    Ok(json!({
        "node_name": this.name,
        "is_enabled": this.clustering,
        "connections": connections,
    }))
}

async fn connection(
    host: &impl Capabilities,
    this: &NodeInfo,
    record: &NodeRecord,
) -> Result<Value, Error> {
    let question = Question {
        node: &record.name,
        operation: OPERATION.name,
        more: Map::new(),
        timeout: this.status_timeout,
        largest: LARGEST_ANSWER,
    };
    let asked = host.monotonic();
    let answer = ask(host, this, question).await;
    let took = Duration::from_nanos(host.monotonic().saturating_sub(asked));
    let (status, message) = match answer {
        Ok(answer) => ("open", Some(answer.message)),
        Err(NoAnswer::NoResponders) => ("NoResponders", None),
        Err(NoAnswer::Timeout) => ("Timeout", None),
        Err(NoAnswer::NotHere(error)) => return Err(error),
        Err(error @ (NoAnswer::Refused(_) | NoAnswer::Unusable(_))) => {
            host.warn(&format!("Node '{}' has no state to tell: {error}", record.name));
            ("closed", Some(Value::Null))
        }
    };
    let mut connection = Map::new();
    connection.insert("node_name".into(), record.name.as_str().into());
    connection.insert("status".into(), status.into());
    connection.insert("ports".into(), ports(message.as_ref()).into());
    if let Some(message) = message {
        connection.insert("latency_ms".into(), milliseconds(took).into());
        if let Some(uptime) = message.get("uptime").and_then(uptime::of_another) {
            connection.insert("uptime".into(), uptime.into());
        }
    }
    connection.insert(
        "subscriptions".into(),
        record.subscriptions.iter().map(Subscription::shown).collect(),
    );
    Ok(connection.into())
}

/// The ports that a node tells, as far as they are some.
fn ports(message: Option<&Value>) -> Map<String, Value> {
    let told = message.and_then(|message| message.get("ports"));
    let port = |name: &str| {
        let port = routes::port(told?.get(name)?)?;
        Some((name.to_owned(), Value::from(port)))
    };
    ["clustering", "operations_api"].into_iter().filter_map(port).collect()
}

fn milliseconds(duration: Duration) -> u64 {
    (duration.as_secs_f64() * 1000.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::NatsError;
    use crate::fake::Fake;

    fn send(host: &Fake) -> Result<Value, Error> {
        host.send(json!({ "operation": "cluster_status" }))
    }

    fn success(message: Value) -> Result<Value, NatsError> {
        Ok(json!({ "status": "success", "message": message }))
    }

    /// A node that shares tables with `b`, which answers with this.
    fn with_answer(answer: Result<Value, NatsError>) -> Fake {
        let host = Fake::clustered("a");
        host.records.borrow_mut().push(json!({ "name": "b", "subscriptions": [] }));
        host.answers.borrow_mut().insert("b".into(), answer);
        host
    }

    fn connection_of(answer: Result<Value, NatsError>) -> Value {
        send(&with_answer(answer)).unwrap()["connections"][0].clone()
    }

    #[test]
    fn clustering_off() {
        let off =
            |name: Value| json!({ "node_name": name, "is_enabled": false, "connections": [] });
        let host = Fake::default();
        assert_eq!(send(&host), Ok(off(json!(null))));
        host.node.borrow_mut().name = Some("a".into());
        host.records.borrow_mut().push(json!({ "name": "b" }));
        assert_eq!(send(&host), Ok(off(json!("a"))));
        assert_eq!(host.asked.borrow().len(), 0, "nobody is asked");
    }

    #[test]
    fn each_node_is_asked_in_harpers_words() {
        let host = Fake::clustered("a");
        for name in ["b", "c"] {
            host.records.borrow_mut().push(json!({ "name": name }));
        }
        let reply = send(&host).unwrap();
        let names: Vec<_> =
            reply["connections"].as_array().unwrap().iter().map(|c| &c["node_name"]).collect();
        assert_eq!(names, ["b", "c"]);
        let asked = host.asked.borrow();
        let (subject, request, timeout) = &asked[0];
        assert_eq!((subject.as_str(), *timeout), ("b.__request__", Duration::from_secs(5)));
        assert_eq!(
            *request,
            json!({
                "operation": "cluster_status",
                "node_name": "a",
                "system_info": {
                    "hdb_version": "1.2.3",
                    "node_version": "0.0.0",
                    "platform": "linux",
                },
            })
        );
        assert_eq!(asked[1].0, "c.__request__");
    }

    #[test]
    fn four_states() {
        let message = json!({
            "uptime": "8s",
            "ports": { "clustering": 9932, "operations_api": 9925 },
            "system_info": {},
        });
        assert_eq!(
            connection_of(success(message)),
            json!({
                "node_name": "b",
                "status": "open",
                "ports": { "clustering": 9932, "operations_api": 9925 },
                "latency_ms": 0,
                "uptime": "8s",
                "subscriptions": [],
            })
        );
        let closed = json!({
            "node_name": "b",
            "status": "closed",
            "ports": {},
            "latency_ms": 0,
            "subscriptions": [],
        });
        assert_eq!(connection_of(Ok(json!({ "status": "error", "message": "no" }))), closed);
        assert_eq!(connection_of(Ok(json!("garbage"))), closed);
        assert_eq!(connection_of(Err(NatsError::TooLarge("too large".into()))), closed);
        for (error, status) in
            [(NatsError::NoResponders, "NoResponders"), (NatsError::Timeout, "Timeout")]
        {
            let expected =
                json!({ "node_name": "b", "status": status, "ports": {}, "subscriptions": [] });
            assert_eq!(connection_of(Err(error)), expected);
        }
    }

    // covers: status.garbage
    #[test]
    fn odd_answers_are_no_more_than_left_out() {
        let odd = [
            json!(null),
            json!("x"),
            json!([1, 2]),
            json!({}),
            json!({ "uptime": { "a": 1 }, "ports": "none" }),
            json!({ "uptime": "\u{1b}[31m", "ports": { "clustering": -1, "operations_api": [1] } }),
            json!({ "uptime": true, "ports": { "clustering": 1e9, "operations_api": "x" } }),
            json!({ "node_name": "evil", "status": "closed", "subscriptions": [1] }),
        ];
        for message in odd {
            let expected = json!({
                "node_name": "b",
                "status": "open",
                "ports": {},
                "latency_ms": 0,
                "subscriptions": [],
            });
            assert_eq!(connection_of(success(message.clone())), expected, "{message}");
        }
        let connection = connection_of(success(json!({ "ports": { "clustering": "9932" } })));
        assert_eq!(connection["ports"], json!({ "clustering": 9932 }));
    }

    // covers: status.own-server
    #[test]
    fn a_server_of_ones_own_that_is_down_is_no_state_of_others() {
        let text = "This node's NATS server does not answer";
        let host = with_answer(Err(NatsError::Failed(text.into())));
        assert_eq!(send(&host), Err(Error::Failed(text.into())));
    }
}
