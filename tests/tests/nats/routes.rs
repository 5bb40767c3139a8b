//! Lists of routes that change while the servers run.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use harper_host::nats::{Route, RoutesError, ServerKind};
use harper_tests::nats::{Authority, Cluster, NatsNode, PATIENCE, eventually, names, pid, program};
use tokio::time::Instant;

const GLANCE: Duration = Duration::from_millis(300);

fn route(host: &str, port: u16) -> Route {
    Route { host: host.into(), port }
}

// covers: routes.reload.hub
#[tokio::test(flavor = "multi_thread")]
async fn the_hub_takes_its_list_over_at_once() {
    let cluster = Cluster::of(2).await.unwrap();
    let third = NatsNode::start(&cluster.authority, "node-3", |_| {}).await.unwrap();
    let nats = &cluster.nodes[0].nats;
    let leaf = pid(nats, ServerKind::Leaf);
    let told = async || {
        // Who is being joined, or left, is silent for a moment.
        let found = nats.servers(GLANCE).await.unwrap();
        let own = found.hubs.into_iter().find(|hub| hub.name == "node-1-hub").unwrap();
        own.cluster_urls
    };

    let mut routes = cluster.others(0);
    routes.push(third.route());
    routes.push(route("::1", 1));
    routes.push(route("name.invalid", 2));
    nats.set_routes(routes.clone(), vec![]).await.unwrap();
    let mut urls: Vec<_> = routes.iter().map(Route::to_string).collect();
    urls.sort();
    let mut has = told().await;
    has.sort();
    assert_eq!(has, urls);
    eventually("the third is joined", async || {
        names(&nats.servers(GLANCE).await.unwrap()).contains(&"node-3-hub")
    })
    .await
    .unwrap();

    nats.set_routes(vec![third.route()], vec![]).await.unwrap();
    assert_eq!(told().await, [third.route().to_string()]);
    // The same again changes nothing; none is a list too.
    nats.set_routes(vec![third.route()], vec![]).await.unwrap();
    nats.set_routes(vec![], vec![]).await.unwrap();
    assert_eq!(told().await, [""; 0]);
    assert_eq!(pid(nats, ServerKind::Leaf), leaf);
    assert_eq!(nats.restarts(ServerKind::Leaf), 0);
}

// covers: routes.reload.leaf
#[tokio::test(flavor = "multi_thread")]
async fn for_the_leaf_list_the_leaf_alone_is_restarted() {
    let authority = Authority::new().unwrap();
    let (one, two) = tokio::try_join!(
        NatsNode::start(&authority, "one", |_| {}),
        NatsNode::start(&authority, "two", |_| {}),
    )
    .unwrap();
    let hub = pid(&one.nats, ServerKind::Hub);
    let leafnodes = route("127.0.0.1", two.nats.ports().hub_leafnodes);
    let start = Instant::now();
    one.nats.set_routes(vec![], vec![leafnodes]).await.unwrap();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(pid(&one.nats, ServerKind::Hub), hub);
    // None of its own accord.
    assert_eq!((one.nats.restarts(ServerKind::Hub), one.nats.restarts(ServerKind::Leaf)), (0, 0));
    // The other's streams are reached without any route between the hubs.
    eventually("the other's streams answer", async || {
        one.nats.request("$JS.two-leaf.API.INFO", "".into(), PATIENCE).await.is_ok()
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_is_no_route_changes_nothing() {
    let authority = Authority::new().unwrap();
    let node = NatsNode::start(&authority, "one", |_| {}).await.unwrap();
    for bad in [route("a@b", 1), route("a/b", 1), route("", 1), route("a", 0)] {
        let refused = node.nats.set_routes(vec![bad], vec![]).await;
        assert!(matches!(refused, Err(RoutesError::Invalid(_))), "{refused:?}");
    }
    assert_eq!(node.nats.servers(PATIENCE).await.unwrap().hubs[0].cluster_urls, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_tls_are_read_anew_when_asked() {
    let cluster = Cluster::of(2).await.unwrap();
    let node = &cluster.nodes[0];
    let renewed = cluster.authority.issue("renewed", &["127.0.0.1"]).unwrap();
    std::fs::copy(&renewed.private_key, &node.config.tls.private_key).unwrap();
    std::fs::copy(&renewed.certificate, &node.config.tls.certificate).unwrap();
    node.nats.renew_tls().await.unwrap();
    cluster.joined().await.unwrap();
    assert_eq!(node.nats.restarts(ServerKind::Hub), 0);
    eventually("the node's own streams answer again", async || {
        node.nats.request("$JS.node-1-leaf.API.INFO", "".into(), PATIENCE).await.is_ok()
    })
    .await
    .unwrap();
}

/// A leaf with large streams takes its time to start.
// covers: routes.apart
#[tokio::test(flavor = "multi_thread")]
async fn the_hub_takes_its_list_over_while_the_leaf_starts() {
    let folder = tempfile::tempdir().unwrap();
    let [script, slow, go] = ["nats-server", "slow", "go"].map(|name| folder.path().join(name));
    let made = std::process::Command::new("mkfifo").arg(&go).status().unwrap();
    assert!(made.success());
    let text = format!(
        "#!/bin/sh\ncase \"$2\" in *leaf.json) [ -e {slow:?} ] && read line < {go:?} ;; esac\n\
         exec {:?} \"$@\"\n",
        program().unwrap()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let authority = Authority::new().unwrap();
    let start = NatsNode::start(&authority, "one", |config| config.binary = Some(script));
    let node = start.await.unwrap();
    std::fs::write(&slow, "").unwrap();
    let nats = node.nats.clone();
    let leaf_list = vec![route("127.0.0.1", 1)];
    let leaf = tokio::spawn(async move { nats.set_routes_of(ServerKind::Leaf, leaf_list).await });
    let is_down = async || !node.nats.state(ServerKind::Leaf).borrow().is_up();
    eventually("the leaf starts", is_down).await.unwrap();
    let hub_list = vec![route("127.0.0.1", 2)];
    node.nats.set_routes_of(ServerKind::Hub, hub_list).await.unwrap();
    assert_eq!(node.nats.servers(PATIENCE).await.unwrap().hubs[0].cluster_urls, ["127.0.0.1:2"]);
    assert!(is_down().await && !leaf.is_finished());
    tokio::task::spawn_blocking(move || std::fs::write(go, "\n")).await.unwrap().unwrap();
    leaf.await.unwrap().unwrap();
    node.stop().await;
}
