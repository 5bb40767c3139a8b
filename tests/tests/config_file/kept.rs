//! What a write keeps: earlier versions, mode, owner, links, every other byte.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use harper_host::config::FILE_NAME;
use harper_host::{Change, Config, ErrorKind, Host};
use harper_tests::Node;
use serde_json::json;

use crate::{
    HEAD, HUB, TAIL, Writer, backups, file, hub, is_root, names, no_routes, node, route, set,
};

/// The same user without the rights of root, as which the checks of permissions count.
const NO_CAPABILITIES: &[&str] = &["setpriv", "--inh-caps=-all", "--bounding-set=-all"];

fn as_a_user() -> &'static [&'static str] {
    if is_root() { NO_CAPABILITIES } else { &[] }
}

// covers: routes.file.backup-newest-20
#[tokio::test]
async fn backups_of_the_newest_twenty() {
    let node = node().await;
    let mut texts = Vec::new();
    for n in 0..23 {
        texts.push(node.config().unwrap());
        set(&node.host, &format!("n{n}")).await.unwrap();
    }
    assert_eq!(backups(&node), texts[3..]);
    let folder = fs::metadata(node.folder.path().join("backup")).unwrap();
    assert_eq!(folder.mode() & 0o777, 0o700);
}

// covers: routes.file.backup-folder
#[tokio::test]
async fn a_backup_folder_that_is_a_link_or_a_file() {
    let node = node().await;
    let backup = node.folder.path().join("backup");
    fs::write(&backup, "not a folder").unwrap();
    let error = set(&node.host, "a").await.unwrap_err();
    let text = format!(
        "{FILE_NAME} cannot be written: no backup could be made: File exists (os error 17)"
    );
    assert_eq!((error.kind, error.message), (ErrorKind::Failed, text));
    assert_eq!(node.config().unwrap(), no_routes());
    assert_eq!(names(node.folder.path()), ["backup", FILE_NAME, &format!("{FILE_NAME}.lock")]);

    // Who wants the backups elsewhere makes a link, to another disk also; there are copies then.
    fs::remove_file(&backup).unwrap();
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    symlink(elsewhere.path(), &backup).unwrap();
    set(&node.host, "a").await.unwrap();
    assert_eq!(backups(&node), [no_routes()]);
    assert_eq!(names(elsewhere.path()).len(), 1);
}

// covers: routes.file.mode-and-owner-kept
#[tokio::test]
async fn mode_and_owner() {
    let node = node().await;
    let path = file(&node);
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    if is_root() {
        chown(&path, Some(65534), Some(65533)).unwrap();
    }
    let about = || {
        let metadata = fs::metadata(&path).unwrap();
        (metadata.mode(), metadata.uid(), metadata.gid())
    };
    let before = about();
    assert_eq!(before.0 & 0o7777, 0o640);
    set(&node.host, "a").await.unwrap();
    assert_eq!(about(), before);
    assert_eq!(hub(&node).await, ["a"]);

    // Who may not keep the owner does not write.
    if is_root() {
        chown(&path, Some(65534), None).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        let (before, text) = (about(), node.config().unwrap());
        let said = Writer::wrapped(as_a_user(), node.folder.path(), "b", 1, 1).run();
        let error =
            format!("Failed {FILE_NAME} cannot be written: Operation not permitted (os error 1)");
        assert_eq!(said.errors, [error]);
        assert_eq!((about(), node.config().unwrap()), (before, text));
    }
}

// covers: routes.file.symlink-followed
#[tokio::test]
async fn a_symbolic_link() {
    let node = node().await;
    let link = file(&node);
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("real.yaml");
    fs::rename(&link, &target).unwrap();
    symlink("real.yaml", elsewhere.path().join("relative")).unwrap();
    symlink(elsewhere.path().join("relative"), &link).unwrap();
    let before = fs::metadata(&target).unwrap().ino();

    set(&node.host, "a").await.unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), elsewhere.path().join("relative"));
    assert!(fs::symlink_metadata(&target).unwrap().is_file());
    assert_ne!(fs::metadata(&target).unwrap().ino(), before);
    assert_eq!(hub(&node).await, ["a"]);
    assert_eq!(backups(&node), [no_routes()]);
    // All who write the file lock the same one, by whatever link they come.
    assert_eq!(names(node.folder.path()), ["backup", FILE_NAME]);
    assert_eq!(names(elsewhere.path()), ["real.yaml", "real.yaml.lock", "relative"]);
}

