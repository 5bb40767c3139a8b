//! A disk that is full, and room again.

use super::*;

// covers: layer.disk-full
#[tokio::test]
async fn a_full_disk_refuses_writes_keeps_reads_and_loses_nothing() {
    let node = Node::with_dogs().await;
    let store = node.data.0.store.clone();
    let file = node.root.path().join("database/harper.redb");
    let mut acknowledged = 0;
    for round in 0..3 {
        store.set_room(Some(std::fs::metadata(&file).unwrap().len()));
        let full = loop {
            let row = json!([{ "id": acknowledged, "text": "x".repeat(50_000) }]);
            match node.write(Write::Insert, row).await {
                Ok(_) => acknowledged += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(full, Error::Full);
        let text = "The disk is full: nothing can be written until there is room";
        assert_eq!(full.to_string(), text);
        assert!(!store.takes_writes());
        assert_eq!(node.write(Write::Upsert, json!([{ "id": "x" }])).await, Err(Error::Full));
        let users = store.add_first_with_role(crate::store::User {
            username: "bob".into(),
            role: "reader".into(),
            active: true,
            password_hash: "none".into(),
            created: 1,
            updated: 1,
        });
        assert!(matches!(users.await, Err(crate::store::Error::Full)));
        // Still full, once it is tried again.
        store.end_rest();
        let row = json!([{ "id": "x", "text": vec!["x".repeat(60_000); 16] }]);
        assert_eq!(node.write(Write::Insert, row).await, Err(Error::Full));
        assert_eq!(node.count().await, acknowledged);
        for id in 0..acknowledged {
            assert!(node.get(json!(id)).await.is_some(), "{round} {id}");
        }
        assert_eq!(node.get(json!("x")).await, None);
        store.set_room(None);
        store.end_rest();
        let row = json!([{ "id": acknowledged }]);
        node.write(Write::Insert, row).await.unwrap();
        acknowledged += 1;
        assert!(store.takes_writes());
    }
    let changes = node.data.changes(0, usize::MAX).await.unwrap().changes;
    assert_eq!(changes.len() as u64, 1 + acknowledged, "the log has what was acknowledged");
    drop(store);
    let node = node.again().await;
    assert_eq!(node.count().await, acknowledged);
    for id in 0..acknowledged {
        assert!(node.get(json!(id)).await.is_some());
    }
}
