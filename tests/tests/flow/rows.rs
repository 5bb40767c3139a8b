//! What flows where nothing goes wrong.

use super::*;

// covers: flow.rows
#[tokio::test(flavor = "multi_thread")]
async fn rows_and_deletions_flow_both_ways() {
    let cluster = nodes(2).await;
    let [a, b] = &cluster.nodes[..] else { panic!("two nodes") };
    make(a).await;
    share(a, "node-2", true, true).await;
    tokio::join!(insert(&a.data, 0..200, "a"), insert(&b.data, 200..400, "b"));
    for node in [a, b] {
        arrive(&node.data, 0..400, 400).await;
        let found = values(&node.data, 0..400).await;
        assert!(found.iter().all(|(id, value)| *value == if *id < 200 { "a" } else { "b" }));
    }
    // Both change the same rows: whichever is the later one, both have it.
    let change = async |node: &ClusterNode, value: &str| {
        for id in 0..100 {
            let rows = vec![row(id, value)];
            node.data.write(&dog(), Write::Upsert, rows, "admin").await.unwrap();
        }
    };
    tokio::join!(change(a, "from a"), change(b, "from b"));
    eventually("both have the same", async || {
        let (a, b) = tokio::join!(values(&a.data, 0..100), values(&b.data, 0..100));
        a == b && a.values().all(|value| value.as_str().unwrap().starts_with("from"))
    })
    .await
    .unwrap();
    let keys = (50..150).map(|id| Key::try_from(json!(id)).unwrap()).collect();
    let deleted = b.data.delete(&dog(), keys, "admin").await.unwrap();
    assert_eq!(deleted.deleted.len(), 100);
    eventually("they are deleted on the other", async || {
        a.data.table(&dog()).await.unwrap().record_count == 300
    })
    .await
    .unwrap();
    assert_eq!(values(&a.data, 0..400).await, values(&b.data, 0..400).await);
    cluster.stop().await;
}

/// The first row comes before the second in the same stream: where the second is, the first would be.
async fn chain(config: FlowConfig) -> bool {
    let cluster = nodes_with(3, config).await;
    let [a, b, c] = &cluster.nodes[..] else { panic!("three nodes") };
    make(a).await;
    share(a, "node-2", true, false).await;
    share(b, "node-3", true, false).await;
    insert(&a.data, 0..50, "a").await;
    arrive(&b.data, 0..50, 50).await;
    insert(&b.data, 50..100, "b").await;
    eventually("what was written on the second is on the third", async || {
        values(&c.data, 50..100).await.len() == 50
    })
    .await
    .unwrap();
    let count = values(&c.data, 0..50).await.len();
    assert_eq!(a.data.table(&dog()).await.unwrap().record_count, 50, "nothing comes back");
    cluster.stop().await;
    assert!(count == 0 || count == 50, "all or none: {count}");
    count == 50
}

// covers: flow.republish
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_goes_onward_only_where_it_is_republished() {
    let on = FlowConfig { republish: true, ..FlowConfig::default() };
    let (off, on) = tokio::join!(chain(FlowConfig::default()), chain(on));
    assert!(!off, "with republishMessages false");
    assert!(on, "with republishMessages true");
}
