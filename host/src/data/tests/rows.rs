//! Writing, reading and deleting rows.

use super::*;

// covers: layer.write
#[tokio::test]
async fn rows_are_inserted_updated_upserted_and_deleted() {
    let node = Node::with_dogs().await;
    let written = node
        .write(Write::Insert, json!([{ "id": 1, "name": "Penny" }, { "id": "a" }]))
        .await
        .unwrap();
    assert_eq!(written, Written { written: keys(json!([1, "a"])), skipped: vec![] });
    let again = json!([{ "id": 1, "name": "x" }, { "id": 2 }, { "id": 2, "name": "y" }]);
    let written = node.write(Write::Insert, again).await.unwrap();
    assert_eq!(written, Written { written: keys(json!([2])), skipped: keys(json!([1, 2])) });
    assert_eq!(bare(node.get(json!(1)).await), json!({ "id": 1, "name": "Penny" }));
    assert_eq!(bare(node.get(json!(2)).await), json!({ "id": 2 }));

    let update = json!([{ "id": 1, "age": 7 }, { "id": 9, "age": 1 }]);
    let written = node.write(Write::Update, update).await.unwrap();
    assert_eq!(written, Written { written: keys(json!([1])), skipped: keys(json!([9])) });
    assert_eq!(bare(node.get(json!(1)).await), json!({ "id": 1, "name": "Penny", "age": 7 }));
    let upsert = json!([{ "id": 1, "age": null }, { "id": 9 }, { "id": 9, "age": 2 }]);
    let written = node.write(Write::Upsert, upsert).await.unwrap();
    assert_eq!(written.written, keys(json!([1, 9, 9])));
    assert_eq!(bare(node.get(json!(1)).await), json!({ "id": 1, "name": "Penny", "age": null }));
    assert_eq!(bare(node.get(json!(9)).await), json!({ "id": 9, "age": 2 }));

    let deleted = node.data.delete(&dog(), keys(json!([1, 5, "a", 1])), "admin").await.unwrap();
    let expected = Deleted { deleted: keys(json!([1, "a"])), skipped: keys(json!([5, 1])) };
    assert_eq!(deleted, expected);
    let node = node.again().await;
    assert_eq!(node.count().await, 2);
    let found = node.data.get(&dog(), keys(json!([9, 1, 2]))).await.unwrap();
    let found: Vec<_> = found.iter().map(|row| &row["id"]).collect();
    assert_eq!(found, [9, 2], "those that are there, as they were asked for");
}

// covers: layer.write.made-keys
#[tokio::test]
async fn new_rows_without_a_key_get_one() {
    let node = Node::with_dogs().await;
    for how in [Write::Insert, Write::Upsert] {
        let rows = json!([{ "name": "x" }, { "name": "y", "id": null }]);
        let written = node.write(how, rows).await.unwrap().written;
        let row = node.get(written[0].clone().into()).await.unwrap();
        assert_eq!(row["id"].as_str().unwrap().len(), 36);
        assert!(written[0] != written[1]);
    }
    for (row, text) in [
        (json!({ "name": "x" }), "'records[1].id' is required"),
        (json!({ "id": null }), "'records[1].id' must be a non-empty string or a number"),
        (json!({ "id": {} }), "'records[1].id' must be a non-empty string or a number"),
        (json!({ "id": "" }), "'records[1].id' must be a non-empty string or a number"),
        (json!({ "id": "a\u{0}" }), "'records[1].id' must not contain control characters"),
        (json!({ "id": "x".repeat(513) }), "'records[1].id' must have at most 512 bytes"),
    ] {
        let refused = node.write(Write::Update, json!([{ "id": 1 }, row])).await;
        assert_eq!(refused.unwrap_err().to_string(), text);
    }
    assert_eq!(node.count().await, 4);
}

// covers: layer.write.times
#[tokio::test]
async fn times_are_ours_to_set() {
    let node = Node::with_dogs().await;
    let theirs = json!([{ "id": 1, "__createdtime__": 1, "__updatedtime__": "x" }]);
    node.write(Write::Insert, theirs.clone()).await.unwrap();
    let first = node.get(json!(1)).await.unwrap();
    let (created, updated) = (first[CREATED_TIME].as_u64(), first[UPDATED_TIME].as_u64());
    assert!(created > Some(1_700_000_000_000) && created == updated);
    loop {
        node.write(Write::Upsert, theirs.clone()).await.unwrap();
        let row = node.get(json!(1)).await.unwrap();
        assert_eq!(row[CREATED_TIME].as_u64(), created);
        if row[UPDATED_TIME].as_u64() > updated {
            break;
        }
    }
}

