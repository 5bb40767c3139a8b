//! Searches.

use futures_util::StreamExt;

use super::*;

async fn found(node: &Node, search: Search) -> Vec<Value> {
    let mut rows = node.data.search(&dog(), search).await.unwrap();
    let mut keys = Vec::new();
    while let Some(chunk) = rows.next().await {
        let chunk = chunk.unwrap();
        assert!(!chunk.is_empty() && chunk.len() <= 256);
        keys.extend(chunk.into_iter().map(|row| row["id"].clone()));
    }
    keys
}

// covers: layer.search
#[tokio::test]
async fn values_and_patterns() {
    let node = Node::with_dogs().await;
    let rows = json!([
        { "id": 1, "name": "Penny", "age": 7 }, { "id": 2, "name": "Pepper", "age": "7" },
        { "id": "a", "name": "Kyla*", "age": 7.0 }, { "id": "ab", "name": null },
        { "id": "b", "tags": ["x"] },
    ]);
    node.write(Write::Insert, rows).await.unwrap();
    let cases = [
        ("name", json!("Penny"), json!([1])),
        ("name", json!("Pe*"), json!([1, 2])),
        ("name", json!("*y"), json!([1])),
        ("name", json!("*e*"), json!([1, 2])),
        ("name", json!("*"), json!([1, 2, "a", "ab"])),
        ("name", json!("**"), json!([1, 2, "a", "ab"])),
        ("name", json!(null), json!(["ab", "b"])),
        ("name", json!("pe*"), json!([])),
        ("age", json!(7), json!([1, "a"])),
        ("age", json!("7"), json!([2])),
        ("tags", json!(["x"]), json!(["b"])),
        ("id", json!(2), json!([2])),
        ("id", json!("a"), json!(["a"])),
        ("id", json!("a*"), json!(["a", "ab"])),
        ("id", json!("*b"), json!(["ab", "b"])),
        ("id", json!("*"), json!([1, 2, "a", "ab", "b"])),
        ("id", json!(true), json!([])),
        ("id", json!("1"), json!([])),
    ];
    for (attribute, value, expected) in cases {
        let search = Search::new(attribute, value.clone());
        assert_eq!(json!(found(&node, search.clone()).await), expected, "{attribute} {value}");
        let mut reversed = expected.as_array().unwrap().clone();
        reversed.reverse();
        let search = Search { reverse: true, ..search };
        assert_eq!(found(&node, search).await, reversed, "{attribute} {value}");
    }
    let unknown = node.data.search(&dog(), Search::new("colour", "*")).await.err().unwrap();
    assert_eq!(unknown.to_string(), "Table 'dev.dog' has no attribute 'colour'");
    let missing = node.data.search(&name("dev", "x"), Search::new("id", "*")).await.err().unwrap();
    assert_eq!(missing.to_string(), "Table 'dev.x' does not exist");
}

async fn fill(node: &Node, rows: u64) {
    let rows: Vec<_> = (0..rows).map(|n| json!({ "id": n, "even": n % 2 == 0 })).collect();
    node.write(Write::Insert, rows.into()).await.unwrap();
}

// covers: layer.search.snapshot
#[tokio::test]
async fn chunks_are_of_one_moment() {
    let node = Node::with_dogs().await;
    fill(&node, 2000).await;
    let mut rows = node.data.search(&dog(), Search::new("id", "*")).await.unwrap();
    let first = rows.next().await.unwrap().unwrap();
    assert_eq!(first.len(), 256);
    let all: Vec<_> = (0..2000).map(Value::from).collect();
    node.data.delete(&dog(), keys(all.into()), "admin").await.unwrap();
    node.data.drop_table(&dog()).await.unwrap();
    let mut next = 256;
    while let Some(chunk) = rows.next().await {
        for row in chunk.unwrap() {
            assert_eq!(row["id"], next);
            next += 1;
        }
    }
    assert_eq!(next, 2000);
    assert!(rows.next().await.is_none());
}

// covers: layer.search.limit
#[tokio::test]
async fn offset_and_limit_count_what_is_found() {
    let node = Node::with_dogs().await;
    fill(&node, 2000).await;
    let search = Search::new("even", true);
    for (offset, limit, first, length) in [
        (0, None, Some(0), 1000),
        (0, Some(0), None, 0),
        (0, Some(1), Some(0), 1),
        (10, Some(256), Some(20), 256),
        (10, Some(300), Some(20), 300),
        (999, Some(5), Some(1998), 1),
        (1000, None, None, 0),
        (990, None, Some(1980), 10),
    ] {
        let keys = found(&node, Search { offset, limit, ..search.clone() }).await;
        assert_eq!((keys.first(), keys.len()), (first.map(Value::from).as_ref(), length));
        let keys = found(&node, Search { offset, limit, reverse: true, ..search.clone() }).await;
        let first = first.map(|first| Value::from(1998 - first));
        assert_eq!((keys.first(), keys.len()), (first.as_ref(), length));
    }
}

