//! The TLS port: whose certificate, who is refused, and that it is the same API.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use harper_host::api::{BindError, Config, Server};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, ProtocolVersion, RootCertStore,
    SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::log::lines_with;
use super::node::{
    Client, ECHO, JSON, Node, SOON, basic, bob, config, head, host, post, soon, users,
};

const BRIEF: Duration = Duration::from_millis(150);

fn secure() -> Config {
    Config { secure_port: Some(0), ..config() }
}

/// What a client believes and speaks.
struct Trust {
    roots: RootCertStore,
    versions: Vec<&'static SupportedProtocolVersion>,
    alpn: Vec<Vec<u8>>,
}

impl Trust {
    /// The certificates in these files' texts, and nothing else.
    fn in_pem(pem: impl AsRef<[u8]>) -> Trust {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_ref()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        Trust { roots, versions: vec![&TLS13, &TLS12], alpn: Vec::new() }
    }

    /// The certificate that the node made.
    fn in_node(node: &Node) -> Trust {
        Trust::in_pem(own_certificate(node))
    }

    async fn connect(
        &self,
        address: SocketAddr,
        name: &'static str,
    ) -> std::io::Result<Client<TlsStream<TcpStream>>> {
        let mut client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        client.alpn_protocols = self.alpn.clone();
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(name).unwrap();
        let connected = TlsConnector::from(Arc::new(client)).connect(name, stream);
        soon(connected).await.map(|stream| Client(BufReader::new(stream)))
    }
}

fn own_certificate(node: &Node) -> String {
    fs::read_to_string(node.root.path().join("keys/self-signed-certificate.pem")).unwrap()
}

/// What made a handshake fail.
fn failure(result: std::io::Result<Client<TlsStream<TcpStream>>>) -> Error {
    let error = result.err().expect("no handshake").into_inner().unwrap();
    *error.downcast().unwrap()
}

// covers: http.tls, http.tls.self-made
#[tokio::test]
async fn a_login_with_the_certificate_that_the_node_made() {
    let node = Node::start(secure()).await;
    let address = node.secure.unwrap();
    for versions in [vec![&TLS12], vec![&TLS13]] {
        for name in ["localhost", "127.0.0.1"] {
            let alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            let trust = Trust { versions: versions.clone(), alpn, ..Trust::in_node(&node) };
            let mut client = trust.connect(address, name).await.unwrap();
            let (_, session) = client.0.get_ref().get_ref();
            assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
            let expected = if versions == [&TLS12] {
                ProtocolVersion::TLSv1_2
            } else {
                ProtocolVersion::TLSv1_3
            };
            assert_eq!(session.protocol_version(), Some(expected));
            client.send(post(&[JSON, &bob()], ECHO)).await;
            let reply = client.reply().await.json();
            assert_eq!((&reply["user"], &reply["origin"]), (&json!("bob"), &json!("127.0.0.1")));
            client.send(post(&[JSON, &basic("bob:wrong")], ECHO)).await;
            assert_eq!(client.reply().await.error(), (401, "Login failed".into()));
            client.send(post(&[JSON], ECHO)).await;
            assert_eq!(client.reply().await.error(), (401, "Must login".into()));
            client.send(head("GET /health HTTP/1.1", &[])).await;
            assert_eq!(client.reply().await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_know_the_certificate_refuses_it() {
    let (node, other) = (Node::start(secure()).await, Node::start(secure()).await);
    let address = node.secure.unwrap();
    let error = failure(Trust::in_node(&other).connect(address, "localhost").await);
    assert!(matches!(
        error,
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)
    ));
    let error = failure(Trust::in_node(&node).connect(address, "example.org").await);
    let Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. }) = error else {
        panic!("{error}");
    };
}

#[tokio::test]
async fn who_speaks_only_another_protocol_is_told() {
    let node = Node::start(secure()).await;
    let trust = Trust { alpn: vec![b"h2".to_vec()], ..Trust::in_node(&node) };
    let error = failure(trust.connect(node.secure.unwrap(), "localhost").await);
    assert_eq!(error, Error::AlertReceived(AlertDescription::NoApplicationProtocol));
}

#[tokio::test]
async fn the_log_tells_the_fingerprint_and_the_end() {
    let node = Node::start(secure()).await;
    let file = node.root.path().join("keys/self-signed-certificate.pem");
    let lines = lines_with(&format!("message=TLS certificate file={} ", file.display()));
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains(" expires=20"), "{}", lines[0]);
    let fingerprint = lines[0].split("sha256=").nth(1).unwrap().split(' ').next().unwrap();
    assert_eq!(fingerprint.split(':').filter(|byte| byte.len() == 2).count(), 32);
}

