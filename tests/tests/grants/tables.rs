//! `tables`, by database and table, to read and to write apart, and which there are by itself.

use harper_host::data::{Data, DataConfig, Key};
use harper_host::store::Store;
use harper_host::{ComponentSource, Grants, Limits, TableName};
use harper_tests::{HOSTILE, Node};
use serde_json::{Value, json};

use crate::{Granted, denied, refused};

const CLUSTER: &str = "
nodes:
  - { name: node-b, subscriptions: [] }
tables:
  dev.dog: [id, name]
  dev.cat: [id]
  prod.dog: [id]
";

fn grants(read: &[&str], write: &[&str]) -> Grants {
    let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let mut grants = Grants::default();
    grants.tables.read = patterns(read);
    grants.tables.write = patterns(write);
    grants
}

async fn send(granted: &Granted, what: &str, table: &str, more: Value) -> Result<Value, String> {
    let (database, table) = table.split_once('.').unwrap();
    let mut request = json!({
        "operation": format!("hostile_tables_{what}"),
        "database": database,
        "table": table,
        "key": "1",
    });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    granted.send(request).await
}

fn denied_to(what: &str, table: &str) -> Result<Value, String> {
    denied(&format!("The plugin is not granted to {what} the table '{table}'"))
}

fn record() -> Value {
    json!({ "value": "{\"id\":\"1\"}" })
}

// covers: grants.tables
#[tokio::test]
async fn reading() {
    let granted = Granted::new(CLUSTER, grants(&["dev.dog"], &[])).await;
    assert_eq!(send(&granted, "get", "dev.dog", json!({})).await, Ok(json!(null)));
    let empty = json!({ "keys": [], "next": null });
    assert_eq!(send(&granted, "list", "dev.dog", json!({})).await, Ok(empty));
    for table in ["dev.cat", "prod.dog", "system.hdb_nodes", "system.hdb_user"] {
        for what in ["get", "list"] {
            assert_eq!(send(&granted, what, table, json!({})).await, denied_to("read", table));
        }
    }
    let written = send(&granted, "put", "dev.dog", record()).await;
    assert_eq!(written, denied_to("write", "dev.dog"), "read is not write");
    let deleted = send(&granted, "delete", "dev.dog", json!({ "expected": "1" })).await;
    assert_eq!(deleted, denied_to("write", "dev.dog"));
    assert_eq!(granted.calls(), 2);
}

// covers: grants.tables
#[tokio::test]
async fn writing() {
    let granted = Granted::new(CLUSTER, grants(&[], &["dev.*"])).await;
    assert_eq!(send(&granted, "put", "dev.dog", record()).await, Ok(json!("1")));
    // The record is not as expected: there is one now.
    assert_eq!(send(&granted, "put", "dev.dog", record()).await, Err("Error::Conflict".into()));
    let mut next = record();
    next["expected"] = json!("1");
    assert_eq!(send(&granted, "put", "dev.dog", next).await, Ok(json!("2")));
    assert_eq!(granted.fake.record("dev", "dog", "1"), Some(json!({ "id": "1" })));
    let stale = send(&granted, "delete", "dev.dog", json!({ "expected": "1" })).await;
    assert_eq!(stale, Err("Error::Conflict".into()));
    let deleted = send(&granted, "delete", "dev.dog", json!({ "expected": "2" })).await;
    assert_eq!(deleted, Ok(json!(null)));
    assert_eq!(granted.fake.record("dev", "dog", "1"), None);
    let asked = granted.calls();
    for table in ["prod.dog", "system.hdb_nodes"] {
        let written = send(&granted, "put", table, record()).await;
        assert_eq!(written, denied_to("write", table));
        let deleted = send(&granted, "delete", table, json!({ "expected": "1" })).await;
        assert_eq!(deleted, denied_to("write", table));
    }
    for what in ["get", "list"] {
        let read = send(&granted, what, "dev.dog", json!({})).await;
        assert_eq!(read, denied_to("read", "dev.dog"), "write is not read");
    }
    assert_eq!(granted.calls(), asked);
    let missing = send(&granted, "put", "dev.bird", record()).await;
    assert_eq!(missing, Err("Error::NotFound(\"Table 'dev.bird' does not exist\")".into()));
}

fn id() -> Value {
    json!({ "hash_attribute": "id" })
}

// covers: grants.tables
#[tokio::test]
async fn making() {
    let mut create = Grants::default();
    create.tables.create = vec!["dev.*".parse().unwrap()];
    let granted = Granted::new(CLUSTER, create).await;
    assert_eq!(send(&granted, "create", "dev.bird", id()).await, Ok(json!(null)));
    let all = async |tables: &[&str]| {
        granted.send(json!({ "operation": "hostile_tables_create_all", "tables": tables })).await
    };
    assert_eq!(all(&["dev.fish", "dev.frog"]).await, Ok(json!(null)));
    let asked = granted.calls();
    for table in ["prod.bird", "system.hdb_user"] {
        let made = send(&granted, "create", table, id()).await;
        assert_eq!(made, denied_to("create", table));
        assert_eq!(all(&["dev.horse", table]).await, denied_to("create", table), "not one of them");
    }
    let written = send(&granted, "put", "dev.bird", record()).await;
    assert_eq!(written, denied_to("write", "dev.bird"), "create is not write");
    assert_eq!(granted.calls(), asked);

    let granted = Granted::new(CLUSTER, grants(&["*.*"], &["*.*"])).await;
    let made = send(&granted, "create", "dev.bird", id()).await;
    assert_eq!(made, denied_to("create", "dev.bird"), "write is not create");
}

