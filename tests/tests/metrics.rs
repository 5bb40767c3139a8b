//! `GET /metrics`: who may read it, and that each thing is counted where it happens.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use base64ct::{Base64, Encoding};
use harper_host::Role;
use harper_host::config::{FILE_NAME, create_if_missing};
use harper_host::store::Store;
use harper_host::users::Users;
use harper_tests::api::{ApiNode, Reply, ask};
use serde_json::{Value, json};

fn login(credentials: &str) -> String {
    format!("Authorization: Basic {}", Base64::encode_string(credentials.as_bytes()))
}

async fn read(node: &ApiNode, headers: &[String]) -> Reply {
    ask(node.address, "GET /metrics", headers, b"").await.unwrap()
}

async fn call(node: &ApiNode, credentials: &str, request: Value) -> u16 {
    let headers = ["Content-Type: application/json".to_owned(), login(credentials)];
    ask(node.address, "POST /", &headers, request.to_string().as_bytes()).await.unwrap().status
}

/// The value of one series, zero when it is not there yet.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

// covers: http.metrics, http.metrics.login
#[tokio::test]
async fn everything_is_counted_where_it_happens() {
    let root = tempfile::tempdir().unwrap();
    create_if_missing(&root.path().join(FILE_NAME)).unwrap();
    let users = Users::open(Store::open(root.path()).await.unwrap(), Duration::ZERO);
    users.create_first_super_user("admin", "right").await.unwrap();
    users.add("scraper", "right", &Role::of_name("monitoring"), true).await.unwrap();
    users.add("node", "right", &Role::ClusterUser, true).await.unwrap();
    drop(users);
    let node = ApiNode::start(root.path()).await.unwrap();

    for (headers, text) in [
        (vec![], "Must login"),
        (vec![login("scraper:wrong")], "Login failed"),
        (vec![login("node:right")], "Login failed"),
    ] {
        let reply = read(&node, &headers).await;
        assert_eq!((reply.status, reply.body), (401, json!({ "error": text }).to_string()));
    }
    let scrape = async || {
        let reply = read(&node, &[login("scraper:right")]).await;
        assert_eq!(reply.status, 200);
        let kind = reply.header("content-type").unwrap();
        assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
        assert!(reply.body.ends_with("# EOF\n"));
        reply.body
    };
    assert_eq!(value(&scrape().await, r#"harper_logins_failed_total{reason="credentials"}"#), 2.0);

    let set = |host: &str| json!({ "operation": "cluster_set_routes", "server": "hub", "routes": [{ "host": host, "port": 1 }] });
    assert_eq!(call(&node, "admin:right", set("a")).await, 200);
    assert_eq!(call(&node, "admin:right", set("not a host")).await, 400);
    assert_eq!(call(&node, "scraper:right", set("b")).await, 403);
    assert_eq!(call(&node, "admin:right", json!({ "operation": "evil\n# EOF" })).await, 400);
    let level = json!({ "operation": "set_configuration", "logging_level": "warn" });
    assert_eq!(call(&node, "admin:right", level).await, 200);

    let text = scrape().await;
    for (series, count) in [
        (r#"harper_operations_total{operation="cluster_set_routes",outcome="ok"}"#, 1.0),
        (r#"harper_operations_total{operation="cluster_set_routes",outcome="invalid"}"#, 1.0),
        (r#"harper_operations_total{operation="cluster_set_routes",outcome="forbidden"}"#, 1.0),
        (r#"harper_operations_total{operation="set_configuration",outcome="ok"}"#, 1.0),
        (r#"harper_operations_total{operation="unknown",outcome="invalid"}"#, 1.0),
        (r#"harper_operation_duration_seconds_count{operation="cluster_set_routes"}"#, 3.0),
        (r#"harper_plugin_memory_bytes_count{plugin="clustering"}"#, 2.0),
        (r#"harper_plugin_host_calls_total{plugin="clustering",capability="config"}"#, 2.0),
        (r#"harper_config_writes_total{outcome="ok"}"#, 2.0),
    ] {
        assert_eq!(value(&text, series), count, "{series}\n{text}");
    }
    assert!(value(&text, r#"harper_plugin_memory_bytes_sum{plugin="clustering"}"#) > 65_536.0);
    assert!(!text.contains("evil"), "what a client makes up is no series");
    node.stop().await.unwrap();
}

/// Its place is taken by what the audit log does not write to.
#[tokio::test]
async fn a_lost_line_of_the_audit_log_is_told() {
    let root = tempfile::tempdir().unwrap();
    create_if_missing(&root.path().join(FILE_NAME)).unwrap();
    let users = Users::open(Store::open(root.path()).await.unwrap(), Duration::from_secs(30));
    users.create_first_super_user("admin", "right").await.unwrap();
    drop(users);
    let node = ApiNode::start(root.path()).await.unwrap();
    let ready = async || ask(node.address, "GET /ready", &[], b"").await.unwrap().status;
    let lost = async || {
        let text = read(&node, &[login("admin:right")]).await.body;
        value(&text, "harper_audit_lines_lost_total")
    };
    assert_eq!((ready().await, lost().await), (200, 0.0));
    let log = root.path().join("log/audit.log");
    std::fs::remove_file(&log).unwrap();
    std::fs::create_dir(&log).unwrap();
    let add = json!({ "operation": "add_user", "username": "eve", "role": "r", "password": "p" });
    assert_eq!(call(&node, "admin:right", add).await, 200);
    assert_eq!((ready().await, lost().await), (503, 1.0));
    std::fs::remove_dir(&log).unwrap();
    assert_eq!((ready().await, lost().await), (200, 1.0));
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.ends_with("\"result\":\"lost\",\"lines\":1}\n"), "{text}");
}