// covers: http.tls.plain-refused
#[tokio::test]
async fn plain_http_is_refused_on_the_tls_port() {
    let node = Node::start(secure()).await;
    let connect = || async {
        let stream = TcpStream::connect(node.secure.unwrap()).await.unwrap();
        Client(BufReader::new(stream))
    };
    for request in [
        post(&[JSON, &bob()], r#"{"operation":"hold"}"#),
        post(&[JSON, &bob()], vec![b' '; 1 << 20]),
        head("GET /health HTTP/1.1", &[]),
    ] {
        let mut client = connect().await;
        client.send(request).await;
        let reply = client.reply().await;
        assert_eq!(reply.error(), (400, "This port speaks TLS: use https".into()));
        client.closed().await;
    }
    assert_eq!(node.gate.begun.available_permits(), 0, "nothing was done");
    // What is neither gets an alert of TLS, or nothing.
    let mut client = connect().await;
    client.send(b"\0\0\0\0\0\0\0\0").await;
    let mut rest = Vec::new();
    let _ = soon(client.0.read_to_end(&mut rest)).await;
    assert!(rest.is_empty() || rest[0] == 21, "{rest:?}");
}

/// The beginning of what a TLS client says first.
async fn half_a_hello(node: &Node) -> Client {
    let mut client =
        Client(BufReader::new(TcpStream::connect(node.secure.unwrap()).await.unwrap()));
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await;
    client
}

// covers: http.tls.handshake-time
#[tokio::test]
async fn who_never_finishes_the_handshake_is_cut_off() {
    let node = Node::start(Config { header_timeout: BRIEF, ..secure() }).await;
    let start = Instant::now();
    let mut silent =
        Client(BufReader::new(TcpStream::connect(node.secure.unwrap()).await.unwrap()));
    let mut half = half_a_hello(&node).await;
    silent.closed().await;
    half.closed().await;
    assert!(start.elapsed() >= BRIEF && start.elapsed() < SOON);
}

#[tokio::test]
async fn handshakes_hold_nobody_up_and_count_as_connections() {
    let node = Node::start(Config { max_connections: 3, ..secure() }).await;
    let first = half_a_hello(&node).await;
    let _second = half_a_hello(&node).await;
    let trust = Trust::in_node(&node);
    let mut third = trust.connect(node.secure.unwrap(), "localhost").await.unwrap();
    third.send(head("GET /health HTTP/1.1", &[])).await;
    assert_eq!(third.reply().await.status, 200);
    let mut fourth = node.connect().await;
    fourth.send(head("GET /health HTTP/1.1", &[])).await;
    assert!(tokio::time::timeout(BRIEF, fourth.0.get_mut().readable()).await.is_err());
    drop(first);
    assert_eq!(fourth.reply().await.status, 200);
}

#[tokio::test]
async fn requests_by_tls_are_drained_and_handshakes_are_not() {
    let mut node = Node::start(secure()).await;
    let (trust, address) = (Trust::in_node(&node), node.secure.unwrap());
    let mut half = half_a_hello(&node).await;
    let mut idle = trust.connect(address, "localhost").await.unwrap();
    idle.send(post(&[JSON, &bob()], ECHO)).await;
    assert_eq!(idle.reply().await.status, 200);
    let mut by_tls = trust.connect(address, "localhost").await.unwrap();
    let mut by_http = node.connect().await;
    let mut by_socket = node.connect_socket().await;
    let hold = post(&[JSON, &bob()], r#"{"operation":"hold"}"#);
    by_tls.send(&hold).await;
    by_http.send(&hold).await;
    by_socket.send(&hold).await;
    for _ in 0..3 {
        node.gate.begun().await;
    }
    let start = Instant::now();
    node.stop();
    half.closed().await;
    idle.closed().await;
    assert!(start.elapsed() < Duration::from_secs(1));
    for address in [node.address, address] {
        assert!(TcpStream::connect(address).await.is_err(), "nobody is accepted any more");
    }
    assert!(!node.socket.exists() && !node.served.is_finished());
    node.gate.open.add_permits(3);
    assert_eq!(by_tls.reply().await.header("connection"), Some("close"));
    assert_eq!(by_http.reply().await.header("connection"), Some("close"));
    assert_eq!(by_socket.reply().await.header("connection"), Some("close"));
    soon(node.served).await.unwrap();
}

#[tokio::test]
async fn who_does_not_take_the_reply_by_tls_is_cut_off() {
    let node = Node::start(Config { body_timeout: BRIEF, max_connections: 1, ..secure() }).await;
    let trust = Trust::in_node(&node);
    let big = post(&[JSON, &bob()], r#"{"operation":"big","size":20000000}"#);
    let mut lazy = trust.connect(node.secure.unwrap(), "localhost").await.unwrap();
    lazy.send(&big).await;
    let mut next = node.connect().await;
    next.send(head("GET /health HTTP/1.1", &[])).await;
    assert_eq!(next.reply().await.status, 200, "its place is free again");
    drop(next);
    let mut taken = Vec::new();
    let _ = soon(lazy.0.read_to_end(&mut taken)).await;
    assert!(taken.len() < 20_000_000, "{}", taken.len());
    let mut slow = trust.connect(node.secure.unwrap(), "localhost").await.unwrap();
    slow.send(&big).await;
    let (start, mut bytes) = (Instant::now(), vec![0; 1_000_000]);
    for _ in 0..20 {
        tokio::time::sleep(BRIEF / 5).await;
        soon(slow.0.read_exact(&mut bytes)).await.expect("all of it");
    }
    assert!(start.elapsed() > 2 * BRIEF);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_readably() {
    let node = Node::start(Config { max_body_size: 1000, ..secure() }).await;
    let trust = Trust::in_node(&node);
    let mut client = trust.connect(node.secure.unwrap(), "localhost").await.unwrap();
    client.send(post(&[JSON, &bob()], vec![b' '; 4 << 20])).await;
    assert_eq!(client.reply().await.status, 413);
    client.closed().await;
}

/// What the operator gives.
struct Given {
    folder: tempfile::TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

impl Given {
    fn new(certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Given {
        let folder = tempfile::tempdir().unwrap();
        let (certificate_file, key_file) =
            (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
        fs::write(&certificate_file, certificate).unwrap();
        fs::write(&key_file, key).unwrap();
        Given { folder, certificate: certificate_file, key: key_file }
    }

    fn config(&self) -> Config {
        let (certificate, private_key) = (Some(self.certificate.clone()), Some(self.key.clone()));
        Config { certificate, private_key, ..secure() }
    }

    /// Why it will not do; the texts have the folder as `DIR`.
    async fn refused(&self, config: Config) -> String {
        let error = refused(config).await;
        assert!(matches!(error, BindError::Tls(_)));
        error.to_string().replace(self.folder.path().to_str().unwrap(), "DIR")
    }
}

async fn refused(config: Config) -> BindError {
    bind(config).await.err().expect("it does not listen")
}

async fn bind(config: Config) -> Result<Server, BindError> {
    let root = tempfile::tempdir().unwrap();
    Server::bind(config, host().await.0, users(root.path()).await).await
}

fn for_localhost() -> CertificateParams {
    CertificateParams::new(["localhost".to_owned()]).unwrap()
}

/// A certificate and its key, both in PEM.
fn pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    (for_localhost().self_signed(&key).unwrap().pem(), key.serialize_pem())
}

// covers: http.tls.given
#[tokio::test]
async fn the_operators_certificate() {
    for algorithm in [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = for_localhost().self_signed(&key).unwrap().pem();
        let given = Given::new(&certificate, key.serialize_pem());
        let node = Node::start(given.config()).await;
        let trust = Trust::in_pem(&certificate);
        let mut client = trust.connect(node.secure.unwrap(), "localhost").await.unwrap();
        client.send(post(&[JSON, &bob()], ECHO)).await;
        assert_eq!(client.reply().await.status, 200);
        assert!(!node.root.path().join("keys").exists(), "none is made");
    }
}

#[tokio::test]
async fn the_operators_certificate_with_those_above_it() {
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let root =
        CertifiedIssuer::self_signed(authority("root"), KeyPair::generate().unwrap()).unwrap();
    let middle =
        CertifiedIssuer::signed_by(authority("middle"), KeyPair::generate().unwrap(), &root)
            .unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = for_localhost().signed_by(&key, &middle).unwrap();
    let chain = format!("as an authority sends it\n{}{}", leaf.pem(), middle.pem());
    let given = Given::new(chain, key.serialize_pem());
    let node = Node::start(given.config()).await;
    let trust = Trust::in_pem(root.pem());
    trust.connect(node.secure.unwrap(), "localhost").await.unwrap();
    // In the wrong order it would be somebody else's.
    let given = Given::new(middle.pem() + &leaf.pem(), key.serialize_pem());
    let text = given.refused(given.config()).await;
    assert!(text.ends_with("(where there are several, the first)"), "{text}");
}

#[tokio::test]
async fn relative_paths_are_below_the_nodes_folder() {
    let (certificate, key) = pair();
    let given = Given::new(&certificate, key);
    let config = Config {
        certificate: Some("certificate.pem".into()),
        private_key: Some(Path::new("..").join("other").join("key.pem")),
        ..secure()
    };
    let config = config.in_folder(given.folder.path());
    assert_eq!(config.certificate.as_deref(), Some(&*given.certificate));
    let other = given.folder.path().join("..").join("other").join("key.pem");
    assert_eq!(config.private_key, Some(other));
    let absolute = given.config().in_folder(Path::new("/elsewhere"));
    assert_eq!(absolute.certificate.as_deref(), Some(&*given.certificate));
}

// covers: http.tls.bad-certificate
#[tokio::test]
async fn each_fault_names_the_key_and_the_file() {
    let (certificate, key) = pair();
    let begin = "-----BEGIN …";
    let certificate_file = "tls.certificate: DIR/certificate.pem";
    let key_file = "tls.privateKey: DIR/key.pem";
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let old_encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let not_one = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (certificate, key, expected) in [
        ("", &*key, format!("{certificate_file} holds no certificate in PEM (\"{begin}\")")),
        ("\u{1}\u{2}", &key, format!("{certificate_file} holds no certificate in PEM (\"{begin}\")")),
        (&key, &key, format!("{certificate_file} holds no certificate in PEM (\"{begin}\")")),
        (not_one, &key, format!("{certificate_file} is no certificate that can be used: invalid peer certificate: BadEncoding")),
        (&certificate, "", format!("{key_file} holds no private key in PEM (\"{begin}\")")),
        (&certificate, &certificate, format!("{key_file} holds no private key in PEM (\"{begin}\")")),
        (&certificate, &encrypted, format!("{key_file} is encrypted: take the passphrase off")),
        (&certificate, old_encrypted, format!("{key_file} is encrypted: take the passphrase off")),
        (&certificate, no_key, "tls.privateKey: the private key in DIR/key.pem cannot be used: RSA, ECDSA P-256 or P-384, or Ed25519 can".into()),
        (&certificate, &pair().1, "tls.privateKey: DIR/key.pem does not fit the certificate in DIR/certificate.pem (where there are several, the first)".into()),
    ] {
        let given = Given::new(certificate, key);
        assert_eq!(given.refused(given.config()).await, expected);
    }
    let given = Given::new(&certificate, &key);
    fs::remove_file(&given.key).unwrap();
    let text = given.refused(given.config()).await;
    let missing = "cannot be read: No such file or directory (os error 2)";
    assert_eq!(text, format!("{key_file} {missing}"));
    fs::remove_file(&given.certificate).unwrap();
    assert_eq!(given.refused(given.config()).await, format!("{certificate_file} {missing}"));
    fs::create_dir(&given.certificate).unwrap();
    let text = given.refused(given.config()).await;
    assert_eq!(text, format!("{certificate_file} cannot be read: it is not a file"));
    let half = Config { private_key: None, ..given.config() };
    let together = "tls.certificate and tls.privateKey belong together, and";
    assert_eq!(given.refused(half).await, format!("{together} tls.privateKey is null"));
    let half = Config { certificate: None, ..given.config() };
    assert_eq!(given.refused(half).await, format!("{together} tls.certificate is null"));
    let none = "operationsApi.network.securePort needs tls.certificate and tls.privateKey";
    assert_eq!(refused(secure()).await.to_string(), none, "there is no folder for one");
}

#[tokio::test]
async fn one_that_has_expired_is_used_and_warned_of() {
    let key = KeyPair::generate().unwrap();
    let mut params = for_localhost();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let certificate = params.self_signed(&key).unwrap().pem();
    let given = Given::new(&certificate, key.serialize_pem());
    let node = Node::start(given.config()).await;
    let lines = lines_with(&format!("file={} ", given.certificate.display()));
    let warned = |line: &&String| line.starts_with("WARN") && line.contains("has expired");
    assert_eq!(lines.iter().filter(warned).count(), 1, "{lines:?}");
    let trust = Trust::in_pem(&certificate);
    let error = failure(trust.connect(node.secure.unwrap(), "localhost").await);
    let Error::InvalidCertificate(CertificateError::ExpiredContext { .. }) = error else {
        panic!("{error}");
    };
}

#[tokio::test]
async fn without_a_port_for_it_the_certificate_is_not_used_and_that_is_warned_of() {
    super::log::catch();
    let (certificate, key) = pair();
    let given = Given::new(certificate, key);
    let server = bind(Config { secure_port: None, ..given.config() }).await.unwrap();
    assert_eq!(server.addresses().https, None);
    assert!(!lines_with("operationsApi.network.securePort is null").is_empty());
}

// covers: http.tls.beyond-loopback
#[tokio::test]
async fn beyond_loopback_tls_is_served_and_plain_http_is_not() {
    let (certificate, key) = pair();
    let given = Given::new(&certificate, key);
    let beyond = |port| Config { port, host: [0, 0, 0, 0].into(), ..given.config() };
    let text = refused(beyond(Some(0))).await.to_string();
    let advice = "set operationsApi.network.securePort for TLS and operationsApi.network.port to \
                  null, or operationsApi.network.allowPlaintext to true";
    assert!(text.ends_with(advice), "{text}");
    let server = bind(beyond(None)).await.unwrap();
    assert_eq!(server.addresses().http, None);
    let port = server.addresses().https.unwrap().port();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(server.serve(stopped));
    let trust = Trust::in_pem(&certificate);
    let mut client = trust.connect(([127, 0, 0, 1], port).into(), "localhost").await.unwrap();
    client.send(post(&[JSON, &bob()], ECHO)).await;
    assert_eq!(client.reply().await.status, 200);
    drop(stop);
    soon(served).await.unwrap();
}

#[tokio::test]
async fn ports_that_cannot_be() {
    let (certificate, key) = pair();
    let given = Given::new(certificate, key);
    let first = bind(given.config()).await.unwrap();
    let (http, https) = (first.addresses().http.unwrap(), first.addresses().https.unwrap());
    let second = Config { secure_port: Some(https.port()), ..given.config() };
    let in_use =
        format!("operationsApi.network.securePort {} is in use on 127.0.0.1", https.port());
    assert_eq!(refused(second).await.to_string(), in_use);
    let port = Some(http.port());
    let same = refused(Config { port, secure_port: port, ..given.config() }).await.to_string();
    let keys = "operationsApi.network.securePort and operationsApi.network.port";
    assert_eq!(same, format!("{keys} are both {}", http.port()));
}

#[tokio::test]
async fn a_client_that_leaves_without_a_word_harms_nobody() {
    let node = Node::start(secure()).await;
    let trust = Trust::in_node(&node);
    for _ in 0..10 {
        let mut client = trust.connect(node.secure.unwrap(), "localhost").await.unwrap();
        client.send("POST / HTTP/1.1\r\n").await;
        let (mut stream, _) = client.0.into_inner().into_inner();
        stream.write_all(b"\x17\x03\x03\x00\x10 not what was expected").await.unwrap();
        drop(stream);
    }
    let mut client = trust.connect(node.secure.unwrap(), "localhost").await.unwrap();
    client.send(head("GET /health HTTP/1.1", &[])).await;
    assert_eq!(client.reply().await.status, 200);
}