/// Not with a cluster that is not there, but with the node's own tables.
// covers: grants.tables
#[tokio::test]
async fn the_nodes_own_tables() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let data = Data::open(store, DataConfig::default()).await.unwrap();
    let table = |table: &str| TableName { database: "dev".into(), table: table.into() };
    for name in ["dog", "cat", "bird"] {
        data.create_table(&table(name), "id", &[], "admin").await.unwrap();
    }
    let mut grants = grants(&["dev.dog"], &["dev.cat"]);
    grants.tables.describe = true;
    let node = Node::with("", |host| {
        let component = ComponentSource::bytes(HOSTILE);
        host.tables(data.clone()).plugin("hostile", component, grants, Limits::default())
    });
    let node = node.await.unwrap();
    let send = async |what: &str, table: &str, more: Value| {
        let mut request = json!({
            "operation": format!("hostile_tables_{what}"), "database": "dev", "table": table,
            "key": "1",
        });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        node.send(request).await.map_err(|error| error.message)
    };
    let row = |id: u64| [("id".to_owned(), json!(id)), ("name".to_owned(), json!("Penny"))];
    let rows = vec![row(1).into_iter().collect(), row(2).into_iter().collect()];
    data.write(&table("dog"), harper_host::data::Write::Insert, rows, "admin").await.unwrap();

    let keys = json!({ "keys": ["1", "2"], "next": null });
    assert_eq!(send("list", "dog", json!({})).await, Ok(keys));
    assert!(send("get", "dog", json!({})).await.unwrap().to_string().contains("Penny"));
    let number = json!({ "value": "{\"id\":1}" });
    let revision = send("put", "cat", number.clone()).await.unwrap();
    let again = send("put", "cat", number).await;
    assert_eq!(again, Err("Error::Conflict".into()));
    let of_another = send("put", "cat", record()).await;
    let text = "Error::InvalidRequest(\"'id' of a record must be its key\")";
    assert_eq!(of_another, Err(text.into()));
    let key = || vec![Key::try_from(&json!(1)).unwrap()];
    assert_eq!(data.get(&table("cat"), key()).await.unwrap().len(), 1);
    let deleted = send("delete", "cat", json!({ "expected": revision })).await;
    assert_eq!(deleted, Ok(json!(null)));
    assert!(data.get(&table("cat"), key()).await.unwrap().is_empty());
    let described = node.send(json!({ "operation": "hostile_tables_describe" })).await.unwrap();
    assert_eq!(described, json!(["dev.bird", "dev.cat", "dev.dog"]), "and none of system");

    for (what, of, name) in
        [("read", "get", "cat"), ("read", "list", "bird"), ("write", "put", "dog")]
    {
        let refused = send(of, name, record()).await;
        assert_eq!(refused, denied_to(what, &format!("dev.{name}")));
    }
    let refused = send("delete", "dog", json!({ "expected": "1" })).await;
    assert_eq!(refused, denied_to("write", "dev.dog"));
    assert_eq!(data.get(&table("dog"), key()).await.unwrap().len(), 1);
}

// covers: grants.tables
#[tokio::test]
async fn a_record_is_a_json_object() {
    let granted = Granted::new(CLUSTER, grants(&[], &["dev.dog"])).await;
    for value in ["", "{", "1", "[]", "null", "\"x\""] {
        let error = send(&granted, "put", "dev.dog", json!({ "value": value })).await.unwrap_err();
        assert!(error.starts_with("Error::InvalidRequest(\"The record is no"), "{error}");
    }
    assert_eq!(granted.calls(), 0);
}

// covers: grants.tables
#[tokio::test]
async fn which_tables_there_are() {
    let mut describe = Grants::default();
    describe.tables.describe = true;
    let granted = Granted::new(CLUSTER, describe).await;
    let request = json!({ "operation": "hostile_tables_describe" });
    let all = json!(["dev.cat", "dev.dog", "prod.dog"]);
    assert_eq!(granted.send(request.clone()).await, Ok(all), "and none of system");
    assert_eq!(send(&granted, "get", "dev.dog", json!({})).await, denied_to("read", "dev.dog"));

    let granted = Granted::new(CLUSTER, grants(&["dev.*"], &["dev.*"])).await;
    let text = "The plugin is not granted to know which tables there are";
    assert_eq!(granted.send(request).await, denied(text));
}

// covers: grants.tables
#[tokio::test]
async fn nothing_is_granted_unless_it_is() {
    let granted = Granted::new(CLUSTER, Grants::default()).await;
    assert_eq!(send(&granted, "get", "dev.dog", json!({})).await, denied_to("read", "dev.dog"));
    assert_eq!(send(&granted, "put", "dev.dog", record()).await, denied_to("write", "dev.dog"));
    assert_eq!(granted.calls(), 0);
}

// covers: grants.reserved
#[tokio::test]
async fn the_database_system_is_for_nobody_else() {
    for pattern in ["system.hdb_nodes", "system.*"] {
        let text = format!(
            "plugin 'hostile' cannot have all of its grants: the grant '{pattern}' reaches \
             'system.*', which is the cluster's own"
        );
        assert_eq!(refused(grants(&[pattern], &[])).await, text);
        assert_eq!(refused(grants(&["dev.*"], &[pattern])).await, text);
    }
    Granted::new("{}", grants(&["systems.*"], &["dev.system"])).await;
}
