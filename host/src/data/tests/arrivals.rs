//! What comes from other nodes, and what goes to them.

use super::*;

const THEIRS: &str = "node2";

fn version(timestamp: u64) -> Version {
    Version { timestamp, node: THEIRS.into() }
}

fn message(sequence: u64) -> Arc<Message> {
    let headers = vec![("origin".into(), THEIRS.into()), ("n".into(), "1".into())];
    Arc::new(Message { sequence, headers, payload: format!("message {sequence}").into() })
}

fn place(sequence: u64) -> Applied {
    Applied { created: "now".into(), subscription: "now".into(), sequence, gap: 0 }
}

fn arrival(sequence: u64, timestamp: u64, what: Incoming) -> Arrival {
    Arrival {
        table: dog(),
        what,
        version: version(timestamp),
        user: "eve".into(),
        passed: vec![THEIRS.into()],
        message: message(sequence),
    }
}

fn written(rows: Value, is_partial: bool) -> Incoming {
    Incoming::Rows { rows: rows_of(rows), keys: Vec::new(), is_partial }
}

fn arrivals(before: Option<u64>, through: u64, changes: Vec<Arrival>) -> Arrivals {
    Arrivals {
        source: THEIRS.into(),
        stream: "s".into(),
        table: dog(),
        before: before.map(place),
        applied: place(through),
        changes,
        dead: Vec::new(),
        are_told: false,
    }
}

async fn place_of(node: &Node) -> Option<u64> {
    node.data.applied(THEIRS, "s").await.unwrap().map(|applied| applied.sequence)
}

// covers: layer.arrivals
#[tokio::test]
async fn rows_and_the_place_up_to_which_they_came_are_written_together() {
    let node = Node::with_dogs().await;
    let rows = |id: u64| written(json!([{ "id": id, "name": "Penny" }]), false);
    let first = arrivals(None, 3, vec![arrival(3, 10, rows(1))]);
    let outcome = node.data.apply(first.clone()).await.unwrap();
    assert_eq!(outcome, Outcome { applied: 1, ..Outcome::default() });
    assert_eq!(place_of(&node).await, Some(3));
    // Whoever took something else for applied changes nothing.
    for before in [None, Some(2), Some(4)] {
        let late = arrivals(before, 5, vec![arrival(4, 20, rows(2))]);
        assert_eq!(node.data.apply(late).await, Err(Error::Conflict));
    }
    let node = node.again().await;
    assert_eq!((place_of(&node).await, node.count().await), (Some(3), 1));
    node.data.apply(arrivals(Some(3), 7, Vec::new())).await.unwrap();
    assert_eq!(place_of(&node).await, Some(7));
    assert_eq!(node.data.applied("node3", "s").await, Ok(None));
}

// covers: layer.arrivals.partial
#[tokio::test]
async fn a_part_of_a_row_is_merged_when_it_is_newer_and_dropped_otherwise() {
    let node = Node::with_dogs().await;
    let whole = json!([{ "id": 1, "a": 1, "b": 1, "__createdtime__": 1, "__updatedtime__": 1 }]);
    let changes = vec![
        arrival(1, 10_000, written(whole, false)),
        arrival(2, 30_000, written(json!([{ "id": 1, "b": 3 }]), true)),
        arrival(3, 20_000, written(json!([{ "id": 1, "a": 2, "b": 2 }]), true)),
        // Of a row that is not here it makes one.
        arrival(4, 30_000, written(json!([{ "id": 2, "b": 3 }, { "id": 2, "c": 4 }]), true)),
    ];
    let outcome = node.data.apply(arrivals(None, 4, changes)).await.unwrap();
    assert_eq!(outcome, Outcome { applied: 3, older: 1, ..Outcome::default() });
    let row = node.get(json!(1)).await.unwrap();
    let times = [&row["__createdtime__"], &row["__updatedtime__"]];
    assert_eq!((&row["a"], &row["b"], times), (&json!(1), &json!(3), [&json!(1), &json!(30)]));
    assert_eq!(bare(node.get(json!(2)).await), json!({ "id": 2, "b": 3, "c": 4 }));
}