// covers: layer.write.exact
#[tokio::test]
async fn values_come_back_as_they_were() {
    let node = Node::with_dogs().await;
    let row = json!({
        "id": 0.1, "a": 0.1 + 0.2, "b": 5e-324, "c": f64::MAX, "d": u64::MAX, "e": i64::MIN,
        "f": [null, true, {}, [], "犬", { "constructor": { "x": [1.5] } }], "": "".len(), "g": -0.0,
    });
    let mut named = row.clone();
    named.as_object_mut().unwrap().shift_remove("");
    let refused = node.write(Write::Insert, json!([row])).await.unwrap_err();
    let text = "The attribute name '' in 'records[0]' must not be empty";
    assert_eq!(refused.to_string(), text);
    node.write(Write::Insert, json!([named])).await.unwrap();
    let node = node.again().await;
    let found = bare(node.get(json!(0.1)).await);
    assert_eq!(found, named);
    let order = |row: &Value| row.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(order(&found), order(&named));
}

// covers: layer.limits
#[tokio::test]
async fn a_request_is_refused_whole() {
    let limits = DataLimits {
        rows: 3,
        row_bytes: 1000,
        depth: 4,
        transaction_bytes: 1500,
        transaction_values: 60,
        ..DataLimits::default()
    };
    let node = Node::with(limits).await;
    node.data.create_table(&dog(), "id", &[], "admin").await.unwrap();
    let long = |length: usize| "x".repeat(length);
    for (rows, text) in [
        (json!([{}, {}, {}, {}]), "'records' must have at most 3 items"),
        (json!([{ "id": 1 }, { "x": long(1000) }]), "A record must have at most 1000 bytes"),
        (json!([{ "x": [[[1]]] }, { "x": [[[[]]]] }]), "'records[1]' must not nest deeper than 4"),
        (
            json!([{ "x": { "y": { "__proto__": 1 } } }]),
            "The attribute name '__proto__' in 'records[0]' must not be '__proto__'",
        ),
        (
            json!([{ "constructor": 1 }]),
            "The attribute name 'constructor' in 'records[0]' must not be 'constructor'",
        ),
        (
            json!([{ "a\u{1b}[31m": 1 }]),
            "The attribute name 'a\\u{1b}[31m' in 'records[0]' must not contain control characters",
        ),
    ] {
        let refused = node.write(Write::Insert, rows).await.unwrap_err();
        assert_eq!(refused.to_string(), text);
        assert_eq!(refused.kind(), crate::ErrorKind::Invalid);
    }
    for (rows, text) in [
        (json!([{ "x": long(800) }, { "x": long(800) }]), "at most 1500 bytes"),
        (json!([{ "x": vec![1; 70] }]), "at most 60 values"),
    ] {
        let refused = node.write(Write::Insert, rows).await.unwrap_err();
        assert!(refused.to_string().ends_with(text), "{refused}");
        assert_eq!(refused.kind(), crate::ErrorKind::TooLarge);
    }
    assert_eq!(node.count().await, 0);
    // What grows beyond it bit by bit, too.
    node.write(Write::Insert, json!([{ "id": 1, "a": long(800) }])).await.unwrap();
    let grown = node.write(Write::Update, json!([{ "id": 1, "b": long(800) }])).await;
    assert_eq!(grown.unwrap_err().to_string(), "A record must have at most 1000 bytes");
    // One written twice counts once.
    let twice = json!([{ "id": 2, "x": long(800) }, { "id": 2, "x": long(801) }]);
    node.write(Write::Upsert, twice).await.unwrap();
    let many = node.data.delete(&dog(), keys(json!([1, 2, 3, 4])), "admin").await;
    assert_eq!(many.unwrap_err().to_string(), "'ids' must have at most 3 items");
}

