//! What needs no server.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::output::{Heard, Log, Quiet, Secrets, listen};
use super::state::State;
use super::*;
use crate::config::{LogLevel, Settings};

fn config(password: &str) -> Config {
    let document = json!({ "clustering": { "nodeName": "a" } });
    let clustering = Settings::read(&document).unwrap().clustering;
    let file = |name: &str| format!("/keys/{name}.pem").into();
    let tls = Tls {
        certificate: file("c"),
        private_key: file("k"),
        certificate_authority: file("a"),
        insecure: false,
        verify: true,
    };
    Config::new(&clustering, "/node".as_ref(), Zeroizing::new(password.into()), tls).unwrap()
}

fn document(kind: ServerKind, config: &Config, routes: &[Route]) -> Value {
    let ports = Ports { hub_leafnodes: 9931, ..Ports::default() };
    let text = document::text(kind, config, &ports, routes, false).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn route(host: &str, port: u16) -> Route {
    Route { host: host.into(), port }
}

// covers: nats.names, nats.accounts, nats.tls
#[test]
fn the_hub_is_told_what_is_specified() {
    let config = config("p@ss w/rd");
    let hub = document(ServerKind::Hub, &config, &[route("10.0.0.2", 1), route("::1", 2)]);
    assert_eq!((&hub["server_name"], &hub["port"]), (&json!("a-hub"), &json!(9930)));
    assert_eq!(hub["max_payload"], 67_108_864);
    assert_eq!(hub.get("jetstream"), None);
    assert_eq!(hub["cluster"]["name"], "harperdb");
    let encoded = [
        "nats-route://cluster_user:p%40ss%20w%2Frd@10.0.0.2:1",
        "nats-route://cluster_user:p%40ss%20w%2Frd@[::1]:2",
    ];
    assert_eq!(hub["cluster"]["routes"], json!(encoded));
    assert_eq!(hub["cluster"]["authorization"]["password"], "p@ss w/rd");
    assert_eq!(hub["system_account"], "SYS");
    assert_eq!(hub["accounts"]["SYS"]["users"][0]["user"], "cluster_user-admin");
    assert_eq!(hub["accounts"]["HDB"]["users"][0]["user"], "cluster_user");
    for tls in [&hub["tls"], &hub["leafnodes"]["tls"]] {
        assert_eq!(tls["verify"], true);
    }
    assert_eq!(hub["cluster"]["tls"]["insecure"], false);
}

#[test]
fn the_leaf_is_told_what_is_specified() {
    let leaf = document(ServerKind::Leaf, &config("p"), &[route("other", 7)]);
    assert_eq!((&leaf["server_name"], &leaf["port"]), (&json!("a-leaf"), &json!(9940)));
    let jetstream = json!({ "domain": "a-leaf", "store_dir": "/node/clustering/leaf" });
    assert_eq!(leaf["jetstream"], jetstream);
    let remotes = leaf["leafnodes"]["remotes"].as_array().unwrap();
    let told: Vec<_> = remotes.iter().map(|one| (&one["account"], &one["urls"][0])).collect();
    let expected = [
        ("SYS", "tls://cluster_user-admin:p@127.0.0.1:9931"),
        ("HDB", "tls://cluster_user:p@127.0.0.1:9931"),
        ("SYS", "tls://cluster_user-admin:p@other:7"),
        ("HDB", "tls://cluster_user:p@other:7"),
    ];
    assert_eq!(
        told,
        expected.map(|(account, url)| (json!(account), json!(url))).each_ref().map(|(a, u)| (a, u))
    );
}

#[test]
fn a_name_that_no_node_can_have_is_refused() {
    let mut config = config("p");
    config.node_name = "a-hub".into();
    let error = config.check().unwrap_err().to_string();
    assert!(error.starts_with("'clustering.nodeName': 'a-hub' is no name"), "{error}");
}

// covers: nats.password
#[test]
fn a_password_that_would_be_misread_is_refused() {
    for password in ["", "a\nb", "$2a$11$abc"] {
        assert!(matches!(config(password).check(), Err(Error::Password(_))), "{password:?}");
    }
    for password in ["$PATH", "a\"b\\c", "pässwörd", "{}", "p@:/?#[]%41"] {
        config(password).check().unwrap();
    }
    assert!(!format!("{:?}", config("s3cret")).contains("s3cret"));
}

// covers: nats.log.no-secrets
#[test]
fn no_password_gets_into_the_log() {
    let secrets = Secrets::of(&config("s3c/ret+"));
    for (line, shown) in [
        ("pass s3c/ret+ end", "pass ******** end"),
        ("nats://u:s3c%2Fret%2B@h:1/x", "nats://********@h:1/x"),
        ("s3c%2Fret+", "********"),
        ("removed nats-route://someone:else@h:1, x", "removed nats-route://********@h:1, x"),
        ("a \"tls://x:y@h\" b tls://c:d@e", "a \"tls://********@h\" b tls://********@e"),
        ("http://host/path a@b", "http://host/path a@b"),
        ("two\u{1b}[31mlines", "two\\u{1b}[31mlines"),
    ] {
        assert_eq!(secrets.hidden(line), shown);
    }
}

async fn heard(text: &str) -> Heard {
    let (sender, heard) = watch::channel(Heard::default());
    let quiet = Arc::new(Quiet::with(Arc::new(State::new(Vec::new(), Vec::new()))));
    let log = Log::new(ServerKind::Hub, LogLevel::Error, quiet);
    listen(text.as_bytes(), &Secrets::of(&config("p_p")), log, sender).await;
    heard.borrow().clone()
}

#[tokio::test]
async fn what_a_server_says_tells_how_far_it_is() {
    let heard = heard(
        "\
[1] [INF] Listening for leafnode connections on 127.0.0.1:40299
[1] [INF] Listening for client connections on [::1]:43833
[1] [INF] Server is ready
[1] [INF] Listening for route connections on 0.0.0.0:45017
[1] [ERR] Error trying to connect to route (attempt 1): dial tcp 127.0.0.1:1: refused
[1] [INF] 
",
    )
    .await;
    assert_eq!(
        (heard.leafnodes, heard.clients, heard.cluster),
        (Some(40299), Some(43833), Some(45017))
    );
    assert!(heard.ended);
    let refused = "Error trying to connect to route (attempt 1): dial tcp 127.0.0.1:1: refused";
    assert_eq!((heard.fatal.as_deref(), heard.last_error.as_deref()), (None, Some(refused)));
}

// covers: nats.reason
#[tokio::test]
async fn of_what_a_server_ended_is_its_first_fatal_line() {
    for (fatal, text) in [
        ("no listener", "[1] [ERR] a\n[1] [FTL] no listener\n[1] [ERR] b\n[1] [FTL] c\n"),
        ("/x.json:1: bad", "nats-server: /x.json:1: bad\n"),
        ("panic: out of range", "[1] [ERR] a\npanic: out of range\n\ngoroutine 1 [running]:\n"),
    ] {
        assert_eq!(heard(text).await.fatal.as_deref(), Some(fatal));
    }
    // The rest of a line that was too long is none.
    assert_eq!(heard(&format!("[1] [ERR] {}", "panic ".repeat(3000))).await.fatal, None);
}

// covers: nats.routes.garbage
#[test]
fn what_is_no_route_is_passed_over_and_told() {
    let list = json!([
        { "host": "Node.Example.", "port": 1 },
        { "host": "node.example", "port": "1" },
        { "host": "2001:DB8:0::1", "port": 2 },
        { "host": "user:pw@evil", "port": 3 },
        { "host": "h/x", "port": 3 },
        { "host": "h", "port": 0 },
        { "host": "h", "port": 65536 },
        { "host": "h" },
        "text",
        null,
    ]);
    let (routes, errors) = Route::read_list("list", &list);
    assert_eq!(routes, [route("node.example", 1), route("2001:db8::1", 2)]);
    assert_eq!(errors.iter().map(|error| error.index).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(Route::read_list("list", &Value::Null), (vec![], vec![]));
    assert_eq!(Route::read_list("list", &json!("x")).1.len(), 1);
}
