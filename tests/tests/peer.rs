//! The Harper node in JavaScript (`tests/peers/peer.js`), over a plain nats-server, with
//! `harper-wire` as the other side.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::ConnectOptions;
use futures_util::StreamExt as _;
use harper_tests::peer::{AskError, Behaviour, Credentials, Peer, Tls};
use harper_wire::{Limits, Value, decode, encode};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

/// A nats-server on a port that the system chose, with one user.
struct Server {
    process: Child,
    url: String,
    credentials: Credentials,
    tls: Option<Tls>,
    _folder: TempDir,
}

impl Server {
    async fn start() -> Self {
        Self::start_with(false).await
    }

    async fn start_with(tls: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials { user: "cluster_user".into(), password: "s3cret".into() };
        let mut config = json!({
            "host": "127.0.0.1",
            "port": -1,
            "ports_file_dir": folder.path(),
            "authorization": { "user": credentials.user, "password": credentials.password },
        });
        let tls = tls.then(|| certificates(folder.path()));
        if let Some((server, _)) = &tls {
            config["tls"] = json!({
                "cert_file": server.certificate,
                "key_file": server.key,
                "ca_file": server.authority,
                "verify": true,
            });
        }
        // The folder is its owner's alone.
        let file = folder.path().join("nats.conf");
        std::fs::write(&file, config.to_string()).unwrap();
        let process = Command::new("nats-server")
            .arg("--config")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server is missing: run `make setup`, or `apt-get install nats-server`");
        let ports = folder.path().join(format!("nats-server_{}.ports", process.id()));
        let url = url(&ports).await;
        Self { process, url, credentials, tls: tls.map(|(_, client)| client), _folder: folder }
    }

    async fn peer(&self, node: &str) -> Peer {
        Peer::start(node, &self.url, &self.credentials, self.tls.as_ref()).await.unwrap()
    }

