//! Who is in the network: each server is asked, and the answers are complete when every hub that any
//! hub has a route to has answered.
//!
//! `$SYS.REQ.SERVER.PING` is answered by every server with its name and, by a hub, with the names of
//! those it has routes to; `$SYS.REQ.SERVER.PING.VARZ` with the routes that it was told.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State as Connection;
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout, timeout_at};

const PING: &str = "$SYS.REQ.SERVER.PING";
const VARZ: &str = "$SYS.REQ.SERVER.PING.VARZ";
/// What the name of a hub ends in.
pub(super) const HUB: &str = "-hub";
/// For the connection to the own hub to be there again, where it is not.
const BACK: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(5);
/// Servers that are looked at, and routes of one. Whoever has the cluster's password may claim to be
/// any number.
const MOST: usize = 4096;
/// Bytes of an answer; one that names so many routes has fewer.
const LARGEST: usize = 2 << 20;

/// Who was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Servers {
    /// The hubs that answered, by name.
    pub hubs: Vec<Server>,
    /// Names of hubs that others have a route to, and that did not answer in time.
    pub silent: Vec<String>,
}

/// A hub of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Server {
    /// Its name, such as `node-1-hub`.
    pub name: String,
    /// The time from the question to its answer.
    pub response_time: Duration,
    /// Names of the hubs that it has routes to, in order, each once.
    pub routes: Vec<String>,
    /// The routes that it was told to make, such as `10.0.0.2:9932`, in its order.
    pub cluster_urls: Vec<String>,
}

/// Why nobody could be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServersError {
    /// The node's hub is not running, or is being started.
    #[error("this node's own hub server cannot be reached at the moment")]
    Unavailable,
    /// This node's own hub runs, and does not answer.
    #[error("this node's own hub server does not answer")]
    Silent,
    /// Nobody answered in time, this node's own hub neither, which is who was asked.
    #[error("this node's own hub server did not answer in {} ms", .0.as_millis())]
    Timeout(Duration),
}

/// What one server said.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) name: String,
    response_time: Option<Duration>,
    routes: Vec<String>,
    cluster_urls: Option<Vec<String>>,
}

impl Answer {
    /// Whether it has answered both questions.
    fn is_complete(&self) -> bool {
        self.response_time.is_some() && self.cluster_urls.is_some()
    }
}

#[derive(Deserialize)]
struct Reply {
    server: Identity,
    statsz: Option<Statistics>,
    data: Option<Variables>,
}

impl Reply {
    fn read(payload: &[u8]) -> Option<Self> {
        if payload.len() > LARGEST {
            return None;
        }
        serde_json::from_slice(payload).ok()
    }
}

#[derive(Deserialize)]
struct Identity {
    name: String,
    id: String,
}

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    routes: Vec<Peer>,
}

