//! A request to another node: how it goes out, and what can come of it.
//!
//! A node is asked on `<node>.__request__`, in MessagePack as npm `msgpackr` writes it. What comes
//! back is another machine's word: it is bounded, and may be of any form.

use std::fmt;
use std::time::Duration;

use harper_wire::Limits;
use serde_json::{Map, Value, json};

use crate::capabilities::{Capabilities, NatsError, NodeInfo};
use crate::operation::Error;

/// What an operation says that needs clustering, on a node without.
pub const NOT_ENABLED: &str =
    "Clustering is not enabled: set clustering.enabled to true in harperdb-config.yaml";

/// Bytes that are built of an answer, whatever its length: a part of what a call may use.
const MOST_MEMORY: usize = 24 << 20;

/// Characters of another node's own words that are passed on.
const LONGEST_MESSAGE: usize = 500;

/// A question to another node.
#[derive(Debug)]
pub struct Question<'a> {
    /// Which node: a name by the rules of [`is_node_name`](crate::nodes::is_node_name).
    pub node: &'a str,
    /// What is asked, for example `cluster_status`.
    pub operation: &'a str,
    /// What goes with it.
    pub more: Map<String, Value>,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// Bytes of the answer.
    pub largest: u32,
}

/// What a node says that has done it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The answer itself.
    pub message: Value,
    /// What the node says of its software.
    pub system_info: Option<Value>,
}

/// Why there is no answer to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// Nobody listens under this name.
    NoResponders,
    /// Somebody listens, and did not answer in time.
    Timeout,
    /// It answered with an error; its own words, cut to some hundred characters of one line.
    Refused(String),
    /// It answered with something that is no answer, or too large; why, without its words.
    Unusable(String),
    /// Nobody can be asked: this node has no clustering, or its own server does not answer. This
    /// is no other node's state, but a failure of the operation.
    NotHere(Error),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoResponders => f.write_str("it is not listening"),
            Self::Timeout => f.write_str("it did not reply in time"),
            Self::Refused(message) => write!(f, "it replied: {message}"),
            Self::Unusable(why) => write!(f, "its reply cannot be used: {why}"),
            Self::NotHere(error) => f.write_str(error.text()),
        }
    }
}

impl From<NatsError> for NoAnswer {
    fn from(error: NatsError) -> Self {
        match error {
            NatsError::NoResponders => Self::NoResponders,
            NatsError::Timeout => Self::Timeout,
            NatsError::TooLarge(text) => Self::Unusable(text),
            NatsError::NotEnabled | NatsError::Failed(_) => Self::NotHere(error.into()),
        }
    }
}

impl From<NatsError> for Error {
    fn from(error: NatsError) -> Self {
        match error {
            NatsError::NotEnabled => Self::Invalid(NOT_ENABLED.into()),
            NatsError::NoResponders => Self::Failed("Nobody listens".into()),
            NatsError::Timeout => Self::Failed("There was no answer in time".into()),
            NatsError::TooLarge(text) | NatsError::Failed(text) => Self::Failed(text),
        }
    }
}

/// Asks, and returns what is in a reply whose `status` is `success`.
pub async fn ask(
    host: &impl Capabilities,
    this: &NodeInfo,
    question: Question<'_>,
) -> Result<Answer, NoAnswer> {
    let Question { node, operation, more, timeout, largest } = question;
    let mut request = Map::new();
    request.insert("operation".into(), operation.into());
    request.insert("node_name".into(), json!(this.name));
    request.extend(more);
    request.insert("system_info".into(), json!(this.system_info));
    let request = harper_wire::encode(&harper_wire::Value::from(Value::Object(request)));
    let subject = format!("{node}.__request__");
    let reply = host.request(&subject, &request, timeout, largest).await?;
    answer_in(&reply, largest)
}

fn answer_in(reply: &[u8], largest: u32) -> Result<Answer, NoAnswer> {
    let limits = Limits {
        length: largest as usize,
        depth: 32,
        items: largest as usize / 4,
        slots: 64,
        memory: (largest as usize).saturating_mul(16).min(MOST_MEMORY),
        ..Limits::default()
    };
    let unusable = |why: &str| NoAnswer::Unusable(why.into());
    let reply = harper_wire::decode(reply, &limits)
        .map_err(|error| unusable(&error.to_string()))?
        .into_json();
    let Value::Object(mut reply) = reply else { return Err(unusable("it is no object")) };
    match reply.get("status").and_then(Value::as_str) {
        Some("success") => Ok(Answer {
            message: reply.remove("message").unwrap_or_default(),
            system_info: reply.remove("system_info"),
        }),
        Some("error") => Err(NoAnswer::Refused(words(&reply))),
        _ => Err(unusable("its status is neither success nor error")),
    }
}

/// The message of an error, as one line.
fn words(reply: &Map<String, Value>) -> String {
    match reply.get("message") {
        Some(Value::String(text)) if !text.is_empty() => {
            let plain = |c: char| if c.is_control() { ' ' } else { c };
            text.chars().take(LONGEST_MESSAGE).map(plain).collect()
        }
        _ => "an error without a message".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reply: Value) -> Result<Value, NoAnswer> {
        answer_in(&harper_wire::encode(&reply.into()), 4096).map(|answer| answer.message)
    }

    #[test]
    fn a_reply_is_a_success_or_an_error() {
        assert_eq!(
            read(json!({ "status": "success", "message": { "a": 1 } })),
            Ok(json!({ "a": 1 }))
        );
        assert_eq!(read(json!({ "status": "success" })), Ok(json!(null)));
        let refused = |text: &str| Err(NoAnswer::Refused(text.into()));
        assert_eq!(read(json!({ "status": "error", "message": "no\nway" })), refused("no way"));
        assert_eq!(read(json!({ "status": "error" })), refused("an error without a message"));
        let long = read(json!({ "status": "error", "message": "ä".repeat(1000) }));
        assert_eq!(long, refused(&"ä".repeat(LONGEST_MESSAGE)));
    }

    #[test]
    fn anything_else_is_none() {
        let odd = [
            json!(null),
            json!("success"),
            json!([]),
            json!({}),
            json!({ "status": 1 }),
            json!({ "status": "SUCCESS" }),
            json!({ "status": ["success"] }),
        ];
        for reply in odd {
            assert!(matches!(read(reply), Err(NoAnswer::Unusable(_))));
        }
        for bytes in
            [&b""[..], b"{\"status\":\"success\"}", &[0xc1], &[0xdd, 0xff, 0xff, 0xff, 0xff]]
        {
            assert!(matches!(answer_in(bytes, 4096), Err(NoAnswer::Unusable(_))), "{bytes:?}");
        }
        let deep = [vec![0x91; 4000], vec![0xc0]].concat();
        assert!(matches!(answer_in(&deep, 4096), Err(NoAnswer::Unusable(_))));
        let long = [&[0xdb, 0, 0, 0x20, 0][..], &[b'x'; 0x2000]].concat();
        assert!(matches!(answer_in(&long, 4096), Err(NoAnswer::Unusable(_))));
    }
}
