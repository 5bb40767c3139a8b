//! What another node is told, and what can come of it.

use std::time::Duration;

use serde_json::{Map, Value};

use super::Errand;
use crate::ask::{Answer, NoAnswer, Question, ask};
use crate::capabilities::{Capabilities, JetStreamError};
use crate::nodes::system_info;
use crate::operation::Error;

/// Bytes of the answer to a change: a sentence.
const LARGEST_ANSWER: u32 = 64 << 10;

/// How long a node is waited for that is joined and does not listen yet: links between servers are
/// back, and say who listens, about a second after a hub's start.
const JOINING: Duration = Duration::from_secs(3);
/// How long between two looks.
const STEP: Duration = Duration::from_millis(100);

/// Bytes of the description of a node's tables: some thousand tables of some dozen attributes.
const LARGEST_DESCRIPTION: u32 = 8 << 20;

/// A change that another node makes to its record of this one.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// What it sees of the subscriptions; none to remove the record.
    pub subscriptions: Option<Vec<Value>>,
    /// Whether the record is new here, as far as is known.
    pub is_new: bool,
    /// Whether those that are not named are to be gone. Harper's nodes do not know this.
    pub replace: bool,
    /// What this is called. Harper's nodes do not know this either.
    pub name: String,
    /// Whether it undoes what is called so: what is switched on again begins where it was. Nor this.
    pub undo: bool,
}

impl Change {
    /// Removes the record.
    pub fn remove() -> Self {
        Self::default()
    }

    fn operation(&self) -> &'static str {
        match (&self.subscriptions, self.is_new) {
            (None, _) => "remove_node",
            (Some(_), true) => "add_node",
            (Some(_), false) => "update_node",
        }
    }
}

/// Why the other node has not done it, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For the caller.
    pub error: Error,
    /// What is known of the other node.
    pub cause: Cause,
}

/// What is known of another node that was told something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It is not there.
    NotListening,
    /// It is there, and has said nothing: it may have done it, or may still do it.
    Silent,
    /// It has refused, and so has not done it.
    Refused,
    /// It has answered with something that is no answer, having done it or not.
    Unusable,
    /// It was not asked: this node has no clustering.
    NotAsked,
    /// This node's own server has failed, and it may have been asked.
    OwnServer,
    /// It has done it, and something else kept the operation from going on.
    Done,
}

impl Failure {
    fn of<H>(errand: &Errand<'_, H>, answer: NoAnswer, timeout: Duration) -> Self {
        let Errand { operation, node, .. } = errand;
        let failed = |why: String| Error::Failed(format!("{operation} failed: {why}"));
        let (cause, error) = match answer {
            NoAnswer::NoResponders => {
                (Cause::NotListening, failed(format!("node '{node}' is not listening")))
            }
            NoAnswer::Timeout => {
                let waited = timeout.as_millis();
                let why = format!("node '{node}' did not reply within {waited} ms");
                (Cause::Silent, failed(why))
            }
            NoAnswer::Refused(message) => {
                (Cause::Refused, failed(format!("node '{node}' replied: {message}")))
            }
            NoAnswer::Unusable(why) => {
                let why = format!("the reply of node '{node}' cannot be used: {why}");
                (Cause::Unusable, failed(why))
            }
            NoAnswer::NotHere(error @ Error::Invalid(_)) => (Cause::NotAsked, error),
            NoAnswer::NotHere(error) => (Cause::OwnServer, error),
        };
        Self { error, cause }
    }

    /// Something that keeps an operation from going on before the other node was told anything.
    pub fn nothing_told(error: Error) -> Self {
        Self { error, cause: Cause::NotAsked }
    }

    /// Something that keeps an operation from going on, the other node having done its part.
    pub fn done(error: Error) -> Self {
        Self { error, cause: Cause::Done }
    }

    /// The same of a node that has done its part, and was told something more.
    pub fn again(self) -> Self {
        let cause = if self.cause.may_be_done() { self.cause } else { Cause::Done };
        Self { cause, ..self }
    }
}

impl Cause {
    /// Whether the other node has to be told of an undo.
    pub fn may_be_done(self) -> bool {
        !matches!(self, Self::NotListening | Self::Refused | Self::NotAsked)
    }

    /// Whether the other node may still be about to do it.
    pub fn is_at_large(self) -> bool {
        matches!(self, Self::Silent | Self::OwnServer)
    }
}

/// Tells the other node, and returns what it says of its software.
pub async fn tell<H: Capabilities>(
    errand: &Errand<'_, H>,
    change: &Change,
    most: Duration,
) -> Result<Value, Failure> {
    let mut more = Map::new();
    if let Some(subscriptions) = &change.subscriptions {
        more.insert("subscriptions".into(), subscriptions.clone().into());
    }
    if change.subscriptions.is_some() {
        more.insert("change".into(), change.name.as_str().into());
    }
    for (key, is_so) in [("replace", change.replace), ("undo", change.undo)] {
        if is_so {
            more.insert(key.into(), true.into());
        }
    }
    let timeout = errand.time.at_most(errand.host, most);
    let question = Question {
        node: errand.node,
        operation: change.operation(),
        more,
        timeout,
        largest: LARGEST_ANSWER,
    };
    match ask(errand.host, errand.this, question).await {
        Ok(Answer { system_info: told, .. }) => Ok(system_info(told.as_ref())),
        Err(answer) => Err(Failure::of(errand, answer, timeout)),
    }
}