    async fn client(&self) -> async_nats::Client {
        let Credentials { user, password } = self.credentials.clone();
        let options = ConnectOptions::with_user_and_password(user, password);
        options.connect(&self.url).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The address in the file that nats-server writes once it listens.
async fn url(ports: &Path) -> String {
    let start = Instant::now();
    loop {
        // Half a file is none.
        let text = std::fs::read(ports).unwrap_or_default();
        if let Ok(ports) = serde_json::from_slice::<Json>(&text)
            && let Some(url) = ports["nats"][0].as_str()
        {
            return url.to_owned();
        }
        assert!(start.elapsed() < SOON, "nats-server does not listen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The files for a server at 127.0.0.1 and for a client, of one authority.
fn certificates(folder: &Path) -> (Tls, Tls) {
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    };
    let write = |name: &str, text: &str| -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let mut params = CertificateParams::default();
    // OpenSSL takes a certificate whose issuer has its own name for self-signed.
    params.distinguished_name.push(DnType::CommonName, "the tests' authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = write("ca.pem", &params.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(params, key);
    let issue = |name: &str, purpose| {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Tls {
            authority: authority.clone(),
            certificate: write(&format!("{name}.pem"), &certificate.pem()),
            key: write(&format!("{name}-key.pem"), &key.serialize_pem()),
        }
    };
    let server = issue("server", ExtendedKeyUsagePurpose::ServerAuth);
    (server, issue("client", ExtendedKeyUsagePurpose::ClientAuth))
}

/// Asks as our own nodes do, with a plain map.
async fn ask(client: &async_nats::Client, node: &str, body: Json) -> Json {
    let subject = format!("{node}.__request__");
    let request = client.request(subject, encode(&Value::from(body)).into());
    let reply = tokio::time::timeout(SOON, request).await.unwrap().unwrap();
    decode(&reply.payload, &Limits::default()).unwrap().into_json()
}

fn subscription(table: &str) -> Json {
    json!({
        "schema": "dev", "table": table, "publish": true, "subscribe": false,
        "hash_attribute": "id", "attributes": [{ "attribute": "id" }, { "attribute": "name" }],
    })
}

// covers: peer.operations
#[tokio::test]
async fn the_peer_answers_what_harper_nodes_ask() {
    let server = Server::start().await;
    let (peer, client) = (server.peer("harper").await, server.client().await);

    let status = ask(&client, "harper", json!({ "operation": "cluster_status" })).await;
    assert_eq!(status["status"], "success");
    assert_eq!(status["message"]["ports"], json!({ "clustering": 9932, "operations_api": 9925 }));
    assert!(status["message"]["uptime"].is_string());
    for info in [&status["system_info"], &status["message"]["system_info"]] {
        let keys: Vec<_> = info.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["hdb_version", "node_version", "platform"]);
    }

    let tables = json!({ "dev": { "dog": { "hash_attribute": "id", "attributes": [] } } });
    peer.set_tables(tables.clone()).await.unwrap();
    let described = ask(&client, "harper", json!({ "operation": "describe_all" })).await;
    assert_eq!(described["message"], tables);

    let request = |operation, tables: &[&str]| {
        let subscriptions: Vec<_> = tables.iter().copied().map(subscription).collect();
        json!({
            "operation": operation, "node_name": "ours", "subscriptions": subscriptions,
            "system_info": { "hdb_version": "4.4.0" },
        })
    };
    let reply = ask(&client, "harper", request("add_node", &["dog", "cat"])).await;
    assert_eq!(reply["message"], "Successfully added 'ours' to manifest");
    let reply = ask(&client, "harper", request("update_node", &["cat", "cow"])).await;
    assert_eq!(reply["message"], "Successfully updated 'ours'");
    let nodes = peer.nodes().await.unwrap();
    assert_eq!(nodes[0]["name"], "ours");
    let names: Vec<_> = nodes[0]["subscriptions"].as_array().unwrap().iter().collect();
    assert_eq!(names, [&subscription("dog"), &subscription("cat"), &subscription("cow")]);
    let tables = peer.tables().await.unwrap();
    assert_eq!(tables["dev"]["cow"]["attributes"], subscription("cow")["attributes"]);

    let remove = json!({ "operation": "remove_node", "node_name": "ours" });
    let reply = ask(&client, "harper", remove).await;
    assert_eq!(reply["message"], "Successfully removed 'ours' from manifest");
    assert_eq!(peer.nodes().await.unwrap(), json!([]));

    for operation in [json!("drop_everything"), json!("toString"), Json::Null] {
        let reply = ask(&client, "harper", json!({ "operation": operation })).await;
        assert_eq!(reply["status"], "error");
        assert!(reply["message"].as_str().unwrap().ends_with("not found"), "{reply}");
    }
}

// covers: peer.records
#[tokio::test]
async fn what_the_peer_asks_has_records_and_we_read_them() {
    let server = Server::start().await;
    let (peer, client) = (server.peer("harper").await, server.client().await);
    let mut requests = client.subscribe("ours.__request__").await.unwrap();
    client.flush().await.unwrap();

    let body = json!({
        "operation": "add_node", "node_name": "harper",
        "subscriptions": [subscription("dog"), subscription("cat")],
        "system_info": { "hdb_version": "4.4.0", "node_version": "v20", "platform": "linux" },
    });
    let serve = async {
        let request = tokio::time::timeout(SOON, requests.next()).await.unwrap().unwrap();
        let bytes = request.payload;
        assert_eq!(bytes[..2], [0xd4, b'r'], "a record");
        let definitions = bytes.windows(2).filter(|pair| *pair == [0xd4, b'r']).count();
        // The request, a subscription, an attribute, the system's; the second of each is an id.
        assert_eq!(definitions, 4);
        let value = decode(&bytes, &Limits::default()).unwrap();
        let reply = encode(&Value::from(
            json!({ "status": "success", "message": { "large": 1_u64 << 40 } }),
        ));
        client.publish(request.reply.unwrap(), reply.into()).await.unwrap();
        value.into_json()
    };
    let (asked, reply) = tokio::join!(serve, peer.ask("ours", body.clone(), SOON));
    assert_eq!(asked, body);
    let message = json!({ "large": 1_u64 << 40 });
    assert_eq!(reply.unwrap().body, json!({ "status": "success", "message": message }));
}

// covers: peer.behaviour
#[tokio::test]
async fn the_peer_misbehaves_as_it_is_told() {
    let server = Server::start().await;
    let (peer, other) = tokio::join!(server.peer("harper"), server.peer("other"));
    let status = || json!({ "operation": "cluster_status" });
    let short = Duration::from_millis(300);

    let unheard = peer.ask("nobody", status(), SOON).await;
    assert!(matches!(unheard, Err(AskError::NoResponders)), "{unheard:?}");

    other.behave(None, Behaviour::Silent).await.unwrap();
    let silence = peer.ask("other", status(), short).await;
    assert!(matches!(silence, Err(AskError::Timeout)), "{silence:?}");
    assert_eq!(other.next_request().await.unwrap().body, status());

    let refused = Behaviour::Error("the disk is full".into());
    other.behave(Some("cluster_status"), refused).await.unwrap();
    let reply = peer.ask("other", status(), SOON).await.unwrap().body;
    assert_eq!(
        (&reply["status"], &reply["message"]),
        (&json!("error"), &json!("the disk is full"))
    );

    other.behave(Some("cluster_status"), Behaviour::Garbage).await.unwrap();
    let garbage = peer.ask("other", status(), SOON).await;
    assert!(matches!(garbage, Err(AskError::Other(_))), "{garbage:?}");
    let client = server.client().await;
    let request = client.request("other.__request__", encode(&status().into()).into());
    let reply = tokio::time::timeout(SOON, request).await.unwrap().unwrap();
    decode(&reply.payload, &Limits::default()).expect_err("garbage");

    let late = Duration::from_millis(200);
    other.behave(Some("cluster_status"), Behaviour::Slow(late)).await.unwrap();
    let start = Instant::now();
    let reply = peer.ask("other", status(), SOON).await.unwrap();
    assert!(start.elapsed() >= late);
    assert_eq!(reply.body["status"], "success");

    // Nothing that is sent stops it.
    for operation in [None, Some("cluster_status")] {
        other.behave(operation, Behaviour::Normal).await.unwrap();
    }
    for bytes in [&[][..], &[0xc1], &[0xdf, 0xff, 0xff, 0xff, 0xff], b"text", &[0xc0]] {
        let reply = peer.send("other", bytes, SOON).await.unwrap();
        assert_eq!(reply.body["status"], "error", "{bytes:?}");
        let ours = decode(&reply.bytes, &Limits::default()).unwrap().into_json();
        assert_eq!(ours, reply.body);
    }
    assert_eq!(peer.ask("other", status(), SOON).await.unwrap().body["status"], "success");
}

#[tokio::test]
async fn the_peer_needs_its_password_and_its_certificate() {
    let server = Server::start_with(true).await;
    let [peer, other] = [server.peer("harper").await, server.peer("other").await];
    let reply = peer.ask("other", json!({ "operation": "cluster_status" }), SOON).await.unwrap();
    assert_eq!(reply.body["status"], "success");

    let wrong = Credentials { password: "wrong".into(), ..server.credentials.clone() };
    let refused = Peer::start("third", &server.url, &wrong, server.tls.as_ref()).await;
    let error = refused.expect_err("a wrong password").to_string();
    assert!(error.contains("cannot start"), "{error}");
    let refused = Peer::start("third", &server.url, &server.credentials, None).await;
    refused.expect_err("no certificate");
    drop(other);
}

#[tokio::test]
async fn a_dropped_peer_is_gone() {
    let server = Server::start().await;
    let (peer, other) = tokio::join!(server.peer("harper"), server.peer("other"));
    drop(other);
    let start = Instant::now();
    loop {
        // One on its way when the other was killed is lost.
        let short = Duration::from_millis(200);
        let reply = peer.ask("other", json!({ "operation": "cluster_status" }), short).await;
        if matches!(reply, Err(AskError::NoResponders)) {
            break;
        }
        assert!(start.elapsed() < SOON, "{reply:?}");
    }
}