#[derive(Deserialize)]
struct Peer {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Variables {
    #[serde(default)]
    cluster: ClusterVariables,
}

#[derive(Deserialize, Default)]
struct ClusterVariables {
    #[serde(default)]
    urls: Vec<String>,
}

/// The answers, by the servers' ids, until every hub has given both.
pub(super) async fn ask(
    client: &Client,
    patience: Duration,
) -> Result<BTreeMap<String, Answer>, ServersError> {
    // The longest wait that a timer takes.
    let end = Instant::now() + patience.min(Duration::from_secs(86_400));
    // A hub that is restarted for another list of routes is back within a fraction of a second.
    let given_up = end.min(Instant::now() + BACK);
    while client.connection_state() != Connection::Connected {
        if Instant::now() >= given_up {
            return Err(ServersError::Unavailable);
        }
        sleep(LOOK).await;
    }
    let start = Instant::now();
    let inbox = client.new_inbox();
    let unavailable = |_| ServersError::Unavailable;
    let mut answers =
        client.subscribe(inbox.clone()).await.map_err(|_| ServersError::Unavailable)?;
    for subject in [PING, VARZ] {
        let sent = client.publish_with_reply(subject, inbox.clone(), Vec::new().into()).await;
        sent.map_err(unavailable)?;
    }
    let mut found = BTreeMap::<String, Answer>::new();
    let (mut complete, mut missing) = (HashSet::new(), HashSet::new());
    while let Ok(Some(message)) = timeout_at(end, answers.next()).await {
        // Whoever sends on and on is not waited for any longer than others.
        if Instant::now() >= end {
            break;
        }
        // A server of a later version may say what we do not understand.
        let Some(reply) = Reply::read(&message.payload) else { continue };
        if found.len() >= MOST && !found.contains_key(&reply.server.id) {
            continue;
        }
        let answer = found.entry(reply.server.id).or_default();
        answer.name = reply.server.name;
        if let Some(statistics) = reply.statsz {
            let routes = statistics.routes.into_iter().take(MOST).map(|route| route.name);
            answer.response_time = Some(start.elapsed());
            answer.routes = routes.filter(|name| !name.is_empty()).collect();
        }
        if let Some(variables) = reply.data {
            answer.cluster_urls = Some(variables.cluster.urls);
        }
        if answer.name.ends_with(HUB) {
            if answer.is_complete() {
                missing.remove(&answer.name);
                complete.insert(answer.name.clone());
            }
            let named = answer.routes.iter().chain([&answer.name]);
            let unknown = named.filter(|name| !complete.contains(*name)).cloned();
            missing.extend(unknown.take(MOST.saturating_sub(missing.len())));
        }
        if !complete.is_empty() && missing.is_empty() {
            break;
        }
    }
    // Dropping it would do so at some time.
    let _ = answers.unsubscribe().await;
    if found.is_empty() { Err(ServersError::Timeout(patience)) } else { Ok(found) }
}

/// Hubs that have not given both answers.
fn silent(found: &BTreeMap<String, Answer>) -> Vec<String> {
    let hubs = || found.values().filter(|answer| answer.name.ends_with(HUB));
    let complete = hubs().filter(|answer| answer.is_complete());
    let complete: HashSet<_> = complete.map(|answer| answer.name.as_str()).collect();
    let named = hubs().flat_map(|answer| answer.routes.iter().chain([&answer.name]));
    let silent: BTreeSet<_> = named.filter(|name| !complete.contains(name.as_str())).collect();
    silent.into_iter().take(MOST).cloned().collect()
}

/// The same, as it is told.
pub(super) async fn servers(client: &Client, patience: Duration) -> Result<Servers, ServersError> {
    let found = ask(client, patience).await?;
    let silent = silent(&found);
    let hubs = found.into_values().filter(|answer| answer.name.ends_with(HUB));
    let hubs = hubs.filter_map(|answer| {
        let Answer { name, response_time, mut routes, cluster_urls } = answer;
        routes.sort();
        routes.dedup();
        let cluster_urls = cluster_urls.unwrap_or_default();
        Some(Server { name, response_time: response_time?, routes, cluster_urls })
    });
    let mut hubs: Vec<_> = hubs.collect();
    hubs.sort_by(|one, other| one.name.cmp(&other.name));
    if hubs.is_empty() {
        return Err(ServersError::Timeout(patience));
    }
    Ok(Servers { hubs, silent })
}

/// The routes that a server was told to make, by itself.
pub(super) async fn cluster_urls(
    client: &Client,
    id: &str,
    patience: Duration,
) -> Option<Vec<String>> {
    Some(ask_one(client, id, "VARZ", patience).await?.data?.cluster.urls)
}

/// The names of those that a server has routes to, by itself.
pub(super) async fn routes(client: &Client, id: &str, patience: Duration) -> Option<Vec<String>> {
    let routes = ask_one(client, id, "STATSZ", patience).await?.statsz?.routes;
    Some(routes.into_iter().take(MOST).map(|route| route.name).collect())
}

async fn ask_one(client: &Client, id: &str, what: &str, patience: Duration) -> Option<Reply> {
    let request = async_nats::Request::new().timeout(Some(patience));
    let asked = client.send_request(format!("$SYS.REQ.SERVER.{id}.{what}"), request);
    // Where there is no connection it waits for one.
    Reply::read(&timeout(patience, asked).await.ok()?.ok()?.payload)
}
