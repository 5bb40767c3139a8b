//! An operation that is described as one that changes nothing changes nothing, whatever is granted:
//! its calls do not stand in the audit log. Each write is made twice, by an operation that says that it
//! changes something and by one that does not.

use harper_host::audit::AuditLog;
use harper_host::{ComponentSource, Grants, Limits};
use harper_tests::hostile::hostile;
use harper_tests::{HOSTILE, Node};
use serde_json::{Value, json};

use crate::{Granted, denied};

const CLUSTER: &str = "
tables:
  dev.dog: [id, name]
streams:
  node-a-leaf/dogs: 10
";

fn everything() -> Grants {
    let mut grants = Grants::default();
    grants.config.read.push("a.*".parse().unwrap());
    grants.config.write.push("a.*".parse().unwrap());
    grants.jetstream.purge.push("*/*".parse().unwrap());
    grants.jetstream.inspect.push("*/*".parse().unwrap());
    for list in [&mut grants.tables.read, &mut grants.tables.write, &mut grants.tables.create] {
        list.push("*.*".parse().unwrap());
    }
    grants
}

/// What a plugin with all these grants is told, by an operation that changes something and by one that
/// does not; and how often the node was asked.
async fn both(request: &Value) -> [(Result<Value, String>, usize); 2] {
    let one = Granted::new(CLUSTER, everything()).await;
    let other = Granted::changing_nothing(CLUSTER, everything()).await;
    let (allowed, refused) = (one.send(request.clone()).await, other.send(request.clone()).await);
    [(allowed, one.calls()), (refused, other.calls())]
}

fn refused(operation: &str, what: &str) -> Result<Value, String> {
    denied(&format!(
        "The operation '{operation}' is described as one that changes nothing, and must not {what}"
    ))
}

// covers: grants.changes
#[tokio::test]
async fn no_record_is_written() {
    let request = json!({
        "operation": "hostile_tables_put", "database": "dev", "table": "dog", "key": "1",
        "value": "{\"id\":\"1\"}",
    });
    let [allowed, not] = both(&request).await;
    assert_eq!(allowed, (Ok(json!("1")), 1));
    assert_eq!(not, (refused("hostile_tables_put", "write the table 'dev.dog'"), 0));
}

// covers: grants.changes
#[tokio::test]
async fn no_record_is_deleted() {
    let request = json!({
        "operation": "hostile_tables_delete", "database": "dev", "table": "dog", "key": "1",
        "expected": "1",
    });
    let [allowed, not] = both(&request).await;
    assert_eq!(allowed, (Err("Error::Conflict".into()), 1), "there is none");
    assert_eq!(not, (refused("hostile_tables_delete", "write the table 'dev.dog'"), 0));
}

// covers: grants.changes
#[tokio::test]
async fn no_table_is_made() {
    let request = json!({
        "operation": "hostile_tables_create", "database": "dev", "table": "cat",
        "hash_attribute": "id",
    });
    let [allowed, not] = both(&request).await;
    assert_eq!(allowed, (Ok(Value::Null), 1));
    assert_eq!(not, (refused("hostile_tables_create", "create the table 'dev.cat'"), 0));

    let request =
        json!({ "operation": "hostile_tables_create_all", "tables": ["dev.cat", "dev.dog"] });
    let [allowed, not] = both(&request).await;
    assert_eq!(allowed, (Ok(Value::Null), 2));
    assert_eq!(not, (refused("hostile_tables_create_all", "create the table 'dev.cat'"), 0));
}

// covers: grants.changes
#[tokio::test]
async fn no_stream_is_purged() {
    let request = json!({
        "operation": "hostile_jetstream_purge", "domain": "node-a-leaf", "stream": "dogs",
    });
    let [allowed, not] = both(&request).await;
    assert_eq!(allowed, (Ok(json!(10)), 1));
    assert_eq!(not, (refused("hostile_jetstream_purge", "purge 'node-a-leaf/dogs'"), 0));
}

// covers: grants.changes
#[tokio::test]
async fn the_configuration_is_not_written() {
    const CONFIG: &str = "a:\n  b: 1\n";
    for (component, changes) in
        [(HOSTILE.to_vec(), true), (hostile(&json!({ "changes": false })), false)]
    {
        let node = Node::with(CONFIG, |host| {
            let component = ComponentSource::bytes(component);
            host.plugin("hostile", component, everything(), Limits::default())
        });
        let node = node.await.unwrap();
        let ask = async |request| node.send(request).await.map_err(|error| error.message);
        let set = json!({ "operation": "hostile_config_set", "path": "a.b", "value": "7" });
        match changes {
            // The request names no revision, which is looked at only once it is allowed.
            true => assert_eq!(ask(set).await, Err("Error::Conflict".into())),
            false => assert_eq!(ask(set).await, refused("hostile_config_set", "write 'a.b'")),
        }
        let get = json!({ "operation": "hostile_config_get", "path": "a.b" });
        assert_eq!(ask(get).await, Ok(json!(["1"])), "to read is to change nothing");
        assert_eq!(node.config().unwrap(), CONFIG);
    }
}

/// What was granted and written stands there; what would not stand there was not written.
// covers: grants.changes
#[tokio::test]
async fn whatever_is_written_stands_in_the_audit_log() {
    for (changes, lines) in [(true, 1), (false, 0)] {
        let folder = tempfile::tempdir().unwrap();
        let audit = AuditLog::open(folder.path(), 1 << 20, 1).unwrap();
        let fake = harper_host::testing::FakeNode::new(serde_yaml::from_str(CLUSTER).unwrap());
        let node = Node::with("", |host| {
            let component = ComponentSource::bytes(hostile(&json!({ "changes": changes })));
            let host = fake.give_to(host).audit(audit);
            host.plugin("hostile", component, everything(), Limits::default())
        });
        let node = node.await.unwrap();
        let put = json!({
            "operation": "hostile_tables_put", "database": "dev", "table": "dog", "key": "1",
            "value": "{\"id\":\"1\"}",
        });
        assert_eq!(node.send(put).await.is_ok(), changes);
        assert_eq!(fake.record("dev", "dog", "1").is_some(), changes);
        let text = std::fs::read_to_string(folder.path().join("log/audit.log")).unwrap();
        assert_eq!(text.lines().count(), lines, "{text}");
    }
}
