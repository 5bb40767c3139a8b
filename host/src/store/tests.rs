//! Tests of the file: who may open it, and what stays in it.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use redb::{Database, TableDefinition};
use serde_json::json;

use super::open::META;
use super::records;
use super::*;
use crate::capabilities::{TableName, Tables, TablesError};

fn bob() -> User {
    User {
        username: "bob".into(),
        role: "reader".into(),
        active: true,
        password_hash: "none".into(),
        created: 1,
        updated: 2,
    }
}

async fn refusal(root: &Path) -> String {
    Store::open(root).await.err().expect("a refusal").to_string()
}

// covers: http.auth.system-database
#[tokio::test]
async fn users_outlive_the_process_and_nobody_else_reads_them() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).await.unwrap();
    assert!(store.add_user(bob()).await.unwrap());
    assert!(!store.add_user(bob()).await.unwrap());
    drop(store);
    let file = root.path().join("database/harper.redb");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(file.parent().unwrap()), mode(&file)), (0o700, 0o600));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(file.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
        drop(Store::open(root.path()).await.unwrap());
        assert_eq!((mode(file.parent().unwrap()), mode(&file)), (0o700, 0o600), "closed again");
    }
    let store = Store::open(root.path()).await.unwrap();
    assert_eq!(store.user("bob").await.unwrap(), Some(bob()));
    assert_eq!(store.user("eve").await.unwrap(), None);
}

#[tokio::test]
async fn a_change_is_whole_or_not_at_all() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).await.unwrap();
    let unknown = store.change_user("bob", "super_user", |_| unreachable!()).await.unwrap();
    assert_eq!(unknown, Changed::Unknown);
    store.add_user(bob()).await.unwrap();
    let broken = store.change_user("bob", "super_user", |user| {
        user.active = false;
        panic!("on purpose");
    });
    assert!(matches!(broken.await, Err(Error::Lost)));
    assert_eq!(store.user("bob").await.unwrap(), Some(bob()));
    let renamed = store.change_user("bob", "super_user", |user| user.username = "eve".into());
    assert_eq!(renamed.await.unwrap(), Changed::Done);
    assert_eq!(store.user("bob").await.unwrap(), Some(bob()), "the key is the name");
    assert_eq!(store.remove_user("bob", "super_user").await.unwrap(), Changed::Done);
    assert_eq!(store.remove_user("bob", "super_user").await.unwrap(), Changed::Unknown);
}

/// As a start would that is killed before its first commit: what it has begun has another name.
#[test]
fn the_file_has_its_name_only_once_it_is_whole() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("database");
    let file = folder.join("harper.redb");
    fs::create_dir(&folder).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let deadline = Instant::now() + Duration::from_secs(30);
            while !file.exists() {
                assert!(Instant::now() < deadline, "there is no file");
                std::hint::spin_loop();
            }
            fs::read(&file).unwrap()
        });
        scope.spawn(|| runtime.block_on(Store::open(root.path())).map(drop).unwrap());
        assert!(watcher.join().unwrap().starts_with(b"redb"), "from its first moment on");
    });
}

#[tokio::test]
async fn one_process_at_a_time() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).await.unwrap();
    let file = root.path().join("database/harper.redb");
    let expected = format!("{} is in use by another harper-host", file.display());
    assert_eq!(refusal(root.path()).await, expected);
    drop(store);
    Store::open(root.path()).await.unwrap();
}

#[tokio::test]
async fn a_file_of_a_later_release_or_of_another_program_is_refused() {
    let root = tempfile::tempdir().unwrap();
    drop(Store::open(root.path()).await.unwrap());
    let file = root.path().join("database/harper.redb");
    let set = |version: Option<u64>| {
        let database = Database::open(&file).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut meta = transaction.open_table(META).unwrap();
        match version {
            Some(version) => drop(meta.insert("schema_version", version).unwrap()),
            None => drop(meta.remove("schema_version").unwrap()),
        }
        drop(meta);
        transaction.commit().unwrap();
    };
    set(Some(4));
    assert!(
        refusal(root.path()).await.contains("has schema version 4, this harper-host knows up to 3")
    );
    for version in [None, Some(0)] {
        set(version);
        assert!(refusal(root.path()).await.ends_with("was not written by harper-host"));
    }
    set(Some(3));
    drop(Store::open(root.path()).await.unwrap());

    fs::remove_file(&file).unwrap();
    let database = Database::create(&file).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<&str, u64>::new("theirs")).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(refusal(root.path()).await.ends_with("was not written by harper-host"));
    fs::write(&file, "no database").unwrap();
    assert!(refusal(root.path()).await.contains("cannot be read"));
}

