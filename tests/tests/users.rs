//! Users as an administrator meets them: over HTTP, on a node with a database and an audit log.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use futures_util::future::join_all;
use harper_host::config::{FILE_NAME, create_if_missing};
use harper_host::store::Store;
use harper_host::users::Users;
use harper_tests::api::{ApiNode, ask};
use serde_json::{Value, json};

struct Node {
    api: ApiNode,
    root: tempfile::TempDir,
}

impl Node {
    /// With the super_user `admin:right`.
    async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        create_if_missing(&root.path().join(FILE_NAME)).unwrap();
        let users = Users::open(Store::open(root.path()).await.unwrap(), Duration::ZERO);
        users.create_first_super_user("admin", "right").await.unwrap();
        drop(users);
        Self { api: ApiNode::start(root.path()).await.unwrap(), root }
    }

    async fn call(&self, login: &str, request: Value) -> (u16, Value) {
        let login = format!("Authorization: Basic {}", Base64::encode_string(login.as_bytes()));
        let headers = ["Content-Type: application/json".to_owned(), login];
        let body = request.to_string();
        let reply = ask(self.api.address, "POST /", &headers, body.as_bytes()).await.unwrap();
        (reply.status, serde_json::from_str(&reply.body).unwrap())
    }

    async fn status(&self, login: &str) -> u16 {
        self.call(login, json!({ "operation": "user_info" })).await.0
    }
}

fn audit(root: &Path) -> (String, Vec<Value>) {
    let text = fs::read_to_string(root.join("log/audit.log")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (text, lines)
}

// covers: users.at-once, audit.changes, audit.no-secrets
#[tokio::test]
async fn a_user_from_the_first_login_to_the_last() {
    let node = Node::start().await;
    let done = |(status, reply): (u16, Value)| assert_eq!(status, 200, "{reply}");
    let add = json!({ "operation": "add_user", "username": "eve", "role": "super_user", "password": "s3cret-1" });
    done(node.call("admin:right", add).await);
    assert_eq!(node.status("eve:s3cret-1").await, 200);
    let alter = |change: Value| {
        let mut request = json!({ "operation": "alter_user", "username": "eve" });
        request.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        request
    };
    done(node.call("eve:s3cret-1", alter(json!({ "password": "s3cret-2" }))).await);
    assert_eq!(node.status("eve:s3cret-1").await, 401);
    assert_eq!(node.status("eve:s3cret-2").await, 200);
    done(node.call("admin:right", alter(json!({ "active": false }))).await);
    assert_eq!(node.status("eve:s3cret-2").await, 401, "inactive");
    done(node.call("admin:right", alter(json!({ "active": true, "role": "cluster_user" }))).await);
    assert_eq!(node.status("eve:s3cret-2").await, 401, "the cluster's");
    done(node.call("admin:right", alter(json!({ "role": "reader" }))).await);
    assert_eq!(node.status("eve:s3cret-2").await, 403, "a plain role may do nothing");
    let drop = json!({ "operation": "drop_user", "username": "admin" });
    assert_eq!(node.call("eve:s3cret-2", drop).await.0, 403);
    let drop = json!({ "operation": "drop_user", "username": "eve" });
    done(node.call("admin:right", drop).await);
    assert_eq!(node.status("eve:s3cret-2").await, 401);

    let (text, lines) = audit(node.root.path());
    assert!(!text.contains("s3cret") && !text.contains("right"), "{text}");
    let what = |line: &Value| format!("{} {} {}", line["user"], line["operation"], line["result"]);
    let told: Vec<_> = lines.iter().map(|line| what(line).replace('"', "")).collect();
    let expected = [
        "admin add_user ok",
        "eve alter_user ok",
        "admin alter_user ok",
        "admin alter_user ok",
        "admin alter_user ok",
        "eve user_info forbidden",
        "eve drop_user forbidden",
        "admin drop_user ok",
    ];
    assert_eq!(told, expected);
    assert!(lines.iter().all(|line| line["from"] == "127.0.0.1" && line["ms"].is_u64()));
    assert_eq!(lines[0]["request"]["password"], "********");
    assert_eq!(lines[0]["request"]["username"], "eve");
}

/// A thousand wrong passwords from one address, for names that are there and names that are not.
// covers: users.flood
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn right_passwords_stay_quick_in_a_flood_of_wrong_ones() {
    let node = Node::start().await;
    for name in ["ann", "eve"] {
        let add = json!({ "operation": "add_user", "username": name, "role": "super_user", "password": "right" });
        assert_eq!(node.call("admin:right", add).await.0, 200);
        assert_eq!(node.status(&format!("{name}:right")).await, 200);
    }
    let guess = async |n: usize| {
        let name = ["admin", "ann", "nobody"][n % 3];
        node.status(&format!("{name}:wrong {n}")).await
    };
    let flood = join_all((0..1000).map(guess));
    let right = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..10 {
            for name in ["admin", "ann", "eve"] {
                let start = Instant::now();
                assert_eq!(node.status(&format!("{name}:right")).await, 200);
                slowest = slowest.max(start.elapsed());
            }
        }
        slowest
    };
    let (guesses, slowest) = tokio::join!(flood, right);
    assert!(guesses.iter().all(|status| [401, 503].contains(status)), "{guesses:?}");
    assert!(guesses.contains(&401) && guesses.contains(&503), "looked at, and too many");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}
