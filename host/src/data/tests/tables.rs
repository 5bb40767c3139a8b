//! Databases and tables.

use super::*;

fn text<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().to_string()
}

// covers: layer.tables
#[tokio::test]
async fn tables_are_made_described_and_dropped() {
    let node = Node::new().await;
    let data = &node.data;
    assert!(data.databases().is_empty() && data.tables(None).await.unwrap().is_empty());
    data.create_database("dev").await.unwrap();
    assert_eq!(text(data.create_database("dev").await), "database 'dev' already exists");
    assert_eq!(text(data.tables(Some("prod")).await), "database 'prod' does not exist");
    assert_eq!(text(data.table(&dog()).await), "Table 'dev.dog' does not exist");
    assert_eq!(text(data.table(&name("x", "y")).await), "database 'x' does not exist");
    data.create_table(&dog(), "id", &["name".into(), "id".into()], "admin").await.unwrap();
    let again = data.create_table(&dog(), "key", &[], "admin").await;
    assert_eq!(text(again), "Table 'dev.dog' already exists");
    data.create_table(&name("prod", "cat"), "id", &[], "admin").await.unwrap();
    assert_eq!(data.databases(), ["dev", "prod"]);

    let node = node.again().await;
    let data = &node.data;
    assert_eq!(data.databases(), ["dev", "prod"]);
    let described = data.table(&dog()).await.unwrap();
    let attributes: Vec<_> = described.attributes.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(attributes, ["id", CREATED_TIME, UPDATED_TIME, "name"]);
    assert!(described.attributes[0].is_primary_key && !described.attributes[3].is_primary_key);
    assert_eq!((described.record_count, described.last_updated), (0, None));
    node.write(Write::Insert, json!([{ "id": 1, "age": 7 }, { "id": 2 }])).await.unwrap();
    let described = data.table(&dog()).await.unwrap();
    assert_eq!(described.attributes.last().unwrap().name, "age");
    assert_eq!(described.record_count, 2);
    assert!(described.last_updated.unwrap() >= described.created);
    assert_eq!(data.tables(None).await.unwrap().len(), 2);

    data.drop_table(&dog()).await.unwrap();
    assert_eq!(text(data.drop_table(&dog()).await), "Table 'dev.dog' does not exist");
    let gone = node.write(Write::Insert, json!([{ "id": 1 }])).await;
    assert_eq!(text(gone), "Table 'dev.dog' does not exist");
    // Made anew, it is another one.
    data.create_table(&dog(), "key", &[], "admin").await.unwrap();
    let anew = data.table(&dog()).await.unwrap();
    assert!(anew.id > described.id);
    assert_eq!((anew.record_count, anew.attributes.len()), (0, 3));
    data.drop_database("dev").await.unwrap();
    assert_eq!(text(data.drop_database("dev").await), "database 'dev' does not exist");
    let node = node.again().await;
    assert_eq!(node.data.databases(), ["prod"]);
    assert_eq!(node.data.tables(None).await.unwrap().len(), 1);
}

// covers: layer.names
#[tokio::test]
async fn what_cannot_be_a_name_is_refused_before_anything_is_made() {
    let node = Node::new().await;
    let data = &node.data;
    let bad = ["", "a.b", "a*", ">", "a/b", "a b", "\u{7}", "$x", "__proto__", &"x".repeat(251)];
    for bad in bad {
        assert!(text(data.create_database(bad).await).starts_with("'database' must"), "{bad:?}");
        let of_database = data.create_table(&name(bad, "t"), "id", &[], "admin").await;
        assert!(text(of_database).starts_with("'database' must"), "{bad:?}");
        let of_table = data.create_table(&name("d", bad), "id", &[], "admin").await;
        assert!(text(of_table).starts_with("'table' must"), "{bad:?}");
        let ensured = data.ensure_table(&name("d", bad), "id", &[], "admin").await;
        assert!(text(ensured).starts_with("'table' must"), "{bad:?}");
    }
    for system in ["system", "System"] {
        let made = data.create_table(&name(system, "t"), "id", &[], "admin").await;
        assert_eq!(text(made), "'database' must not be 'system'");
    }
    for bad in ["", "__proto__", "a\nb", "*", CREATED_TIME] {
        let made = data.create_table(&dog(), bad, &[], "admin").await;
        assert!(text(made).starts_with("'primary_key' must not"), "{bad:?}");
    }
    let made = data.create_table(&dog(), "id", &["a\nb".into()], "admin").await;
    let expected = "The attribute name 'a\\nb' in 'attributes' must not contain control characters";
    assert_eq!(text(made), expected);
    assert!(data.databases().is_empty());
}