/// As a full disk or a restore that was broken off leaves it: not taken for a new node.
// covers: http.auth.empty-database
#[tokio::test]
async fn an_empty_file_is_refused() {
    let root = tempfile::tempdir().unwrap();
    drop(Store::open(root.path()).await.unwrap());
    let file = root.path().join("database/harper.redb");
    fs::write(&file, "").unwrap();
    assert!(refusal(root.path()).await.contains("is empty, and the users that it held are gone"));
    assert_eq!(fs::metadata(&file).unwrap().len(), 0);
    drop(Database::create(&file).unwrap());
    assert!(refusal(root.path()).await.ends_with("was not written by harper-host"));
    fs::remove_file(&file).unwrap();
    drop(Store::open(root.path()).await.unwrap());
}

#[tokio::test]
async fn what_a_start_that_was_killed_has_left_is_removed() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("database");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join(".harper.redb.new-x"), "half of it").unwrap();
    fs::write(folder.join("mine"), "").unwrap();
    for _ in 0..2 {
        drop(Store::open(root.path()).await.unwrap());
        let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, ["harper.redb", "mine"]);
    }
}

/// Each removes what the other leaves, and neither stumbles over that.
#[test]
fn of_two_first_starts_at_once_one_is_told_that_the_other_has_it() {
    for _ in 0..20 {
        let root = tempfile::tempdir().unwrap();
        let open = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(Store::open(root.path()))
        };
        let both = std::thread::scope(|scope| {
            [scope.spawn(open), scope.spawn(open)].map(|start| start.join().unwrap())
        });
        let [one, other] = both.each_ref().map(Result::is_ok);
        assert!(one != other, "{:?}", both.map(|opened| opened.err().map(|e| e.to_string())));
    }
}

/// As the first release left it: users, and nothing of nodes.
#[tokio::test]
async fn a_file_of_an_earlier_release_is_brought_up_to_date() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("database");
    fs::create_dir(&folder).unwrap();
    let database = Database::create(folder.join("harper.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let users = TableDefinition::<&str, &[u8]>::new("system.users");
    let record = serde_json::to_vec(&bob()).unwrap();
    transaction.open_table(users).unwrap().insert("bob", record.as_slice()).unwrap();
    transaction.open_table(META).unwrap().insert("schema_version", 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    for _ in 0..2 {
        let store = Store::open(root.path()).await.unwrap();
        assert_eq!(store.user("bob").await.unwrap(), Some(bob()));
        assert_eq!(store.node("node2").await.unwrap(), None);
    }
    let store = Store::open(root.path()).await.unwrap();
    store.put_node("node2", json!({}), None).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_node_is_written_by_whoever_knows_its_last_state() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).await.unwrap();
    let first = store.put_node("node2", json!({ "n": 1 }), None).await.unwrap().unwrap();
    assert_eq!(store.put_node("node2", json!({ "n": 2 }), None).await.unwrap(), Err(Stale));
    let second = store.put_node("node2", json!({ "n": 3 }), Some(first)).await.unwrap().unwrap();
    assert_eq!(store.put_node("node2", json!({ "n": 4 }), Some(first)).await.unwrap(), Err(Stale));
    assert_eq!(store.remove_node("node2", first).await.unwrap(), Err(Stale));
    assert_eq!(store.put_node("node3", json!({}), Some(second)).await.unwrap(), Err(Stale));
    let stored = Record { revision: second, record: json!({ "n": 3 }) };
    assert_eq!(store.nodes().await.unwrap(), [("node2".to_owned(), stored)]);
    store.remove_node("node2", second).await.unwrap().unwrap();
    assert_eq!(store.remove_node("node2", second).await.unwrap(), Err(Stale));
    // What is made anew is another record.
    let third = store.put_node("node2", json!({ "n": 3 }), None).await.unwrap().unwrap();
    assert!(third > second);
    assert_eq!(store.put_node("node2", json!({}), Some(second)).await.unwrap(), Err(Stale));
}

// covers: nats.name.renamed
#[tokio::test]
async fn a_node_that_others_know_keeps_its_name() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).await.unwrap();
    for name in ["node1", "another", "another"] {
        store.take_name(name).await.unwrap().unwrap();
    }
    let revision = store.put_node("node2", json!({}), None).await.unwrap().unwrap();
    store.take_name("another").await.unwrap().unwrap();
    let refused = store.take_name("node1").await.unwrap().unwrap_err();
    assert_eq!(refused, Renamed { before: "another".into(), nodes: 1 });
    store.take_name("another").await.unwrap().unwrap();
    store.remove_node("node2", revision).await.unwrap().unwrap();
    store.take_name("node1").await.unwrap().unwrap();
}

