//! Who may join: with a certificate of the cluster's authority, and its user and password. Each
//! refusal stands beside somebody who is let in the same way.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use async_nats::ConnectOptions;
use harper_host::nats::Tls;
use harper_tests::nats::{Authority, NatsNode, PASSWORD, PATIENCE, USER, eventually, program};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A nats-server that is none of ours; killed when it is dropped.
pub(crate) struct Stranger {
    process: Child,
    _folder: TempDir,
    said: Arc<Mutex<String>>,
}

impl Stranger {
    pub(crate) fn start(document: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stranger.json");
        std::fs::write(&path, document.to_string()).unwrap();
        let mut process = Command::new(program().unwrap())
            .arg("--config")
            .arg(path)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = Arc::<Mutex<String>>::default();
        let (mut lines, heard) =
            (BufReader::new(process.stderr.take().unwrap()).lines(), said.clone());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                *heard.lock().unwrap() += &format!("{line}\n");
            }
        });
        Self { process, _folder: folder, said }
    }

    /// Waits until it has said one of these.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id().unwrap()
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub(crate) async fn says(&self, any: &[&str]) {
        let has = || any.iter().any(|text| self.said.lock().unwrap().contains(text));
        if let Err(error) = eventually(&format!("{any:?}"), async || has()).await {
            panic!("{error}: {}", self.said.lock().unwrap());
        }
    }
}

#[derive(Clone, Copy)]
enum Door {
    Cluster,
    Leafnodes,
}

pub(crate) fn files(tls: &Tls) -> Value {
    json!({
        "cert_file": tls.certificate, "key_file": tls.private_key,
        "ca_file": tls.certificate_authority,
    })
}

/// A server that comes in by a door with this login in the URL, such as `user:password@`.
fn document(node: &NatsNode, door: Door, tls: &Tls, login: &str) -> Value {
    let ports = node.nats.ports();
    let files = files(tls);
    let mut document = json!({
        "server_name": "stranger-hub", "host": "127.0.0.1", "port": -1,
        "accounts": { "SYS": {}, "HDB": {} }, "system_account": "SYS",
    });
    match door {
        Door::Cluster => {
            let url = format!("nats-route://{login}127.0.0.1:{}", ports.hub_cluster);
            document["cluster"] = json!({
                "name": "harperdb", "host": "127.0.0.1", "port": -1, "tls": files, "routes": [url],
            });
        }
        Door::Leafnodes => {
            let url = format!("tls://{login}127.0.0.1:{}", ports.hub_leafnodes);
            document["leafnodes"] =
                json!({ "remotes": [{ "url": url, "account": "HDB", "tls": files }] });
        }
    }
    document
}

pub(crate) fn login(password: &str) -> String {
    let encoded = password.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    format!("{USER}:{encoded}@")
}

/// How many servers are joined with the hub: by routes, and as leaves beside its own.
async fn joined(node: &NatsNode) -> (usize, usize) {
    let system = node.system().await.unwrap();
    let id = system.server_info().server_id;
    let ask = async |what: &str| {
        let subject = format!("$SYS.REQ.SERVER.{id}.{what}");
        let reply = system.request(subject, "".into()).await.unwrap();
        serde_json::from_slice::<Value>(&reply.payload).unwrap()["data"].clone()
    };
    let routes = ask("ROUTEZ").await["num_routes"].as_u64().unwrap();
    // Its own leaf is there once for each account.
    let leaves = ask("LEAFZ").await["leafnodes"].as_u64().unwrap() - 2;
    (routes as usize, leaves as usize)
}

const UNKNOWN: &[&str] = &["Authorization Violation", "authorization violation", "authentication"];
/// With TLS 1.3 whose certificate is refused takes itself for connected, until it reads.
const FOREIGN: &[&str] = &["unknown authority", "bad certificate", "closed: Read Error"];