// covers: layer.arrivals.tie
#[tokio::test]
async fn of_the_same_version_the_later_one_wins_only_on_the_stream_of_who_made_it() {
    let rows = |name: &str| written(json!([{ "id": 1, "name": name }]), false);
    for (source, wins) in [(THEIRS, true), ("node3", false)] {
        let node = Node::with_dogs().await;
        let changes = vec![arrival(1, 10, rows("first")), arrival(2, 10, rows("second"))];
        let both = Arrivals { source: source.into(), ..arrivals(None, 2, changes) };
        let outcome = node.data.apply(both).await.unwrap();
        assert_eq!(outcome.applied, if wins { 2 } else { 1 });
        let name = if wins { "second" } else { "first" };
        assert_eq!(node.get(json!(1)).await.unwrap()["name"], name);
        // The same once more changes nothing.
        let before = Some(place(2));
        let again = Arrivals {
            source: source.into(),
            before,
            ..arrivals(None, 3, vec![arrival(3, 10, rows(name))])
        };
        assert_eq!(node.data.apply(again).await.unwrap().applied, 0);
        // Parts of one message come one after the other, wherever it comes from.
        let parts = vec![
            arrival(4, 20, rows("first")),
            arrival(4, 20, Incoming::Deleted(keys(json!([1])))),
            arrival(4, 20, rows("last")),
        ];
        let before = Some(place(3));
        let parts = Arrivals { source: source.into(), before, ..arrivals(None, 4, parts) };
        assert_eq!(node.data.apply(parts).await.unwrap().applied, 3);
        assert_eq!(node.get(json!(1)).await.unwrap()["name"], "last");
    }
}

// covers: layer.dead-letters
#[tokio::test]
async fn what_cannot_be_applied_is_laid_aside_as_it_came_and_the_rest_is_applied() {
    let node = Node::with_dogs().await;
    let schema = |primary_key: &str| Incoming::Schema {
        primary_key: Some(primary_key.into()),
        attributes: vec!["age".into()],
    };
    let of = |name: &str, arrival: Arrival| Arrival { table: super::name("dev", name), ..arrival };
    let changes = vec![
        arrival(1, 10, written(json!([{ "id": 1 }]), false)),
        arrival(2, 11, written(json!([{ "id": true }]), false)),
        arrival(3, 12, schema("other")),
        arrival(4, 13, schema("id")),
        of("cat", arrival(5, 14, written(json!([{ "id": 1 }]), false))),
        of("cow", arrival(6, 15, schema("name"))),
        of("cow", arrival(7, 16, written(json!([{ "name": "Berta" }]), false))),
        // Two parts of one message, which is laid aside once.
        arrival(8, 17, written(json!([{ "name": 1 }]), false)),
        arrival(8, 17, written(json!([{ "id": 8, "a\nb": 1 }]), false)),
    ];
    let mut all = arrivals(None, 9, changes);
    all.dead.push((message(9), "no message".into()));
    let outcome = node.data.apply(all).await.unwrap();
    assert_eq!((outcome.applied, outcome.older, outcome.dead), (2, 0, 5));
    assert!(outcome.why_dead.is_some());
    let letters = node.data.dead_letters(0, 100).await.unwrap();
    let shown: Vec<_> = letters.iter().map(|(_, one)| (one.sequence, &*one.reason)).collect();
    assert_eq!(
        shown,
        [
            (2, "'records[0].id' must be a non-empty string or a number"),
            (3, "Table 'dev.dog' has the primary key 'id', not 'other'"),
            (5, "Table 'dev.cat' does not exist"),
            (8, "'records[0].id' is required"),
            (9, "no message"),
        ]
    );
    for (_, letter) in &letters {
        assert_eq!(letter.payload, message(letter.sequence).payload);
        assert_eq!(letter.headers, message(letter.sequence).headers);
        assert_eq!((&*letter.source, &*letter.stream), (THEIRS, "s"));
    }
    assert_eq!(node.data.dead_letters(letters[1].0, 1).await.unwrap(), letters[2..3]);
    assert!(node.data.check_attributes(&dog(), &["age".into()]).is_ok());
}

// covers: layer.dead-letters.bounded
#[tokio::test]
async fn dead_letters_are_bounded_in_number_and_in_bytes() {
    for (limits, left) in [
        (DataLimits { dead_letters: 3, ..DataLimits::default() }, vec![8, 9, 10]),
        (DataLimits { dead_letter_bytes: 1, ..DataLimits::default() }, vec![10]),
    ] {
        let mut node = Node::with(limits).await;
        for n in 1..=10_u64 {
            let mut one = arrivals((n > 1).then(|| n - 1), n, Vec::new());
            one.dead.push((message(n), "why".into()));
            node.data.apply(one).await.unwrap();
            if n == 5 {
                node = node.again().await;
            }
        }
        let letters = node.data.dead_letters(0, 100).await.unwrap();
        assert_eq!(letters.iter().map(|(_, one)| one.sequence).collect::<Vec<_>>(), left);
    }
}