#[tokio::test]
async fn of_two_writers_one_is_told_to_look_again() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).await.unwrap();
    let count = async |store: Store| {
        loop {
            let found = store.node("node2").await.unwrap();
            let now = found.as_ref().map_or(0, |found| found.record.as_u64().unwrap());
            let expected = found.map(|found| found.revision);
            if store.put_node("node2", json!(now + 1), expected).await.unwrap().is_ok() {
                break;
            }
        }
    };
    let writers = (0..16).map(|_| tokio::spawn(count(store.clone())));
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(store.node("node2").await.unwrap().unwrap().record, json!(16));
}

#[tokio::test]
async fn a_root_that_cannot_be_used_is_named() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("database"), "a file").unwrap();
    assert!(refusal(root.path()).await.contains("database cannot be opened: "));
}

/// As the second release left it: nodes, and nothing of what adding them needs.
#[tokio::test]
async fn records_of_nodes_of_an_earlier_release_are_kept() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("database");
    fs::create_dir(&folder).unwrap();
    let database = Database::create(folder.join("harper.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let nodes = TableDefinition::<&str, &[u8]>::new("system.hdb_nodes");
    let record = json!({ "revision": 7, "record": { "name": "node2" } }).to_string();
    transaction.open_table(nodes).unwrap().insert("node2", record.as_bytes()).unwrap();
    let mut meta = transaction.open_table(META).unwrap();
    meta.insert("schema_version", 2).unwrap();
    meta.insert("hdb_nodes_revision", 7).unwrap();
    drop(meta);
    transaction.commit().unwrap();
    drop(database);
    let store = Store::open(root.path()).await.unwrap();
    let stored = Record { revision: 7, record: json!({ "name": "node2" }) };
    assert_eq!(store.node("node2").await.unwrap(), Some(stored));
    assert_eq!(store.put_node("node3", json!({}), None).await.unwrap(), Ok(8));
    assert!(store.durables().await.unwrap().is_empty());
    let intents = TableName { database: "system".into(), table: "hdb_intents".into() };
    assert_eq!(store.get(intents, "node2".into()).await, Ok(None));
}

// covers: store.intents
#[tokio::test]
async fn intents_are_records_of_their_own() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).await.unwrap();
    let intents = || TableName { database: "system".into(), table: "hdb_intents".into() };
    let intent = json!({ "node": "node2", "operation": "add_node", "before": null });
    let put = async |expected: Option<String>| {
        store.put(intents(), "node2".into(), intent.clone(), expected).await
    };
    let revision = put(None).await.unwrap();
    assert_eq!(put(None).await, Err(TablesError::Conflict), "another is under way");
    let changed = put(Some(revision.clone())).await.unwrap();
    let found = store.get(intents(), "node2".into()).await.unwrap().unwrap();
    assert_eq!((&found.revision, &found.record), (&changed, &intent.to_string()));
    assert_eq!(store.node("node2").await.unwrap(), None);
    assert_eq!(store.list(intents(), None).await.unwrap().rows, [found]);
    let other = store.put(intents(), "node3".into(), intent.clone(), None).await;
    assert_eq!(
        other,
        Err(TablesError::InvalidRequest("'node' of a record must be its key".into()))
    );
    let stale = store.delete(intents(), "node2".into(), revision).await;
    assert_eq!(stale, Err(TablesError::Conflict));
    assert_eq!(*store.node_changes().borrow(), 0);
    drop(store);
    // What a crash leaves is there afterwards.
    let store = Store::open(root.path()).await.unwrap();
    store.delete(intents(), "node2".into(), changed).await.unwrap();
    assert_eq!(store.list(intents(), None).await.unwrap().rows, []);
}