// covers: routes.file.mounted
#[tokio::test]
async fn a_file_that_is_mounted() {
    let node = node().await;
    let path = file(&node);
    let unshare: &[&str] = if is_root() {
        &["unshare", "--mount"]
    } else {
        &["unshare", "--mount", "--map-root-user"]
    };
    let script = "mount --bind \"$0\" \"$0\" && exec \"$@\"";
    let wrapper = [unshare, &["sh", "-c", script, path.to_str().unwrap()]].concat();
    let said = Writer::wrapped(&wrapper, node.folder.path(), "a", 1, 2).run();
    let error = format!(
        "Failed {FILE_NAME} is mounted as a single file and cannot be replaced: \
         mount its folder instead"
    );
    assert_eq!(said.errors, [error.clone(), error]);
    assert_eq!(said.routes, Some(json!({ "hub": [], "leaf": [] })), "reading works");
    assert_eq!(node.config().unwrap(), no_routes());
    assert_eq!(names(node.folder.path()), ["backup", FILE_NAME, &format!("{FILE_NAME}.lock")]);
    assert_eq!(backups(&node), [""; 0], "failed writes push out no backups");
}

// covers: routes.file.disk-full
#[tokio::test]
async fn a_full_disk() {
    // The file is larger than what the writer may write: like a disk that is full halfway, and it
    // needs no rights. The plugin's memory, which is a file also, is smaller.
    let text = format!("{}#{}\n", no_routes(), "x".repeat(12 << 20));
    let node = Node::with_config(&text).await.unwrap();
    let wrapper = ["sh", "-c", "trap '' XFSZ && ulimit -f 8192 && exec \"$@\"", "sh"];
    let said = Writer::wrapped(&wrapper, node.folder.path(), "a", 1, 2).run();
    let error = format!("Failed {FILE_NAME} cannot be written: File too large (os error 27)");
    assert_eq!(said.errors, [error.clone(), error]);
    assert_eq!(said.routes, Some(json!({ "hub": [], "leaf": [] })), "reading works");
    assert_eq!(node.config().unwrap(), text);
    assert_eq!(names(node.folder.path()), [FILE_NAME, &format!("{FILE_NAME}.lock")]);

    set(&node.host, "a").await.unwrap();
    assert_eq!(hub(&node).await, ["a"]);
}

// covers: routes.file.folder-not-writable
#[tokio::test]
async fn a_folder_that_cannot_be_written() {
    let node = node().await;
    let folder = node.folder.path();
    let refused = |why: &str| {
        fs::set_permissions(folder, Permissions::from_mode(0o555)).unwrap();
        let said = Writer::wrapped(as_a_user(), folder, "a", 1, 1).run();
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(said.errors, [format!("Failed {FILE_NAME} cannot be written: {why}")]);
        assert_eq!(said.routes, Some(json!({ "hub": [], "leaf": [] })), "reading works");
    };
    refused("its lock file: Permission denied (os error 13)");
    fs::write(folder.join(format!("{FILE_NAME}.lock")), "").unwrap();
    refused("permission denied");
    assert_eq!(node.config().unwrap(), no_routes());
    assert_eq!(names(folder), [FILE_NAME, &format!("{FILE_NAME}.lock")]);
}

/// The folder holds the file's new name: who cannot sync it must not say that all is well.
// covers: routes.file.atomic
#[tokio::test]
async fn a_folder_that_cannot_be_synced() {
    let node = node().await;
    let folder = node.folder.path();
    fs::set_permissions(folder, Permissions::from_mode(0o300)).unwrap();
    let said = Writer::wrapped(as_a_user(), folder, "a", 1, 1).run();
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    let error = format!(
        "Failed {FILE_NAME} was written, but may not outlive a power failure: \
         Permission denied (os error 13)"
    );
    assert_eq!(said.errors, [error]);
    assert_eq!(hub(&node).await, ["a-0-0"]);
}

