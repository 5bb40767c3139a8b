//! The configuration that a server reads. It is JSON, which nats-server takes: its own format is
//! read so leniently that a slip would pass unseen.
//!
//! The file has the password in it. It belongs to this user alone, and is there only while the server
//! reads it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use super::{Config, DATA_ACCOUNT, Error, MAX_PAYLOAD, Ports, Route, SYSTEM_ACCOUNT, ServerKind};
use crate::config::{Listen, LogLevel};

/// Seconds for a TLS handshake, and for the login after it: a busy machine needs more than two.
const HANDSHAKE: u32 = 10;
/// Bytes that may wait for a client, before it is taken for too slow and cut off. nats-server's own
/// default is one of our largest messages: two at once would cost this host its connection.
const MAX_PENDING: usize = 4 * MAX_PAYLOAD;

#[derive(Serialize)]
struct Document<'a> {
    server_name: String,
    host: IpAddr,
    port: i32,
    max_payload: usize,
    max_pending: usize,
    logtime: bool,
    debug: bool,
    trace: bool,
    tls: ServerTls<'a>,
    authorization: Timeout,
    accounts: Accounts<'a>,
    system_account: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    jetstream: Option<JetStream<'a>>,
    leafnodes: LeafNodes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Cluster<'a>>,
}

/// Besides the time, the users are those of the accounts.
#[derive(Serialize)]
struct Timeout {
    timeout: u32,
}

#[derive(Serialize)]
struct Accounts<'a> {
    #[serde(rename = "SYS")]
    system: Account<'a>,
    #[serde(rename = "HDB")]
    data: Account<'a>,
}

#[derive(Serialize)]
struct Account<'a> {
    users: [User<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    jetstream: Option<&'static str>,
}

#[derive(Serialize)]
struct User<'a> {
    user: String,
    password: &'a str,
}

#[derive(Serialize)]
struct ServerTls<'a> {
    #[serde(flatten)]
    files: Files<'a>,
    verify: bool,
    timeout: u32,
}

#[derive(Serialize)]
struct Files<'a> {
    cert_file: &'a str,
    key_file: &'a str,
    ca_file: &'a str,
}

#[derive(Serialize)]
struct RemoteTls<'a> {
    #[serde(flatten)]
    files: Files<'a>,
    insecure: bool,
    timeout: u32,
}

#[derive(Serialize)]
struct JetStream<'a> {
    domain: String,
    store_dir: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum LeafNodes<'a> {
    /// The hub's: who may join. It tells nobody of other hubs, so that a leaf stays with its own.
    Accept {
        host: IpAddr,
        port: i32,
        no_advertise: bool,
        /// Without it who comes without credentials is let in, though into no account of ours.
        authorization: LeafAuthorization<'a>,
        tls: ServerTls<'a>,
    },
    /// The leaf's: whom it joins.
    Join { reconnect: u32, remotes: Vec<Remote<'a>> },
}

#[derive(Serialize)]
struct Remote<'a> {
    urls: [Url; 1],
    account: &'static str,
    tls: RemoteTls<'a>,
}

#[derive(Serialize)]
struct Cluster<'a> {
    name: &'a str,
    host: IpAddr,
    port: i32,
    /// Clients stay with the hub that they were told to ask.
    no_advertise: bool,
    /// Without it a stranger needs no password to join.
    authorization: Authorization<'a>,
    tls: ClusterTls<'a>,
    routes: Vec<Url>,
}

#[derive(Serialize)]
struct Authorization<'a> {
    #[serde(flatten)]
    user: User<'a>,
    timeout: u32,
}

#[derive(Serialize)]
struct LeafAuthorization<'a> {
    users: [LeafUser<'a>; 2],
    timeout: u32,
}

#[derive(Serialize)]
struct LeafUser<'a> {
    #[serde(flatten)]
    user: User<'a>,
    account: &'static str,
}

/// Both sides of a route in one; each asks for the other's certificate.
#[derive(Serialize)]
struct ClusterTls<'a> {
    #[serde(flatten)]
    files: Files<'a>,
    insecure: bool,
    timeout: u32,
}

