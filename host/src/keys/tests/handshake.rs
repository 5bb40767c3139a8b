//! Mutual TLS between nodes, as their servers do it.

use std::{io, path::Path, sync::Arc};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    server::WebPkiClientVerifier,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

struct Node {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    trusted: Arc<RootCertStore>,
}

impl Node {
    fn of(files: &ClusterFiles) -> Node {
        let read = |path: &Path| fs::read(path).unwrap();
        let mut trusted = RootCertStore::empty();
        for authority in pem::certificates(&read(files.certificate_authority())).unwrap() {
            trusted.add(authority).unwrap();
        }
        Node {
            chain: pem::certificates(&read(files.certificate())).unwrap(),
            key: pem::private_key(&read(files.private_key())).unwrap(),
            trusted: Arc::new(trusted),
        }
    }

    fn acceptor(&self) -> TlsAcceptor {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(self.trusted.clone(), pem::provider());
        let server = ServerConfig::builder_with_provider(pem::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .unwrap();
        TlsAcceptor::from(Arc::new(server))
    }

    fn connector(&self) -> TlsConnector {
        let client = ClientConfig::builder_with_provider(pem::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.trusted.clone())
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .unwrap();
        TlsConnector::from(Arc::new(client))
    }
}

/// One calls the other by a name, and gets a word back.
async fn call(caller: &Node, called: &Node, name: &str) -> (io::Result<()>, io::Result<()>) {
    let (near, far) = tokio::io::duplex(64 << 10);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let (acceptor, connector) = (called.acceptor(), caller.connector());
    let answers = async {
        let mut stream = acceptor.accept(far).await?;
        stream.write_all(b"hello").await?;
        stream.shutdown().await
    };
    let asks = async {
        let mut stream = connector.connect(name, near).await?;
        let mut word = Vec::new();
        stream.read_to_end(&mut word).await?;
        if word == b"hello" { Ok(()) } else { Err(io::Error::other("another word")) }
    };
    tokio::join!(asks, answers)
}

// covers: keys.handshake
#[tokio::test]
async fn nodes_of_one_cluster_take_each_other_and_no_stranger() {
    let (first, second, elsewhere) = (root(), root(), root());
    let one = Node::of(&open(&first).unwrap());
    import(second.path(), &bundle_for(&first, "node2"), false).unwrap();
    let two = Node::of(&ClusterFiles::open(Wanted::new(second.path(), "node2")).unwrap());
    let stranger = Node::of(&open(&elsewhere).unwrap());
    for (caller, called, name) in [
        (&one, &two, "10.0.0.2"),
        (&one, &two, "node2"),
        (&two, &one, "node1"),
        (&two, &one, "127.0.0.1"),
        (&one, &one, "localhost"),
    ] {
        let (asked, answered) = call(caller, called, name).await;
        asked.unwrap();
        answered.unwrap();
    }
    let (asked, _) = call(&one, &two, "10.0.0.3").await;
    assert!(asked.unwrap_err().to_string().contains("not valid for name"));

    let (asked, _) = call(&one, &stranger, "node1").await;
    assert!(asked.unwrap_err().to_string().contains("UnknownIssuer"));
    let gullible = Node { trusted: one.trusted.clone(), ..stranger };
    let (_, answered) = call(&gullible, &one, "node1").await;
    assert!(answered.unwrap_err().to_string().contains("UnknownIssuer"));
}

/// What others trust does not change with a renewal.
#[tokio::test]
async fn a_renewed_certificate_is_taken() {
    let (first, second) = (root(), root());
    open(&first).unwrap();
    import(second.path(), &bundle_for(&first, "node2"), false).unwrap();
    let two = Node::of(&ClusterFiles::open(Wanted::new(second.path(), "node2")).unwrap());
    own::write_certificate(&first, days(1));
    let one = Node::of(&open(&first).unwrap());
    call(&two, &one, "node1").await.0.unwrap();
    call(&one, &two, "node2").await.0.unwrap();
}