/// Asks the other node for its tables, and returns them and what it says of its software. One that has
/// just been joined, and whose hub is there already, is given a moment to be heard.
pub async fn describe<H: Capabilities>(
    errand: &Errand<'_, H>,
    most: Duration,
) -> Result<(Value, Value), Failure> {
    let Errand { host, this, node, .. } = *errand;
    let mut looks = JOINING.as_millis() / STEP.as_millis();
    loop {
        let timeout = errand.time.at_most(host, most);
        let question = Question {
            node,
            operation: "describe_all",
            more: Map::new(),
            timeout,
            largest: LARGEST_DESCRIPTION,
        };
        match ask(host, this, question).await {
            Ok(Answer { message, system_info: told }) => {
                return Ok((message, system_info(told.as_ref())));
            }
            Err(NoAnswer::NoResponders) if looks > 0 && is_joined(host, node).await => {
                looks -= 1;
                host.sleep(STEP).await;
            }
            Err(answer) => return Err(Failure::of(errand, answer, timeout)),
        }
    }
}

/// Whether the node's hub is among the servers of the network.
async fn is_joined(host: &impl Capabilities, node: &str) -> bool {
    let servers = host.servers(STEP).await.unwrap_or_default();
    servers.iter().any(|server| server.name.strip_suffix("-hub") == Some(node))
}

/// The other node's streams could not be looked at.
pub fn no_stream<H>(errand: &Errand<'_, H>, error: JetStreamError, timeout: Duration) -> Error {
    let answer = match error {
        JetStreamError::NotEnabled => {
            return Error::Invalid(crate::ask::NOT_ENABLED.into());
        }
        // The node answers, and its streams do not: say which.
        JetStreamError::NotFound | JetStreamError::Unavailable(_) => {
            let Errand { operation, node, .. } = errand;
            let text = format!("{operation} failed: the streams of node '{node}' are out of reach");
            return Error::Failed(text);
        }
        JetStreamError::Timeout => NoAnswer::Timeout,
        JetStreamError::Failed(text) => NoAnswer::NotHere(Error::Failed(text)),
    };
    Failure::of(errand, answer, timeout).error
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::capabilities::{NatsError, ServerInfo};
    use crate::fake::{Fake, block_on};
    use crate::manifest::Time;

    /// A node beside which these servers are in the network, asking `b` for its tables.
    fn asking(host: &Fake, servers: &[&str]) -> Result<Value, Cause> {
        let server = |name: &&str| ServerInfo {
            name: (*name).into(),
            response_time: Duration::ZERO,
            routes: Vec::new(),
            cluster_urls: Vec::new(),
        };
        *host.servers.borrow_mut() = Ok(servers.iter().map(server).collect());
        let this = host.node.borrow().clone();
        let time = Time::begin(host);
        let errand = Errand { host, this: &this, own: "a", node: "b", operation: "add_node", time };
        let described = block_on(describe(&errand, Duration::from_secs(5)));
        described.map(|(tables, _)| tables).map_err(|failure| failure.cause)
    }

    fn host() -> Fake {
        let host = Fake::clustered("a");
        let reply = json!({ "status": "success", "message": { "dev": {} } });
        host.answers.borrow_mut().insert("b".into(), Ok(reply));
        host
    }

    fn asked(host: &Fake) -> usize {
        host.asked.borrow().len()
    }

    // covers: nodes.joining
    #[test]
    fn a_node_that_is_joined_is_asked_again_until_it_listens() {
        let host = host();
        host.not_heard.set(3);
        assert_eq!(asking(&host, &["a-hub", "b-leaf", "b-hub"]), Ok(json!({ "dev": {} })));
        assert_eq!((asked(&host), host.slept.get()), (4, STEP * 3));
        // One that listens at once is asked once, and nobody is asked who is in the network.
        let host = self::host();
        assert_eq!(asking(&host, &["b-hub"]), Ok(json!({ "dev": {} })));
        assert_eq!((asked(&host), host.servers_asked.borrow().len()), (1, 0));
    }

    // covers: nodes.joining
    #[test]
    fn one_that_never_listens_is_given_up() {
        let host = host();
        host.not_heard.set(u32::MAX);
        assert_eq!(asking(&host, &["b-hub"]), Err(Cause::NotListening));
        assert_eq!(host.slept.get(), JOINING);
        assert_eq!(asked(&host), 31);
    }

    // covers: nodes.joining
    #[test]
    fn one_that_is_not_there_is_refused_at_once() {
        // Its leaf may be there, and names that begin alike are of others.
        for servers in [&["a-hub"][..], &["b-leaf", "bb-hub", "b-hub-hub", "-hub"], &[]] {
            let host = host();
            host.not_heard.set(3);
            assert_eq!(asking(&host, servers), Err(Cause::NotListening));
            assert_eq!((asked(&host), host.slept.get()), (1, Duration::ZERO));
        }
        // So it is when the network does not say who is there.
        let host = host();
        *host.servers.borrow_mut() = Err(NatsError::Timeout);
        assert!(!block_on(is_joined(&host, "b")));
    }

    // covers: nodes.joining
    #[test]
    fn silence_is_not_waited_for_again() {
        let host = host();
        host.answers.borrow_mut().insert("b".into(), Err(NatsError::Timeout));
        assert_eq!(asking(&host, &["b-hub"]), Err(Cause::Silent));
        assert_eq!((asked(&host), host.slept.get()), (1, Duration::ZERO));
    }
}