/// With the password in it.
struct Url(Zeroizing<String>);

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The text of a server's configuration. A port that is pinned in `ports` is used, else the one in
/// the configuration. `own_insecure` is for the link from the leaf to its own hub.
pub(super) fn text(
    kind: ServerKind,
    config: &Config,
    ports: &Ports,
    routes: &[Route],
    own_insecure: bool,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let tls = || {
        Ok::<_, Error>(ServerTls {
            files: files(config)?,
            verify: config.tls.verify,
            timeout: HANDSHAKE,
        })
    };
    let password = config.password.as_str();
    let url = |scheme: &str, user: &str, at: &str| {
        Url(Zeroizing::new(format!("{scheme}://{}:{}@{at}", *encoded(user), *encoded(password))))
    };
    let (server_name, clients, pinned) = match kind {
        ServerKind::Hub => (config.hub_name(), config.hub_clients, ports.hub_clients),
        ServerKind::Leaf => (config.leaf_name(), config.leaf_clients, ports.leaf_clients),
    };
    let (mut cluster, mut jetstream) = (None, None);
    let leafnodes = match kind {
        ServerKind::Hub => {
            let routes = routes.iter();
            cluster = Some(Cluster {
                name: &config.cluster_name,
                host: config.hub_cluster.host,
                port: port(config.hub_cluster, ports.hub_cluster),
                no_advertise: true,
                authorization: Authorization {
                    user: User { user: config.user.clone(), password },
                    timeout: HANDSHAKE,
                },
                tls: ClusterTls {
                    files: files(config)?,
                    insecure: config.tls.insecure,
                    timeout: HANDSHAKE,
                },
                routes: routes
                    .map(|route| url("nats-route", &config.user, &route.to_string()))
                    .collect(),
            });
            LeafNodes::Accept {
                host: config.hub_leafnodes.host,
                port: port(config.hub_leafnodes, ports.hub_leafnodes),
                no_advertise: true,
                authorization: LeafAuthorization {
                    users: [
                        LeafUser {
                            user: User { user: config.admin(), password },
                            account: SYSTEM_ACCOUNT,
                        },
                        LeafUser {
                            user: User { user: config.user.clone(), password },
                            account: DATA_ACCOUNT,
                        },
                    ],
                    timeout: HANDSHAKE,
                },
                tls: tls()?,
            }
        }
        ServerKind::Leaf => {
            let store_dir = utf8(&config.streams).map_err(|_| Error::Streams {
                path: config.streams.clone(),
                reason: "nats-server cannot be told this name".into(),
            })?;
            jetstream = Some(JetStream { domain: config.leaf_name(), store_dir });
            let hub = Route {
                host: reachable(config.hub_leafnodes.host).to_string(),
                port: ports.hub_leafnodes,
            };
            let mut remotes = Vec::new();
            for (index, route) in std::iter::once(&hub).chain(routes).enumerate() {
                let insecure = config.tls.insecure || index == 0 && own_insecure;
                for (account, user) in
                    [(SYSTEM_ACCOUNT, config.admin()), (DATA_ACCOUNT, config.user.clone())]
                {
                    remotes.push(Remote {
                        urls: [url("tls", &user, &route.to_string())],
                        account,
                        tls: RemoteTls { files: files(config)?, insecure, timeout: HANDSHAKE },
                    });
                }
            }
            LeafNodes::Join { reconnect: 1, remotes }
        }
    };
    let has_streams = kind == ServerKind::Leaf;
    let document = Document {
        server_name,
        host: clients.host,
        port: port(clients, pinned),
        max_payload: MAX_PAYLOAD,
        max_pending: MAX_PENDING,
        logtime: false,
        debug: matches!(config.log_level, LogLevel::Debug | LogLevel::Trace),
        trace: config.log_level == LogLevel::Trace,
        tls: tls()?,
        authorization: Timeout { timeout: HANDSHAKE },
        accounts: Accounts {
            system: Account { users: [User { user: config.admin(), password }], jetstream: None },
            data: Account {
                users: [User { user: config.user.clone(), password }],
                jetstream: has_streams.then_some("enabled"),
            },
        },
        system_account: SYSTEM_ACCOUNT,
        jetstream,
        leafnodes,
        cluster,
    };
    let mut text = Zeroizing::new(Vec::with_capacity(16 << 10));
    serde_json::to_writer(&mut *text, &document)
        .map_err(|error| Error::Files { path: config.folder.clone(), source: error.into() })?;
    Ok(text)
}

/// The address by which this machine reaches what listens at `host`.
pub(super) fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(all) if all.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(all) if all.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        host => host,
    }
}

/// Where clients of one of the servers reach it.
pub(super) fn address(kind: ServerKind, config: &Config, ports: Ports) -> (IpAddr, u16) {
    match kind {
        ServerKind::Hub => (reachable(config.hub_clients.host), ports.hub_clients),
        ServerKind::Leaf => (reachable(config.leaf_clients.host), ports.leaf_clients),
    }
}

fn port(listen: Listen, pinned: u16) -> i32 {
    match (pinned, listen.port) {
        // Any.
        (0, 0) => -1,
        (0, port) | (port, _) => port.into(),
    }
}

fn files(config: &Config) -> Result<Files<'_>, Error> {
    Ok(Files {
        cert_file: utf8(&config.tls.certificate)?,
        key_file: utf8(&config.tls.private_key)?,
        ca_file: utf8(&config.tls.certificate_authority)?,
    })
}

/// A path as nats-server's parser reads it back: it knows no `\u` in a string.
fn utf8(path: &Path) -> Result<&str, Error> {
    path.to_str().filter(|text| !text.contains(char::is_control)).ok_or_else(|| Error::Files {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidInput, "nats-server cannot be told this name"),
    })
}

/// As in the part of a URL before the host.
pub(super) fn encoded(text: &str) -> Zeroizing<String> {
    // Never reallocated, which would leave a copy behind.
    let mut encoded = Zeroizing::new(String::with_capacity(3 * text.len()));
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(byte.into());
            }
            _ => {
                encoded.push('%');
                for digit in [byte >> 4, byte & 15] {
                    encoded.push(
                        char::from_digit(digit.into(), 16).unwrap_or('0').to_ascii_uppercase(),
                    );
                }
            }
        }
    }
    encoded
}

/// A server's configuration on the disk; removed when it is dropped.
#[derive(Debug)]
pub(super) struct DocumentFile(PathBuf);

impl DocumentFile {
    pub(super) fn path(folder: &Path, kind: ServerKind) -> PathBuf {
        folder.join(format!("{kind}.json"))
    }

    /// Writes it for this user alone.
    pub(super) async fn write(path: PathBuf, text: Zeroizing<Vec<u8>>) -> Result<Self, Error> {
        let failed = |source| Error::Files { path: path.clone(), source };
        let target = path.clone();
        let write = move || {
            // One that was left behind by a crash.
            match fs::remove_file(&target) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let file = Self(target);
            let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file.0);
            options?.write_all(&text)?;
            Ok(file)
        };
        let written = tokio::task::spawn_blocking(write).await;
        written.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed)
    }
}

impl Drop for DocumentFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), "cannot be removed: {error}");
        }
    }
}
