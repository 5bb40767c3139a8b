//! Whether another live node has this one's name.
//!
//! A hub refuses another of its own name, and the one that is refused is not told why. So the hubs
//! that are to be joined are asked for their names first; and once joined, the network is asked for
//! those that are further away.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::process::Process;
use super::tls::Files;
use super::{Config, Error, Nats, Route};

/// For hubs of other nodes that are there: to say their name, and to be joined. Who is not there yet
/// is not waited for longer.
const THERE: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(10);
/// Bytes of what a hub says of itself.
const LONGEST: u64 = 64 << 10;

/// What a server says first.
#[derive(Deserialize)]
struct Info {
    server_name: String,
}

/// None of the hubs that are to be joined has the name of ours, which does not run yet.
pub(super) async fn are_others(config: &Config, files: &Files) -> Result<(), Error> {
    let own = config.hub_name();
    let names = join_all(config.hub_routes.iter().map(|route| name_at(route, files))).await;
    if names.contains(&Some(own)) { Err(taken(config)) } else { Ok(()) }
}

/// None of the servers of the network that was joined has the name of one of ours.
pub(super) async fn are_free(config: &Config, nats: &Nats, hub: &Process) -> Result<(), Error> {
    let own = [config.hub_name(), config.leaf_name()];
    let end = Instant::now() + THERE;
    loop {
        let found = nats.everyone(THERE).await;
        let is_taken = |name: &String| found.iter().filter(|(one, _)| one == name).count() > 1;
        if hub.met_its_name() || own.iter().any(is_taken) {
            return Err(taken(config));
        }
        // Who is joined has told of all others.
        let is_joined = found.iter().any(|(name, _)| !own.contains(name));
        let is_alone = config.hub_routes.is_empty() && config.leaf_routes.is_empty();
        if is_joined || is_alone || Instant::now() > end {
            return Ok(());
        }
        sleep(LOOK).await;
    }
}

fn taken(config: &Config) -> Error {
    Error::NameTaken { name: config.node_name.clone() }
}

/// The name of the hub at a route, if one is there and takes us for a node of its cluster.
async fn name_at(route: &Route, files: &Files) -> Option<String> {
    let ask = async {
        let stream = TcpStream::connect((route.host.as_str(), route.port)).await.ok()?;
        let name = ServerName::try_from(route.host.clone()).ok()?;
        let connector = TlsConnector::from(std::sync::Arc::new(files.client.clone()));
        let stream = connector.connect(name, stream).await.ok()?;
        let mut line = Vec::new();
        BufReader::new(stream).take(LONGEST).read_until(b'\n', &mut line).await.ok()?;
        let info = line.strip_prefix(b"INFO ")?;
        Some(serde_json::from_slice::<Info>(info).ok()?.server_name)
    };
    timeout(THERE, ask).await.ok()?
}