// covers: layer.limits
#[tokio::test]
async fn there_are_only_so_many() {
    let limits = DataLimits { databases: 2, tables: 2, attributes: 4, ..DataLimits::default() };
    let node = Node::with(limits).await;
    let data = &node.data;
    data.create_table(&dog(), "id", &[], "admin").await.unwrap();
    data.create_table(&name("dev", "cat"), "id", &[], "admin").await.unwrap();
    let third = data.create_table(&name("dev", "bird"), "id", &[], "admin").await;
    assert_eq!(text(third), "A node may have at most 2 tables");
    data.create_database("b").await.unwrap();
    assert_eq!(text(data.create_database("c").await), "A node may have at most 2 databases");
    data.drop_table(&name("dev", "cat")).await.unwrap();
    let in_new = data.create_table(&name("c", "bird"), "id", &[], "admin").await;
    assert_eq!(text(in_new), "A node may have at most 2 databases");
    let wide = ["a", "b"].map(String::from);
    let wide = data.create_table(&name("b", "bird"), "id", &wide, "admin").await;
    assert_eq!(text(wide), "Table 'b.bird' may have at most 4 attributes");
    node.write(Write::Insert, json!([{ "id": 1, "a": 1 }])).await.unwrap();
    let more = node.write(Write::Insert, json!([{ "id": 2 }, { "id": 3, "b": 1 }])).await;
    assert_eq!(text(more), "Table 'dev.dog' may have at most 4 attributes");
    assert_eq!(node.count().await, 1, "nothing of a refused request");
}

// covers: layer.ensure
#[tokio::test]
async fn peers_make_what_is_missing() {
    let node = Node::new().await;
    let data = &node.data;
    data.ensure_table(&dog(), "id", &["name".into()], "node2").await.unwrap();
    data.ensure_table(&dog(), "id", &["name".into(), "age".into()], "node2").await.unwrap();
    data.ensure_table(&dog(), "id", &[], "node2").await.unwrap();
    assert_eq!(data.table(&dog()).await.unwrap().attributes.len(), 5);
    let other = data.ensure_table(&dog(), "key", &[], "node2").await.unwrap_err();
    assert_eq!(other.to_string(), "Table 'dev.dog' has the primary key 'id', not 'key'");
    assert!(matches!(other, Error::OtherKey { .. }));
}

// covers: layer.ensure-all
#[tokio::test]
async fn peers_make_all_of_several_tables_or_none() {
    let limits =
        DataLimits { databases: 2, tables: 4, all_attributes: 20, ..DataLimits::default() };
    let node = Node::with(limits).await;
    let data = &node.data;
    data.ensure_table(&dog(), "id", &[], "node2").await.unwrap();
    let before = data.changes(1, 100).await.unwrap();
    let new = |database: &str, table: &str, attributes: &[&str]| {
        let (name, primary_key) = (name(database, table), "id".to_owned());
        let attributes = attributes.iter().map(|&name| name.to_owned()).collect();
        NewTable { name, primary_key, attributes }
    };
    let wide: Vec<_> = (0..12).map(|i| format!("a{i}")).collect();
    let wide: Vec<_> = wide.iter().map(String::as_str).collect();
    let dogs = new("dev", "dog", &["name"]);
    let other_key = NewTable { primary_key: "key".into(), ..new("dev", "dog", &[]) };
    let of = |more: Vec<NewTable>| [vec![dogs.clone(), new("dev", "cat", &[])], more].concat();
    for (more, refused) in [
        ((0..3).map(|i| new("dev", &format!("t{i}"), &[])).collect(), "at most 4 tables"),
        (vec![new("b", "cat", &[]), new("c", "cat", &[])], "at most 2 databases"),
        (vec![new("dev", "bird", &wide)], "at most 20 attributes in all"),
        (vec![other_key], "has the primary key 'id'"),
        (vec![new("dev", "a\nb", &[])], "control characters"),
    ] {
        let made = text(data.ensure_tables(of(more), "node2").await);
        assert!(made.contains(refused), "{made}");
        assert_eq!(data.changes(1, 100).await.unwrap(), before, "{made}");
        assert_eq!(data.tables(None).await.unwrap().len(), 1, "{made}");
        assert_eq!(data.table(&dog()).await.unwrap().attributes.len(), 3, "{made}");
    }
    data.ensure_tables(of(vec![new("b", "cat", &["x"]), dogs.clone()]), "node2").await.unwrap();
    assert_eq!(data.tables(None).await.unwrap().len(), 3);
    assert_eq!(data.table(&dog()).await.unwrap().attributes.len(), 4);
    data.ensure_tables(of(vec![new("b", "cat", &["x"])]), "node2").await.unwrap();
}

// covers: layer.limits
#[tokio::test]
async fn all_tables_have_only_so_many_attributes() {
    let limits = DataLimits { all_attributes: 7, ..DataLimits::default() };
    let node = Node::with(limits).await;
    node.data.create_table(&dog(), "id", &[], "admin").await.unwrap();
    let text_of = "The tables of a node may have at most 7 attributes in all";
    let cat = name("dev", "cat");
    let wide = ["a", "b"].map(String::from);
    assert_eq!(text(node.data.create_table(&cat, "id", &wide, "admin").await), text_of);
    node.data.create_table(&cat, "id", &[], "admin").await.unwrap();
    node.write(Write::Insert, json!([{ "id": 1, "a": 1 }])).await.unwrap();
    assert_eq!(text(node.write(Write::Insert, json!([{ "id": 2, "b": 1 }])).await), text_of);
    assert_eq!(text(node.data.ensure_table(&cat, "id", &wide, "admin").await), text_of);
    node.data.drop_table(&cat).await.unwrap();
    node.write(Write::Insert, json!([{ "id": 2, "b": 1 }])).await.unwrap();
}