/// Nobody but who comes as nodes do is let in by the door.
async fn only_nodes_come_in_by(door: Door) {
    let authority = Authority::new().unwrap();
    let node = NatsNode::start(&authority, "one", |_| {}).await.unwrap();
    let ours = authority.issue("stranger", &["127.0.0.1"]).unwrap();
    let foreign = Authority::new().unwrap().issue_and_keep("stranger");
    // It trusts us, but nobody trusts it.
    let one_sided =
        Tls { certificate_authority: ours.certificate_authority.clone(), ..foreign.1.clone() };
    for (tls, login, says) in [
        (&ours, String::new(), UNKNOWN),
        (&ours, login("wrong"), UNKNOWN),
        (&foreign.1, login(PASSWORD), FOREIGN),
        (&one_sided, login(PASSWORD), FOREIGN),
    ] {
        let stranger = Stranger::start(&document(&node, door, tls, &login));
        stranger.says(says).await;
        assert_eq!(joined(&node).await, (0, 0));
    }
    let welcome = Stranger::start(&document(&node, door, &ours, &login(PASSWORD)));
    let expected = match door {
        Door::Cluster => (1, 0),
        Door::Leafnodes => (0, 1),
    };
    eventually("it is joined", async || joined(&node).await == expected).await.unwrap();
    drop(welcome);
}

/// An authority whose files stay for as long as it does.
trait Keep {
    fn issue_and_keep(self, name: &str) -> (Authority, Tls);
}

impl Keep for Authority {
    fn issue_and_keep(self, name: &str) -> (Authority, Tls) {
        let tls = self.issue(name, &["127.0.0.1"]).unwrap();
        (self, tls)
    }
}

// covers: nats.strangers.hubs
#[tokio::test]
async fn a_hub_without_credentials_with_a_wrong_password_or_of_another_authority_is_refused() {
    only_nodes_come_in_by(Door::Cluster).await;
}

// covers: nats.strangers.leaves
#[tokio::test]
async fn a_leaf_without_credentials_with_a_wrong_password_or_of_another_authority_is_refused() {
    only_nodes_come_in_by(Door::Leafnodes).await;
}

// covers: nats.strangers.clients
#[tokio::test]
async fn a_client_without_credentials_or_without_a_certificate_is_refused() {
    let authority = Authority::new().unwrap();
    let node = NatsNode::start(&authority, "one", |_| {}).await.unwrap();
    let lax = NatsNode::start(&authority, "lax", |config| config.tls.verify = false).await.unwrap();
    let ours = authority.issue("client", &["127.0.0.1"]).unwrap();
    let (_foreigners, foreign) = Authority::new().unwrap().issue_and_keep("client");
    let tls = |options: ConnectOptions, certificate: Option<&Tls>| {
        let options = options
            .add_root_certificates(ours.certificate_authority.clone())
            .connection_timeout(PATIENCE)
            .require_tls(true);
        match certificate {
            Some(tls) => {
                options.add_client_certificate(tls.certificate.clone(), tls.private_key.clone())
            }
            None => options,
        }
    };
    let user =
        |password: &str| ConnectOptions::with_user_and_password(USER.into(), password.into());
    let comes_in = async |node: &NatsNode, options: ConnectOptions| {
        let ports = node.nats.ports();
        let mut let_in = Vec::new();
        for port in [ports.hub_clients, ports.leaf_clients] {
            let connected = options.clone().connect(format!("tls://127.0.0.1:{port}")).await;
            // With TLS 1.3 a client's certificate is refused after its handshake.
            let_in.push(match connected {
                Ok(client) => client.flush().await.is_ok(),
                Err(_) => false,
            });
        }
        assert_eq!(let_in[0], let_in[1]);
        let_in[0]
    };
    assert!(comes_in(&node, tls(user(PASSWORD), Some(&ours))).await);
    assert!(!comes_in(&node, tls(ConnectOptions::new(), Some(&ours))).await);
    assert!(!comes_in(&node, tls(user("wrong"), Some(&ours))).await);
    assert!(!comes_in(&node, tls(user(PASSWORD), Some(&foreign))).await);
    assert!(!comes_in(&node, tls(user(PASSWORD), None)).await);
    // `verify` is about the certificate alone.
    assert!(comes_in(&lax, tls(user(PASSWORD), None)).await);
    assert!(!comes_in(&lax, tls(user("wrong"), None)).await);
}