// covers: layer.search.bounded
#[tokio::test]
async fn a_search_that_nobody_reads_ends() {
    let limits = DataLimits { searches: 2, ..DataLimits::default() };
    let node = Node::with(limits).await;
    node.data.create_table(&dog(), "id", &[], "admin").await.unwrap();
    fill(&node, 2000).await;
    let search = async || node.data.search(&dog(), Search::new("id", "*")).await;
    let (one, two) = (search().await.unwrap(), search().await.unwrap());
    assert_eq!(search().await.err(), Some(Error::Busy));
    drop(one);
    drop(two);
    let free = async {
        loop {
            if let Ok(rows) = search().await {
                break rows;
            }
            tokio::task::yield_now().await;
        }
    };
    // A reader that does nothing for too long is told.
    let mut slow = tokio::time::timeout(Duration::from_secs(30), free).await.unwrap();
    slow.next().await.unwrap().unwrap();
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(601)).await;
    tokio::time::resume();
    let mut last = None;
    while let Some(chunk) = slow.next().await {
        last = Some(chunk);
    }
    assert_eq!(last, Some(Err(Error::SlowSearch)));
}

// covers: layer.search.memory
#[tokio::test]
async fn a_chunk_is_as_large_as_it_is_in_memory() {
    let node = Node::with_dogs().await;
    // 60 kB each in the file, and some ten megabytes to whoever reads them.
    let fat = json!(vec![json!({ "": 0 }); 20_000]);
    for id in 0..5 {
        node.write(Write::Insert, json!([{ "id": id, "fat": fat }])).await.unwrap();
    }
    let rows = node.data.search(&dog(), Search::new("id", "*")).await.unwrap();
    let sizes: Vec<_> = rows.map(|chunk| chunk.unwrap().len()).collect().await;
    assert_eq!(sizes, [1; 5]);
    let rows = node.data.look_up(&dog(), keys(json!([4, 9, 0, 1]))).unwrap();
    let found: Vec<_> = rows.map(|chunk| chunk.unwrap()).collect().await;
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [1; 3]);
    assert_eq!(found[1][0]["id"], 0);
}

// covers: layer.look-up
#[tokio::test]
async fn rows_of_many_keys_are_of_one_table() {
    let node = Node::with_dogs().await;
    fill(&node, 1000).await;
    let all = || keys((0..1000).collect::<Vec<_>>().into());
    let mut rows = Box::pin(node.data.look_up(&dog(), all()).unwrap());
    assert_eq!(rows.next().await.unwrap().unwrap().len(), 256);
    node.data.drop_table(&dog()).await.unwrap();
    node.data.create_table(&dog(), "id", &[], "admin").await.unwrap();
    fill(&node, 1000).await;
    assert_eq!(rows.next().await, Some(Err(Error::NoTable(dog()))));
    let found: Vec<_> = node.data.look_up(&dog(), all()).unwrap().collect().await;
    assert_eq!(found.iter().map(|chunk| chunk.as_ref().unwrap().len()).sum::<usize>(), 1000);
    let limits = DataLimits { rows: 3, ..DataLimits::default() };
    let few = Node::with(limits).await;
    few.data.create_table(&dog(), "id", &[], "admin").await.unwrap();
    let many = few.data.look_up(&dog(), keys(json!([1, 2, 3, 4]))).err().unwrap();
    assert_eq!(many.to_string(), "'ids' must have at most 3 items");
}

// covers: layer.search.bounded
#[tokio::test]
async fn who_looks_up_many_rows_searches() {
    let limits = DataLimits { searches: 1, ..DataLimits::default() };
    let node = Node::with(limits).await;
    node.data.create_table(&dog(), "id", &[], "admin").await.unwrap();
    fill(&node, 1000).await;
    let look_up =
        |keys_of: u64| node.data.look_up(&dog(), keys((0..keys_of).collect::<Vec<_>>().into()));
    let long = look_up(257).unwrap();
    assert_eq!(look_up(257).err(), Some(Error::Busy));
    assert!(look_up(256).is_ok(), "of one part");
    drop(long);
    assert!(look_up(257).is_ok());
}