// covers: layer.groups
#[tokio::test]
async fn many_writers_share_commits_and_no_refused_one_is_in_the_way() {
    let node = Node::with_dogs().await;
    let writers = (0..64).map(|n| {
        let data = node.data.clone();
        tokio::spawn(async move {
            let mut acknowledged = 0;
            for i in 0..10 {
                let fine = json!([{ "id": n * 100 + i }, { "id": format!("{n}-{i}") }]);
                let bad = json!([{ "id": -1 }, { "id": true }]);
                let rows = if i % 3 == 2 { bad } else { fine };
                let written = data.write(&dog(), Write::Insert, rows_of(rows), "admin").await;
                assert_eq!(written.is_err(), i % 3 == 2);
                acknowledged += written.map_or(0, |written| written.written.len());
            }
            // Of a table that is not there.
            let gone = data.delete(&name("dev", "gone"), keys(json!([1])), "admin").await;
            assert_eq!(gone, Err(Error::NoTable(name("dev", "gone"))));
            acknowledged
        })
    });
    let mut acknowledged = 0;
    for writer in writers.collect::<Vec<_>>() {
        acknowledged += writer.await.unwrap();
    }
    assert_eq!(acknowledged, 64 * 7 * 2);
    assert_eq!(node.count().await, acknowledged as u64);
    assert_eq!(node.get(json!(-1)).await, None);
}

// covers: layer.groups
#[tokio::test]
async fn a_panic_fails_its_group_and_no_later_one() {
    let node = Node::with_dogs().await;
    let panicked = node.data.0.writer.ask(1, |t| {
        t.drop_table(&dog())?;
        if t.catalog.tables.is_empty() {
            panic!("on purpose");
        }
        Ok(())
    });
    assert_eq!(panicked.await, Err(Error::Lost));
    node.write(Write::Insert, json!([{ "id": 1 }])).await.unwrap();
    assert_eq!(node.again().await.count().await, 1);
}

#[tokio::test]
async fn the_thread_ends_with_the_last_clone() {
    let node = Node::with_dogs().await;
    let clone = node.data.clone();
    let ended = node.data.0.writer.ended();
    let Node { root, data } = node;
    data.close().await;
    assert!(ended.has_changed().is_ok(), "a clone is left");
    clone.create_database("more").await.unwrap();
    clone.close().await;
    assert!(ended.has_changed().is_err());
    open(root.path(), DataLimits::default()).await;
}

// covers: layer.write.once
#[tokio::test]
async fn a_row_that_is_named_often_is_read_and_written_once() {
    let limits = DataLimits { transaction_values: 40, ..DataLimits::default() };
    let node = Node::with(limits).await;
    node.data.create_table(&dog(), "id", &[], "admin").await.unwrap();
    node.write(Write::Insert, json!([{ "id": 1, "many": vec![0; 20] }])).await.unwrap();
    let rows = (0..1000).map(|n| json!({ "id": 1, "n": n })).collect::<Vec<_>>();
    let written = node.write(Write::Upsert, rows.clone().into()).await.unwrap();
    assert_eq!(written.written.len(), 1000);
    let written = node.write(Write::Update, rows.into()).await.unwrap();
    assert_eq!((written.written.len(), written.skipped.len()), (1000, 0));
    let expected = json!({ "id": 1, "many": vec![0; 20], "n": 999 });
    assert_eq!(bare(node.get(json!(1)).await), expected);
    let rows = json!([{ "id": 2, "a": 1 }, { "id": 1 }, { "id": 2, "b": 1 }, { "id": 3 }]);
    let written = node.write(Write::Update, rows.clone()).await.unwrap();
    assert_eq!(written.skipped, keys(json!([2, 2, 3])));
    let written = node.write(Write::Insert, rows).await.unwrap();
    assert_eq!(written.written, keys(json!([2, 3])));
    assert_eq!(written.skipped, keys(json!([1, 2])));
    assert_eq!(bare(node.get(json!(2)).await), json!({ "id": 2, "a": 1 }));
}

// covers: layer.write.once
#[tokio::test]
async fn a_row_that_is_in_the_way_is_not_read() {
    let node = Node::with_dogs().await;
    let break_it = |t: &mut transaction::Transaction<'_>| {
        let name = layout::rows(t.catalog.table(&dog())?.id);
        let key = Key::try_from(&json!(1)).unwrap();
        t.redb.open_table(by_key(&name))?.insert(key.to_bytes().as_slice(), &b"no row"[..])?;
        t.mark_changed();
        Ok(())
    };
    node.data.0.writer.ask(1, break_it).await.unwrap();
    let written = node.write(Write::Insert, json!([{ "id": 1 }, { "id": 2 }])).await.unwrap();
    assert_eq!(written.skipped, keys(json!([1])));
    assert_eq!(node.write(Write::Upsert, json!([{ "id": 1 }])).await, Err(Error::Failed));
}

