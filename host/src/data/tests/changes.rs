//! Versions, tombstones and the change log.

use redb::ReadableTable;

use super::*;

/// The versions of a table's rows, or tombstones, as they lie in the file.
pub(super) async fn versions(node: &Node, table: fn(u64) -> String) -> Vec<(Key, Version)> {
    let id = node.data.table(&dog()).await.unwrap().id;
    let versions = node.data.0.store.read(move |t| {
        let mut versions = Vec::new();
        for entry in t.open_table(by_key(&table(id)))?.iter()? {
            let (key, value) = entry?;
            versions.push((Key::from_bytes(key.value()).unwrap(), row::version(value.value())?));
        }
        Ok::<_, Error>(versions)
    });
    versions.await.unwrap()
}

// covers: layer.versions
#[tokio::test]
async fn each_request_has_a_later_version_than_all_before() {
    let node = Node::with_dogs().await;
    let mut last = 0;
    let mut node = node;
    for round in 0..3 {
        for key in 0..5 {
            let rows = json!([{ "id": key, "round": round }, { "id": "both" }]);
            node.write(Write::Upsert, rows).await.unwrap();
            let versions = versions(&node, layout::rows).await;
            let of = |key: Value| {
                let key = Key::try_from(key).unwrap();
                versions.iter().find(|(found, _)| *found == key).unwrap().1.clone()
            };
            assert_eq!(of(json!(key)), of(json!("both")), "one request, one version");
            assert_eq!(of(json!(key)).node, "node1");
            assert!(of(json!(key)).timestamp > last);
            last = of(json!(key)).timestamp;
        }
        node = node.again().await;
    }
    // Whatever the clock does: a version from the future was seen.
    let future = last + 3_600_000_000;
    let version = Version { timestamp: future, node: "node2".into() };
    node.data
        .0
        .writer
        .ask(1, move |t| {
            t.see(&version);
            Ok(())
        })
        .await
        .unwrap();
    let node = node.again().await;
    node.write(Write::Upsert, json!([{ "id": 1 }])).await.unwrap();
    assert!(versions(&node, layout::rows).await.iter().any(|(_, v)| v.timestamp == future + 1));
}

// covers: layer.tombstones
#[tokio::test]
async fn a_deletion_leaves_a_tombstone_until_the_key_is_written_again() {
    let node = Node::with_dogs().await;
    node.write(Write::Insert, json!([{ "id": 1 }, { "id": 2 }])).await.unwrap();
    let before = versions(&node, layout::rows).await[0].1.clone();
    node.data.delete(&dog(), keys(json!([1, 2, 3])), "admin").await.unwrap();
    let node = node.again().await;
    let left = versions(&node, layout::tombstones).await;
    assert_eq!(left.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), keys(json!([1, 2])));
    assert!(left[0].1 > before && left[0].1 == left[1].1);
    node.write(Write::Insert, json!([{ "id": 1 }])).await.unwrap();
    assert_eq!(versions(&node, layout::tombstones).await.len(), 1);
    assert!(versions(&node, layout::rows).await[0].1 > left[0].1);
    node.data.drop_table(&dog()).await.unwrap();
}

// covers: layer.changes
#[tokio::test]
async fn the_log_has_what_was_changed_in_the_order_of_the_commits() {
    let node = Node::with_dogs().await;
    let mut grows = node.data.last_change();
    node.write(Write::Insert, json!([{ "id": 1 }, { "id": 2 }])).await.unwrap();
    grows.changed().await.unwrap();
    assert_eq!(*grows.borrow(), 2);
    // Nothing was changed by these.
    node.write(Write::Insert, json!([{ "id": 1 }])).await.unwrap();
    node.write(Write::Update, json!([{ "id": 7 }])).await.unwrap();
    node.data.delete(&dog(), keys(json!([7])), "admin").await.unwrap();
    node.write(Write::Insert, json!([{ "id": true }])).await.unwrap_err();
    let upsert = json!([{ "id": 2 }, { "id": 3 }, { "id": 3 }]);
    node.write(Write::Upsert, upsert).await.unwrap();
    node.data.delete(&dog(), keys(json!([1, 7])), "eve").await.unwrap();
    let node = node.again().await;
    let Changes { first, changes } = node.data.changes(0, 100).await.unwrap();
    assert_eq!(first, 1);
    let shown: Vec<_> = changes.iter().map(|c| (c.sequence, c.kind, c.keys.clone())).collect();
    assert_eq!(
        shown,
        [
            (1, ChangeKind::DefineSchema, vec![]),
            (2, ChangeKind::Upsert, keys(json!([1, 2]))),
            (3, ChangeKind::Upsert, keys(json!([2, 3]))),
            (4, ChangeKind::Delete, keys(json!([1]))),
        ]
    );
    assert!(changes.windows(2).all(|two| two[0].version < two[1].version));
    assert!(changes.iter().all(|change| change.table == dog()));
    assert_eq!((&*changes[2].user, &*changes[3].user), ("admin", "eve"));
    assert_eq!(versions(&node, layout::rows).await[0].1, changes[2].version);
    assert_eq!(node.data.changes(2, 1).await.unwrap().changes, changes[2..3]);
    node.data.trim(3).await.unwrap();
    let left = node.data.changes(0, 100).await.unwrap();
    assert_eq!((left.first, &*left.changes), (4, &changes[3..]));
    node.data.trim(u64::MAX).await.unwrap();
    let node = node.again().await;
    let none = node.data.changes(0, 100).await.unwrap();
    assert_eq!(none, Changes { first: 5, changes: vec![] });
    node.write(Write::Insert, json!([{ "id": 8 }])).await.unwrap();
    assert_eq!(node.data.changes(4, 100).await.unwrap().changes[0].sequence, 5);
}

// covers: layer.changes.bounded
#[tokio::test]
async fn the_log_is_bounded_by_keys_and_says_what_it_still_holds() {
    let node = Node::with(DataLimits { log_keys: 10, ..DataLimits::default() }).await;
    node.data.create_table(&dog(), "id", &[], "admin").await.unwrap();
    for n in 0..9 {
        node.write(Write::Insert, json!([{ "id": n }])).await.unwrap();
    }
    assert_eq!(node.data.changes(0, 100).await.unwrap().first, 1);
    let node = node.again().await;
    node.write(Write::Upsert, json!([{ "id": 1 }, { "id": 2 }, { "id": 3 }])).await.unwrap();
    let Changes { first, changes } = node.data.changes(0, 100).await.unwrap();
    assert_eq!((first, changes[0].sequence, changes.len()), (4, 4, 8));
    // One that is larger than the log stays: nobody has read it.
    let many: Vec<_> = (0..20).map(|n| json!({ "id": n })).collect();
    node.write(Write::Upsert, many.into()).await.unwrap();
    let Changes { first, changes } = node.data.changes(0, 100).await.unwrap();
    assert_eq!((first, changes[0].keys.len(), changes.len()), (12, 20, 1));
}
