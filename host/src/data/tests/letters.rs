//! Messages that were laid aside, and what is done with them.

use super::*;

/// Node, table and sequence of a message.
async fn lay_aside(node: &Node, source: &str, table: &str, sequence: u64) {
    let stream = harper_wire::names::stream("dev", table);
    let before = node.data.applied(source, &stream).await.unwrap();
    let payload = vec![b'x'; usize::try_from(sequence).unwrap()].into();
    let message = Message { sequence, headers: Vec::new(), payload };
    let applied = Applied { created: "now".into(), subscription: "now".into(), sequence, gap: 0 };
    let arrivals = Arrivals {
        source: source.into(),
        stream,
        table: name("dev", table),
        before,
        applied,
        changes: Vec::new(),
        dead: vec![(Arc::new(message), "why".into())],
        are_told: false,
    };
    node.data.apply(arrivals).await.unwrap();
}

async fn numbers(node: &Node, which: Which) -> Vec<u64> {
    let listed = node.data.list_dead_letters(which, 100).await.unwrap();
    assert_eq!(listed.total, listed.letters.len() as u64);
    listed.letters.into_iter().map(|(number, ..)| number).collect()
}

fn counts(node: &Node) -> Vec<(String, u64)> {
    let letters = node.data.letters().borrow().clone();
    letters.iter().map(|((source, _), count)| (source.clone(), *count)).collect()
}

// covers: layer.dead-letters.listed
#[tokio::test]
async fn they_are_listed_from_the_newest_on_by_node_and_table() {
    let node = Node::new().await;
    for (source, table, sequence) in
        [("a", "dog", 1), ("a", "cat", 2), ("b", "dog", 3), ("a", "dog", 4)]
    {
        lay_aside(&node, source, table, sequence).await;
    }
    let all = Which::default();
    assert_eq!(numbers(&node, all.clone()).await, [4, 3, 2, 1]);
    let of_a = Which { source: Some("a".into()), ..all.clone() };
    assert_eq!(numbers(&node, of_a.clone()).await, [4, 2, 1]);
    let dogs = Which { table: Some(dog()), ..all.clone() };
    assert_eq!(numbers(&node, dogs.clone()).await, [4, 3, 1]);
    assert_eq!(numbers(&node, Which { table: Some(dog()), ..of_a.clone() }).await, [4, 1]);
    let some = Which { numbers: Some([1, 3, 9].into()), ..all.clone() };
    assert_eq!(numbers(&node, some.clone()).await, [3, 1]);
    let database = |name: &str| Which { database: Some(name.into()), ..all.clone() };
    assert_eq!(numbers(&node, database("dev")).await, [4, 3, 2, 1]);
    assert_eq!(numbers(&node, database("other")).await, [0; 0]);
    let newest = node.data.list_dead_letters(of_a.clone(), 1).await.unwrap();
    let [(number, letter, bytes)] = &newest.letters[..] else { panic!("{newest:?}") };
    assert_eq!((newest.total, *number, letter.sequence, *bytes), (3, 4, 4, 4));
    assert_eq!((&letter.table, &*letter.reason), (&Some(dog()), "why"));

    assert_eq!(node.data.drop_dead_letters(of_a).await, Ok(3));
    assert_eq!(node.data.drop_dead_letters(some).await, Ok(1));
    assert_eq!(numbers(&node, all).await, [0; 0]);
}

// covers: layer.dead-letters.counted
#[tokio::test]
async fn how_many_there_are_is_known_whatever_becomes_of_them() {
    let limits = DataLimits { dead_letters: 4, ..DataLimits::default() };
    let mut node = Node::with(limits).await;
    for (source, sequence) in [("a", 1), ("a", 2), ("b", 3), ("b", 4)] {
        lay_aside(&node, source, "dog", sequence).await;
    }
    let of = |a: u64, b: u64| vec![("a".to_owned(), a), ("b".to_owned(), b)];
    assert_eq!(counts(&node), of(2, 2));
    // The oldest goes, and it is another node's.
    lay_aside(&node, "b", "dog", 5).await;
    assert_eq!(counts(&node), of(1, 3));
    node = node.again().await;
    assert_eq!(counts(&node), of(1, 3));
    let newest = Which { numbers: Some([5].into()), ..Which::default() };
    assert_eq!(node.data.drop_dead_letters(newest).await, Ok(1));
    assert_eq!(counts(&node), of(1, 2));
    // Nothing else ever gets its number.
    node = node.again().await;
    lay_aside(&node, "a", "cat", 6).await;
    assert_eq!(numbers(&node, Which::default()).await, [6, 4, 3, 2]);
    assert_eq!(node.data.drop_dead_letters(Which::default()).await, Ok(4));
    assert!(counts(&node).is_empty());
}

// covers: layer.arrivals.earlier
#[test]
fn a_place_that_an_earlier_version_wrote_is_read() {
    let text = r#"{"created":"c","subscription":"s","sequence":7}"#;
    let place: Applied = serde_json::from_str(text).unwrap();
    assert_eq!((place.sequence, place.gap), (7, 0));
}