// covers: layer.limits
#[tokio::test]
async fn a_row_has_only_so_many_values() {
    let limits = DataLimits { row_values: 10, ..DataLimits::default() };
    let node = Node::with(limits).await;
    node.data.create_table(&dog(), "id", &[], "admin").await.unwrap();
    // The row, three of its own, the array.
    node.write(Write::Insert, json!([{ "id": 1, "a": [0, 0, 0, 0, 0] }])).await.unwrap();
    let more = node.write(Write::Upsert, json!([{ "id": 1, "b": 1 }])).await;
    assert_eq!(more.unwrap_err().to_string(), "A record must have at most 10 values");
}

// covers: layer.keys.one-text
#[tokio::test]
async fn a_key_stands_in_its_row_as_in_replies() {
    let node = Node::with_dogs().await;
    let rows: Vec<Row> = serde_json::from_str(r#"[{ "id": -0.0 }, { "id": 1.0 }]"#).unwrap();
    node.data.write(&dog(), Write::Insert, rows, "admin").await.unwrap();
    for id in [0, 1] {
        assert_eq!(node.get(json!(id)).await.unwrap()["id"].to_string(), id.to_string());
    }
}

/// Keeps the thread that writes busy until what is sent to it now waits, and lets go.
async fn while_busy<T: Send + 'static>(
    node: &Node,
    ask: impl AsyncFnOnce(&Node) -> Vec<tokio::task::JoinHandle<T>>,
) -> Vec<tokio::task::JoinHandle<T>> {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let data = node.data.clone();
    let busy = tokio::spawn(async move {
        let work = move |_: &mut transaction::Transaction<'_>| {
            let _ = begun.send(());
            let _ = wait.recv_timeout(Duration::from_secs(30));
            Ok(())
        };
        data.0.writer.ask(1, work).await
    });
    has_begun.await.unwrap();
    let asked = ask(node).await;
    // They have sent their requests before this task goes on: there is one thread.
    tokio::task::yield_now().await;
    go.send(()).unwrap();
    busy.await.unwrap().unwrap();
    asked
}

// covers: layer.groups.refused
#[tokio::test]
async fn what_a_failed_change_was_in_the_way_of_has_failed_too() {
    let node = Node::with_dogs().await;
    let asked = while_busy(&node, async |node| {
        let mut asked = Vec::new();
        for n in 0..3 {
            let data = node.data.clone();
            asked.push(tokio::spawn(async move {
                let full = |_: &mut transaction::Transaction<'_>| Err::<(), _>(Error::Full);
                match n {
                    2 => data.0.writer.ask(1, full).await,
                    _ => data.create_database("b").await,
                }
            }));
            tokio::task::yield_now().await;
        }
        asked
    })
    .await;
    for asked in asked {
        assert_eq!(asked.await.unwrap(), Err(Error::Full), "not that the database is there");
    }
    node.data.create_database("b").await.unwrap();
}

// covers: layer.groups.time
#[tokio::test]
async fn who_came_first_need_not_wait_for_long_requests_of_others() {
    let node = Node::with_dogs().await;
    let (answered, is_answered) = std::sync::mpsc::channel::<()>();
    let asked = while_busy(&node, async |node| {
        let (first, second) = (node.data.clone(), node.data.clone());
        let first = tokio::spawn(async move {
            let long = |_: &mut transaction::Transaction<'_>| {
                std::thread::sleep(Duration::from_millis(1100));
                Ok(())
            };
            let done = first.0.writer.ask(1, long).await;
            let _ = answered.send(());
            done
        });
        tokio::task::yield_now().await;
        let second = tokio::spawn(async move {
            let work = move |_: &mut transaction::Transaction<'_>| {
                is_answered.recv_timeout(Duration::from_secs(10)).map_err(|_| Error::Late)
            };
            second.0.writer.ask(1, work).await
        });
        tokio::task::yield_now().await;
        vec![first, second]
    })
    .await;
    for asked in asked {
        assert_eq!(asked.await.unwrap(), Ok(()));
    }
}
