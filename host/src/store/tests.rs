//! Tests of the file: who may open it, and what stays in it.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use redb::{Database, TableDefinition};
use serde_json::json;

use super::open::META;
use super::*;

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
    set(Some(2));
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
