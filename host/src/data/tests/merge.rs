//! Rows of other nodes, and tombstones that expire.

use super::changes::versions;
use super::*;

fn foreign(key: u64, timestamp: u64, node: &str, name: Option<&str>) -> Foreign {
    let row = |name: &str| rows_of(json!([{ "name": name, "__createdtime__": 1 }])).remove(0);
    Foreign {
        key: Key::try_from(json!(key)).unwrap(),
        version: Version { timestamp, node: node.into() },
        row: name.map(row),
        is_partial: false,
        wins_tie: false,
    }
}

async fn names(node: &Node) -> Vec<Value> {
    let found = node.data.get(&dog(), keys(json!([1, 2]))).await.unwrap();
    found.into_iter().map(|row| json!([row["id"], row["name"], row["__createdtime__"]])).collect()
}

// covers: layer.merge
#[tokio::test]
async fn the_newer_one_wins_in_any_order() {
    let rows = [
        foreign(1, 10, "a", Some("old")),
        foreign(1, 30, "a", Some("a")),
        foreign(1, 30, "b", Some("b")),
        foreign(1, 20, "c", None),
        foreign(2, 10, "a", Some("gone")),
        foreign(2, 11, "a", None),
    ];
    for first in 0..rows.len() {
        let node = Node::with_dogs().await;
        let mut turned = rows.to_vec();
        turned.rotate_left(first);
        let (some, others) = turned.split_at(first);
        for part in [some, others, others, some] {
            node.data.merge(&dog(), part.to_vec()).await.unwrap();
        }
        assert_eq!(node.data.merge(&dog(), rows.to_vec()).await, Ok(0), "applied once");
        assert_eq!(names(&node).await, [json!([1, "b", 1])], "{first}");
        assert_eq!(versions(&node, layout::tombstones).await.len(), 1);
        assert_eq!(node.data.changes(1, 100).await.unwrap().changes, []);
    }
}

// covers: layer.merge.times
#[tokio::test]
async fn times_that_are_none_are_those_of_the_version() {
    let node = Node::with_dogs().await;
    let row = |created: Value, updated: Value| {
        let row = json!({ "__createdtime__": created, "__updatedtime__": updated });
        Some(rows_of(json!([row])).remove(0))
    };
    let times = async || {
        let found = node.data.get(&dog(), keys(json!([1]))).await.unwrap().remove(0);
        json!([found["__createdtime__"], found["__updatedtime__"]])
    };
    let mut timestamp = 7_000_000;
    let mut merge = async |created: &Value, updated: &Value, is_partial| {
        timestamp += 1_000_000;
        let row = row(created.clone(), updated.clone());
        let one = Foreign { row, is_partial, ..foreign(1, timestamp, "a", None) };
        node.data.merge(&dog(), vec![one]).await.unwrap();
        timestamp / 1000
    };
    for bad in [json!("now"), json!(null), json!({}), json!([1]), json!(true), json!(-1)] {
        let now = merge(&bad, &bad, false).await;
        assert_eq!(times().await, json!([now, now]), "{bad}");
        merge(&json!(5.5), &json!(6), false).await;
        assert_eq!(times().await, json!([5.5, 6]));
        let now = merge(&bad, &bad, true).await;
        assert_eq!(times().await, json!([5.5, now]), "{bad}");
    }
    let now = merge(&json!(1e16), &json!(8.64e15), false).await;
    assert_eq!(times().await, json!([now, 8.64e15]));
}

// covers: layer.merge
#[tokio::test]
async fn what_was_seen_is_older_than_what_is_written_next() {
    let node = Node::with_dogs().await;
    let future = now() + 3_600_000_000;
    node.data.merge(&dog(), vec![foreign(1, future, "z", Some("theirs"))]).await.unwrap();
    let node = node.again().await;
    node.write(Write::Upsert, json!([{ "id": 1, "name": "ours" }])).await.unwrap();
    assert_eq!(names(&node).await, [json!([1, "ours", 1])]);
    assert_eq!(versions(&node, layout::rows).await[0].1.timestamp, future + 1);
    let bad = rows_of(json!([{ "a\nb": 1 }])).remove(0);
    let bad = Foreign { row: Some(bad), ..foreign(2, future + 9, "z", None) };
    let fine = foreign(2, future + 8, "z", Some("x"));
    node.data.merge(&dog(), vec![fine, bad]).await.unwrap_err();
    assert_eq!(names(&node).await.len(), 1, "all or none");
}

// covers: layer.tombstones.expire
#[tokio::test]
async fn tombstones_expire_and_rows_do_not() {
    let node = Node::with_dogs().await;
    let rows: Vec<_> = (0..12_000).map(|id| json!({ "id": id })).collect();
    node.write(Write::Insert, rows.into()).await.unwrap();
    let old: Vec<_> = (0..11_000).map(Value::from).collect();
    node.data.delete(&dog(), keys(old.into()), "admin").await.unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    assert_eq!(node.data.expire_tombstones(day).await, Ok(0));
    let deleted = now();
    while now() / 1000 <= deleted / 1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(node.data.expire_tombstones(Duration::ZERO).await, Ok(11_000));
    assert!(versions(&node, layout::tombstones).await.is_empty());
    let node = node.again().await;
    assert_eq!(node.count().await, 1000);
}

// covers: layer.versions
#[tokio::test]
async fn a_timestamp_that_nothing_can_follow_is_refused() {
    let node = Node::with_dogs().await;
    for (timestamp, is_fine) in [(u64::MAX, false), ((1 << 53) + 1, false), (1 << 53, true)] {
        let merged = node.data.merge(&dog(), vec![foreign(1, timestamp, "a", Some("a"))]).await;
        assert_eq!(merged.is_ok(), is_fine, "{timestamp}");
    }
    node.write(Write::Upsert, json!([{ "id": 1 }])).await.unwrap();
    node.write(Write::Upsert, json!([{ "id": 2 }])).await.unwrap();
    let versions = versions(&node, layout::rows).await;
    assert_eq!(versions.len(), 2);
    assert!(versions[0].1 < versions[1].1);
    assert!(versions[0].1.timestamp > 1 << 53);
}