// covers: layer.arrivals.told
#[tokio::test]
async fn what_came_is_told_onward_only_where_it_should_be() {
    for is_told in [false, true] {
        let node = Node::with_dogs().await;
        let changes = vec![
            arrival(1, 10, written(json!([{ "id": 1 }, { "id": 2 }]), false)),
            arrival(2, 5, written(json!([{ "id": 2 }]), false)),
            arrival(3, 20, Incoming::Deleted(keys(json!([1])))),
        ];
        let all = Arrivals { are_told: is_told, ..arrivals(None, 3, changes) };
        node.data.apply(all).await.unwrap();
        let changes = node.again().await.data.changes(1, 10).await.unwrap().changes;
        if !is_told {
            assert_eq!(changes, []);
            continue;
        }
        let shown: Vec<_> = changes.iter().map(|c| (c.kind, c.keys.clone())).collect();
        assert_eq!(
            shown,
            [(ChangeKind::Upsert, keys(json!([1, 2]))), (ChangeKind::Delete, keys(json!([1])))]
        );
        assert!(changes.iter().all(|c| c.version.node == THEIRS && c.passed == [THEIRS]));
        assert!(changes.iter().all(|c| c.user == "eve"));
    }
}

// covers: layer.outgoing
#[tokio::test]
async fn a_change_goes_out_with_its_rows_as_they_are_now() {
    let node = Node::with_dogs().await;
    node.write(Write::Insert, json!([{ "id": 1 }, { "id": 2 }, { "id": 3 }])).await.unwrap();
    node.write(Write::Update, json!([{ "id": 1, "name": "later" }])).await.unwrap();
    node.data.delete(&dog(), keys(json!([2])), "admin").await.unwrap();
    let future = now() + 3_600_000_000;
    let theirs = vec![arrival(1, future, written(json!([{ "id": 3, "name": "theirs" }]), false))];
    node.data.apply(arrivals(None, 1, theirs)).await.unwrap();
    let outgoing = node.data.outgoing(None, 100, usize::MAX, |_| true).await.unwrap();
    let shown: Vec<Vec<_>> = outgoing
        .changes
        .iter()
        .map(|going| {
            let shown = |now: &RowNow| {
                let name = now.row.as_ref().map(|row| row.get("name").cloned());
                (Value::from(now.key.clone()), name, now.version == going.change.version)
            };
            going.rows.iter().map(shown).collect()
        })
        .collect();
    assert_eq!(
        shown,
        [
            vec![],
            // 1 and 2 come later; 3 is another node's by now, and says so.
            vec![(json!(3), Some(Some(json!("theirs"))), false)],
            vec![(json!(1), Some(Some(json!("later"))), true)],
            vec![(json!(2), None, true)],
        ]
    );
    assert_eq!(outgoing.changes[0].schema.as_ref().unwrap().0, "id");
    assert_eq!((outgoing.lost, outgoing.through, outgoing.left), (0, Some(4), 0));
    let none = node.data.outgoing(None, 3, usize::MAX, |table| *table != dog()).await.unwrap();
    assert!(none.changes.is_empty(), "of no other table");
    assert_eq!((none.through, none.left), (Some(3), 1));
    let some = node.data.outgoing(Some(1), 1, usize::MAX, |_| true).await.unwrap();
    assert_eq!((some.changes[0].change.sequence, some.left), (2, 2));
    let few = node.data.outgoing(Some(1), 100, 1, |_| true).await.unwrap();
    assert_eq!(few.changes.len(), 1, "one in any case");
    node.data.trim(2).await.unwrap();
    let node = node.again().await;
    let rest = node.data.outgoing(None, 100, usize::MAX, |_| true).await.unwrap();
    assert_eq!((rest.changes.len(), rest.changes[0].change.sequence, rest.lost), (2, 3, 0));
    // Dropped, and with it all that there was to tell.
    node.data.drop_table(&dog()).await.unwrap();
    let rest = node.data.outgoing(None, 100, usize::MAX, |_| true).await.unwrap();
    assert!(rest.changes.iter().all(|going| going.rows.is_empty()));
}

// covers: layer.outgoing.lost
#[tokio::test]
async fn changes_that_the_log_could_not_keep_are_counted() {
    let node = Node::with(DataLimits { log_keys: 5, ..DataLimits::default() }).await;
    node.data.create_table(&dog(), "id", &[], "admin").await.unwrap();
    node.data.trim(1).await.unwrap();
    for id in 0..12 {
        node.write(Write::Insert, json!([{ "id": id }])).await.unwrap();
    }
    let outgoing = node.data.outgoing(None, 100, usize::MAX, |_| true).await.unwrap();
    assert_eq!((outgoing.lost, outgoing.changes.len()), (7, 5));
    assert_eq!(node.data.outgoing(Some(8), 100, usize::MAX, |_| true).await.unwrap().lost, 0);
}