#[tokio::test]
async fn whoever_follows_the_nodes_is_told_what_changed() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).await.unwrap();
    let changes = store.node_changes();
    let one = store.put_node("one", json!({ "n": 1 }), None).await.unwrap().unwrap();
    let two = store.put_node("two", json!("two"), None).await.unwrap().unwrap();
    store.put_node("two", json!({}), None).await.unwrap().unwrap_err();
    assert_eq!(*changes.borrow(), 2);

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Numbered {
        n: u32,
    }
    let all = store.nodes_changed::<Numbered>(BTreeMap::new()).await.unwrap();
    let [(first, revision, Ok(record)), (second, other, Err(_))] = &all.written[..] else {
        panic!("one of two can be read")
    };
    assert_eq!((&**first, *revision, record), ("one", one, &Numbered { n: 1 }));
    assert_eq!((&**second, *other), ("two", two));
    assert!(all.removed.is_empty());

    store.remove_node("one", one).await.unwrap().unwrap();
    assert_eq!(*changes.borrow(), 3);
    let known = BTreeMap::from([("one".to_owned(), one), ("two".to_owned(), two)]);
    let since = store.nodes_changed::<Numbered>(known).await.unwrap();
    assert!(since.written.is_empty());
    assert_eq!(since.removed, ["one"]);
}

#[tokio::test]
async fn durables_are_remembered_by_node_and_stream() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).await.unwrap();
    let durable = |start| Durable { name: "node1-leaf_node2".into(), start };
    let starts = [
        Start::Now,
        Start::Time("2026-01-01T00:00:00Z".into()),
        Start::After { created: None, sequence: 0 },
        Start::After { created: Some("2026-01-01T00:00:00.1Z".into()), sequence: 7 },
    ];
    let all: Durables =
        starts.into_iter().enumerate().map(|(n, start)| (n.to_string(), durable(start))).collect();
    store.remember_durables("node2", all.clone()).await.unwrap();
    let one = Durables::from([("0".to_owned(), durable(Start::Now))]);
    store.remember_durables("node3", one.clone()).await.unwrap();
    drop(store);
    let store = Store::open(root.path()).await.unwrap();
    let expected = BTreeMap::from([("node2".to_owned(), all.clone()), ("node3".to_owned(), one)]);
    assert_eq!(store.durables().await.unwrap(), expected);
    store.forget_durables("node3", vec!["0".into()]).await.unwrap();
    store.forget_durables("node2", vec!["1".into(), "2".into(), "9".into()]).await.unwrap();
    let left: Durables = all.into_iter().filter(|(n, _)| n == "0" || n == "3").collect();
    assert_eq!(store.durables().await.unwrap(), BTreeMap::from([("node2".to_owned(), left)]));
}

#[tokio::test]
async fn records_of_nodes_are_not_kept_without_end() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).await.unwrap();
    let fill = |t: &WriteTransaction| {
        let mut table = t.open_table(records::NODES.table)?;
        for n in 0..9_999 {
            let record = json!({ "revision": 1, "record": {} }).to_string();
            table.insert(n.to_string().as_str(), record.as_bytes())?;
        }
        Ok(())
    };
    store.write(fill).await.unwrap();
    let last = store.put_node("last", json!({}), None).await.unwrap().unwrap();
    let over = store.put_node("over", json!({}), None).await;
    assert!(matches!(over, Err(Error::TooMany(10_000))), "{over:?}");
    let last = store.put_node("last", json!({ "n": 1 }), Some(last)).await.unwrap().unwrap();
    store.remove_node("last", last).await.unwrap().unwrap();
    store.put_node("over", json!({}), None).await.unwrap().unwrap();
}