// covers: routes.file.unchanged
#[tokio::test]
async fn nothing_is_written_when_nothing_changes() {
    let node = node().await;
    set(&node.host, "a").await.unwrap();
    let path = file(&node);
    let about = || {
        let metadata = fs::metadata(&path).unwrap();
        (metadata.ino(), metadata.mtime_nsec(), metadata.ctime_nsec(), backups(&node).len())
    };
    let before = about();

    let reply = set(&node.host, "A.").await.unwrap();
    assert_eq!(reply["skipped"], json!([{ "host": "A.", "port": 9932 }]));
    let delete = json!({ "operation": "cluster_delete_routes", "routes": [route("b")] });
    assert_eq!(node.send(delete).await.unwrap()["skipped"], json!([route("b")]));
    let none = json!({ "operation": "cluster_set_routes", "server": "leaf", "routes": [] });
    node.send(none).await.unwrap();
    // A plugin may write what is there already.
    let config = harper_host::config::ConfigFile::open(&path).unwrap();
    let snapshot = config.get(vec![HUB.parse().unwrap()]).await.unwrap();
    let change = Change { path: HUB.parse().unwrap(), value: snapshot.values[0].clone() };
    let revision = config.set(snapshot.revision.clone(), vec![change]).await.unwrap();
    assert_eq!(revision, snapshot.revision);
    assert_eq!(about(), before);
}

// covers: routes.file.bytes-kept
#[tokio::test]
async fn every_other_byte_of_a_large_file() {
    let head: String = (0..2500).map(|n| format!("key{n}:  [{n}, 'x']   # {n}\r\n")).collect();
    let tail: String = (2500..5000).map(|n| format!("key{n}: &a{n} \"\\u00e9\" \t\r\n")).collect();
    let head = format!("\u{feff}# BOM and CRLF\r\n{head}");
    let [start, end] = [HEAD, TAIL].map(|text| text.replace('\n', "\r\n"));
    let text = format!("{head}{start} null{end}{tail}");
    let node = Node::with_config(&text).await.unwrap();
    set(&node.host, "a").await.unwrap();
    set(&node.host, "b").await.unwrap();
    let now = node.config().unwrap();
    let between = now
        .strip_prefix(&format!("{head}{start}"))
        .and_then(|rest| rest.strip_suffix(&format!("{end}{tail}")))
        .expect("every byte around the list");
    assert!(between.contains("host: a\r\n") && between.contains("host: b\r\n"), "{between:?}");
    assert_eq!(hub(&node).await, ["a", "b"]);

    let delete =
        json!({ "operation": "cluster_delete_routes", "routes": [route("a"), route("b")] });
    node.send(delete).await.unwrap();
    assert_eq!(node.config().unwrap(), text);
}

// covers: routes.file.ten-thousand
#[tokio::test]
async fn ten_thousand_routes() {
    let node = node().await;
    let routes: Vec<_> = (0..10_000)
        .map(|n| json!({ "host": format!("node-{n}.region-{}.example.org", n % 7), "port": 9932 }))
        .collect();
    let set_all = json!({ "operation": "cluster_set_routes", "server": "leaf", "routes": routes });
    let reply = node.send(set_all.clone()).await.unwrap();
    assert_eq!(reply["set"].as_array().unwrap().len(), 10_000);
    set(&node.host, "one-more").await.unwrap();
    let get = json!({ "operation": "cluster_get_routes" });
    let there = node.send(get.clone()).await.unwrap();
    assert_eq!(there, json!({ "hub": [route("one-more")], "leaf": routes }));
    let reply = node.send(set_all).await.unwrap();
    assert_eq!(reply["skipped"].as_array().unwrap().len(), 10_000);
    let delete = json!({ "operation": "cluster_delete_routes", "routes": routes });
    let reply = node.send(delete).await.unwrap();
    assert_eq!(reply["deleted"].as_array().unwrap().len(), 10_000);
    assert_eq!(node.send(get).await.unwrap(), json!({ "hub": [route("one-more")], "leaf": [] }));
}

/// Two nodes with one file, each with backups of its own.
// covers: routes.file.symlink-followed
#[tokio::test]
async fn two_links_to_one_file() {
    let one = node().await;
    let two = tempfile::tempdir().unwrap();
    symlink(file(&one), two.path().join(FILE_NAME)).unwrap();
    let other = Host::builder().root_path(two.path()).build().await.unwrap();
    set(&one.host, "a").await.unwrap();
    let before = one.config().unwrap();
    set(&other, "b").await.unwrap();
    assert_eq!(hub(&one).await, ["a", "b"]);
    assert_eq!(backups(&one), [no_routes()]);
    let backup = two.path().join("backup");
    let names = names(&backup);
    assert_eq!(names.len(), 1);
    assert_eq!(fs::read_to_string(backup.join(&names[0])).unwrap(), before);
}
