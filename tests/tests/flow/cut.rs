//! The network between nodes is gone for a while.

use harper_host::nats::ServerKind;

use super::*;

// covers: flow.cut
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_while_routes_were_cut_arrives_when_they_are_back() {
    let cluster = nodes(2).await;
    let [a, b] = &cluster.nodes[..] else { panic!("two nodes") };
    make(a).await;
    share(a, "node-2", true, true).await;
    insert(&a.data, 0..20, "before").await;
    arrive(&b.data, 0..20, 20).await;
    for node in [a, b] {
        node.servers.nats.set_routes_of(ServerKind::Hub, Vec::new()).await.unwrap();
    }
    insert(&a.data, 20..120, "a").await;
    insert(&b.data, 120..220, "b").await;
    assert_eq!(values(&b.data, 20..120).await.len(), 0, "they are apart");
    assert_eq!(values(&a.data, 120..220).await.len(), 0, "they are apart");
    for (node, other) in [(a, b), (b, a)] {
        let routes = vec![other.servers.route()];
        node.servers.nats.set_routes_of(ServerKind::Hub, routes).await.unwrap();
    }
    arrive(&a.data, 0..220, 220).await;
    arrive(&b.data, 0..220, 220).await;
    cluster.stop().await;
}
