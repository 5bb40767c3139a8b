//! What is no configuration file, and what must not be written into one.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use harper_host::config::{ConfigFile, FILE_NAME, Overrides};
use harper_host::{Change, Config, ConfigError, ErrorKind, Host};
use serde_json::json;
use tokio::time::timeout;

use crate::{HUB, SOON, file, hub, names, no_routes, node, set};

const MOST_BYTES: u64 = 32 << 20;

/// Puts something else at the file's place: both operations say `text` soon, and nothing is done.
async fn check(put: impl FnOnce(&Path), text: &str) {
    let node = node().await;
    let path = file(&node);
    fs::remove_file(&path).unwrap();
    put(&path);
    let before = fs::symlink_metadata(&path).unwrap();
    let get = json!({ "operation": "cluster_get_routes" });
    for reply in [
        timeout(SOON, set(&node.host, "a")).await.unwrap(),
        timeout(SOON, node.send(get)).await.unwrap(),
    ] {
        let error = reply.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Failed, text));
    }
    assert_eq!(ConfigFile::open(&path).unwrap_err().to_string(), text);
    let after = fs::symlink_metadata(&path).unwrap();
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    assert_eq!(names(node.folder.path()), [FILE_NAME]);

    if path.is_dir() {
        fs::remove_dir(&path).unwrap();
    } else {
        fs::remove_file(&path).unwrap();
    }
    fs::write(&path, no_routes()).unwrap();
    set(&node.host, "a").await.unwrap();
    assert_eq!(hub(&node).await, ["a"]);
}

// covers: routes.file.not-utf8
#[tokio::test]
async fn not_text() {
    let put = |path: &Path| fs::write(path, b"a: 1\nb: 2\nc: \xff\n").unwrap();
    check(put, "harperdb-config.yaml is not valid UTF-8 on line 3").await;
}

// covers: routes.file.not-a-file
#[tokio::test]
async fn no_file() {
    let text = "harperdb-config.yaml is not a file of at most 33554432 bytes";
    check(|path| fs::create_dir(path).unwrap(), text).await;
    check(|path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success()), text).await;
    check(|path| File::create(path).unwrap().set_len(MOST_BYTES + 1).unwrap(), text).await;
    check(|path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(), text).await;
}

// covers: routes.file.not-a-file
#[tokio::test]
async fn a_link_to_nothing() {
    let text = "harperdb-config.yaml cannot be read: No such file or directory (os error 2)";
    check(|path| std::os::unix::fs::symlink("nothing", path).unwrap(), text).await;
}

// covers: routes.file.invalid-yaml
#[tokio::test]
async fn no_yaml() {
    let put = |path: &Path| fs::write(path, "a: 1\nb: [1\nc: 2\n").unwrap();
    let node = node().await;
    put(&file(&node));
    let text = ConfigFile::open(file(&node)).unwrap_err().to_string();
    assert!(text.starts_with("harperdb-config.yaml, line 3, column 2: not valid YAML"), "{text}");
    check(put, &text).await;
}

/// What could not be read again is not written.
// covers: routes.file.too-large
#[tokio::test]
async fn a_change_that_makes_the_file_too_large() {
    let node = node().await;
    let path = file(&node);
    let mut text = no_routes();
    let room = usize::try_from(MOST_BYTES).unwrap() - text.len();
    text.extend(["#", &"x".repeat(room - 2), "\n"]);
    fs::write(&path, &text).unwrap();
    assert_eq!(hub(&node).await, [""; 0]);
    let error = set(&node.host, "a").await.unwrap_err();
    assert_eq!(error.message, "harperdb-config.yaml would be larger than 33554432 bytes");
    assert_eq!(names(node.folder.path()), [FILE_NAME]);
    assert!(fs::read_to_string(&path).unwrap() == text, "it stays as it was");
}

fn variable(name: &str, value: &str) -> [(String, String); 1] {
    [(name.into(), value.into())]
}

// covers: routes.file.override-refused
#[tokio::test]
async fn overrides() {
    for name in
        ["CLUSTERING_HUBSERVER_CLUSTER_NETWORK_ROUTES", "CLUSTERING_LEAFSERVER_NETWORK_ROUTES"]
    {
        assert!(Overrides::from_variables(variable(name, "")).is_ok(), "an empty one is none");
        for value in ["[]", "null", "[{\"host\":\"a\",\"port\":1}]"] {
            let error = Overrides::from_variables(variable(name, value)).unwrap_err().to_string();
            let start = format!("{name} is set, but 'clustering.");
            assert!(error.starts_with(&start), "{error}");
            assert!(
                error.ends_with(
                    "cannot be set by the environment: use cluster_set_routes or the file"
                ),
                "{error}"
            );
        }
    }

    // Any other lies over the file and never gets into it.
    let node = node().await;
    let overrides =
        Overrides::from_variables(variable("OPERATIONSAPI_NETWORK_PORT", "8123")).unwrap();
    let config = ConfigFile::with_overrides(file(&node), overrides).unwrap();
    assert_eq!(config.document().unwrap()["operationsApi"]["network"]["port"], 8123);
    let host = Host::builder().config(config.clone()).build().await.unwrap();
    set(&host, "a").await.unwrap();
    assert_eq!(hub(&node).await, ["a"]);
    let text = node.config().unwrap();
    assert!(!text.contains("8123") && !text.contains("operationsApi"), "{text}");

    // Nor is a value written that would not show.
    let port = "operationsApi.network.port".parse().unwrap();
    let snapshot = config.get(vec![HUB.parse().unwrap(), port]).await.unwrap();
    assert_eq!(snapshot.values[1], 8123);
    let change = Change { path: "operationsApi.network.port".parse().unwrap(), value: json!(1) };
    let error = config.set(snapshot.revision, vec![change]).await.unwrap_err();
    let expected = "'operationsApi.network.port' is set by the environment variable \
                    OPERATIONSAPI_NETWORK_PORT, so a change in the file would not show";
    assert_eq!(error, ConfigError::Other(expected.into()));
    assert_eq!(node.config().unwrap(), text);
}
