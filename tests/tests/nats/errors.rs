//! What keeps servers from starting, in the operator's words.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use harper_host::nats::{Config, Error, Supervisor};
use harper_tests::nats::{Authority, NatsNode, config};

/// The error of a start with what `change` makes of the usual configuration.
async fn refused(change: impl FnOnce(&mut Config)) -> Error {
    let authority = Authority::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tls = authority.issue("one", &["127.0.0.1"]).unwrap();
    let mut config = config(folder.path(), "one", tls);
    change(&mut config);
    match Supervisor::start(config.clone()).await {
        Err(error) => {
            let left = std::fs::read_dir(&config.folder).into_iter().flatten().count();
            assert_eq!(left, 0, "no file with a password is left behind");
            error
        }
        Ok(_) => panic!("it has started"),
    }
}

// covers: nats.errors.port
#[tokio::test]
async fn a_port_in_use_is_named_by_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    type Port = fn(&mut Config) -> &mut u16;
    let cases: [(&str, Port); 4] = [
        ("clustering.hubServer.network.port", |config| &mut config.hub_clients.port),
        ("clustering.hubServer.leafNodes.network.port", |config| &mut config.hub_leafnodes.port),
        ("clustering.hubServer.cluster.network.port", |config| &mut config.hub_cluster.port),
        ("clustering.leafServer.network.port", |config| &mut config.leaf_clients.port),
    ];
    for (key, place) in cases {
        let error = refused(|config| *place(config) = port).await;
        assert_eq!(error.to_string(), format!("'{key}': the port {port} is in use"));
    }
}

#[tokio::test]
async fn an_address_of_another_machine_is_named_by_its_key() {
    // Set aside for documentation: nobody has it.
    let error = refused(|config| config.hub_cluster.host = [203, 0, 113, 1].into()).await;
    let text = error.to_string();
    assert!(text.starts_with("'clustering.hubServer.cluster.network.host': "), "{text}");
}

// covers: nats.errors.program
#[tokio::test]
async fn a_nats_server_that_is_missing_or_old_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let script = |name: &str, says: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let missing = folder.path().join("missing");
    let error = refused(|config| config.binary = Some(missing)).await.to_string();
    assert!(error.starts_with("'clustering.natsServer': ") && error.contains("cannot be run"));
    let old = script("old", "nats-server: v2.8.4");
    let error = refused(|config| config.binary = Some(old)).await.to_string();
    assert!(error.contains("is nats-server 2.8.4, and 2.9 or later is needed"), "{error}");
    let other = script("other", "hello");
    let error = refused(|config| config.binary = Some(other)).await.to_string();
    assert!(error.contains("does not say its version"), "{error}");
    // One that says nothing, and one that does not stop to speak.
    for says in ["while :; do :; done", "while :; do echo y; done"] {
        let path = folder.path().join("endless");
        std::fs::write(&path, format!("#!/bin/sh\n{says}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let start = Instant::now();
        let error = refused(|config| config.binary = Some(path)).await.to_string();
        assert!(error.contains("say its version"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    }
}

// covers: nats.errors.tls
#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named_by_its_key() {
    let other = Authority::new().unwrap();
    let foreign = other.issue("foreign", &["127.0.0.1"]).unwrap();
    let error = refused(|config| config.tls.certificate = "/missing.pem".into()).await.to_string();
    assert!(error.starts_with("'clustering.tls.certificate': /missing.pem"), "{error}");
    let key = foreign.private_key.clone();
    let error = refused(|config| config.tls.private_key = key).await.to_string();
    assert!(error.starts_with("'clustering.tls.privateKey': "), "{error}");
    assert!(error.contains("it is not that of the certificate"), "{error}");
    let authority = foreign.certificate_authority.clone();
    let error = refused(|config| config.tls.certificate_authority = authority).await.to_string();
    assert!(error.starts_with("'clustering.tls.certificate': "), "{error}");
    assert!(error.contains("not signed by the authority"), "{error}");
    let no_pem = foreign.certificate_authority.with_file_name("no.pem");
    std::fs::write(&no_pem, "no certificate").unwrap();
    let error = refused(|config| config.tls.certificate_authority = no_pem).await.to_string();
    assert!(error.starts_with("'clustering.tls.certificateAuthority': "), "{error}");
    assert!(error.contains("no certificate in PEM"), "{error}");
}

// covers: nats.errors.streams
#[tokio::test]
async fn a_folder_of_streams_that_cannot_be_one_is_named_by_its_key() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let below = file.path().join("streams");
    let error = refused(|config| config.streams = below.clone()).await.to_string();
    assert!(error.starts_with("'clustering.leafServer.streams.path': "), "{error}");
    assert!(error.contains(below.to_str().unwrap()), "{error}");
    let odd = file.path().with_file_name("streams\u{1}");
    let error = refused(|config| config.streams = odd.clone()).await.to_string();
    std::fs::remove_dir(&odd).unwrap();
    assert!(error.starts_with("'clustering.leafServer.streams.path': "), "{error}");
}

// covers: nats.errors.name-taken
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_a_live_node_bears_is_refused() {
    let authority = Authority::new().unwrap();
    let first = NatsNode::start(&authority, "one", |_| {}).await.unwrap();
    let second =
        NatsNode::start(&authority, "two", |config| config.hub_routes = vec![first.route()]);
    let second = second.await.unwrap();
    // Met at the first route, and met only through another node.
    for route in [first.route(), second.route()] {
        let again = NatsNode::start(&authority, "one", |config| config.hub_routes = vec![route]);
        let Err(error) = again.await else { panic!("it has started") };
        assert!(matches!(error.downcast_ref(), Some(Error::NameTaken { .. })), "{error:#}");
        assert!(error.to_string().starts_with("'clustering.nodeName': "), "{error}");
    }
    NatsNode::start(&authority, "three", |config| config.hub_routes = vec![first.route()])
        .await
        .unwrap();
}
