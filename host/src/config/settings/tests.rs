use serde_json::json;

use super::*;

// covers: http.default-address
#[test]
fn an_empty_file_means_the_defaults() {
    let settings = Settings::read(&Value::Null).unwrap();
    assert_eq!(settings, Settings::default());
    assert_eq!((settings.port, settings.secure_port), (Some(9925), None));
    assert_eq!(settings.host.to_string(), "127.0.0.1");
    assert_eq!(settings.max_body_size, 16 << 20);
    assert_eq!(settings.shutdown_timeout, Duration::from_secs(8));
}

#[test]
fn every_key_that_parses_binds() {
    let document = json!({
        "operationsApi": { "network": {
            "host": "127.0.0.2", "port": 1, "allowPlaintext": true, "maxBodySize": 2,
            "maxConnections": 3, "headersTimeout": 4, "timeout": 5, "shutdownTimeout": 6,
            "securePort": 10,
        } },
        "tls": { "certificate": "a.pem", "privateKey": "/b.pem" },
        "authentication": { "cacheTTL": 7 },
        "logging": { "level": "warn", "audit": { "maxSize": 8, "maxFiles": 9 } },
        "clustering": {
            "enabled": true, "nodeName": 7, "user": "u", "logLevel": "debug",
            "republishMessages": true, "statusTimeout": 11, "natsServer": "/nats-server",
            "hubServer": {
                "cluster": { "name": "c", "network": { "host": "127.0.0.3", "port": 12 } },
                "leafNodes": { "network": { "host": "127.0.0.4", "port": 13 } },
                "network": { "host": "::1", "port": 14 },
            },
            "leafServer": {
                "network": { "host": "127.0.0.5", "port": 15 },
                "streams": {
                    "path": "s", "maxAge": 16, "maxBytes": 17, "maxMsgs": 18, "maxConsumeMsgs": 19,
                },
            },
            "tls": {
                "certificate": "c.pem", "privateKey": "k.pem", "certificateAuthority": "a.pem",
                "insecure": true, "verify": false,
            },
        },
        "plugins": [{ "name": "p", "file": "p.wasm" }],
    });
    let listen = |host: &str, port| Listen { host: host.parse().unwrap(), port };
    let expected = Settings {
        host: IpAddr::from([127, 0, 0, 2]),
        port: Some(1),
        secure_port: Some(10),
        allow_plaintext: true,
        max_body_size: 2,
        max_connections: 3,
        headers_timeout: Duration::from_millis(4),
        body_timeout: Duration::from_millis(5),
        shutdown_timeout: Duration::from_millis(6),
        certificate: Some("a.pem".into()),
        private_key: Some("/b.pem".into()),
        cache_ttl: Duration::from_millis(7),
        log_level: LogLevel::Warn,
        audit_max_size: 8,
        audit_max_files: 9,
        clustering: Clustering {
            enabled: true,
            node_name: Some("7".into()),
            user: "u".into(),
            log_level: LogLevel::Debug,
            republish_messages: true,
            status_timeout: Duration::from_millis(11),
            nats_server: Some("/nats-server".into()),
            cluster_name: "c".into(),
            hub_cluster: listen("127.0.0.3", 12),
            hub_leafnodes: listen("127.0.0.4", 13),
            hub_clients: listen("::1", 14),
            leaf_clients: listen("127.0.0.5", 15),
            streams: Streams {
                path: Some("s".into()),
                max_age: Some(Duration::from_secs(16)),
                max_bytes: Some(17),
                max_messages: Some(18),
                max_consume_messages: Some(19),
            },
            tls: ClusteringTls {
                certificate: Some("c.pem".into()),
                private_key: Some("k.pem".into()),
                certificate_authority: Some("a.pem".into()),
                insecure: true,
                verify: false,
            },
        },
        plugins: vec![PluginSettings::new("p", "p.wasm")],
    };
    assert_eq!(Settings::read(&document), Ok(expected));
}

// covers: configuration.mapping, configuration.environment-named
#[test]
fn what_is_wrong_is_said_to_be_where_it_is() {
    let document =
        json!({ "logging": "loud", "operationsApi": { "network": [9925] }, "tls": null });
    let error = Settings::read(&document).unwrap_err().to_string();
    assert_eq!(
        error,
        "harperdb-config.yaml: 'operationsApi.network' must be a mapping. \
         'logging' must be a mapping"
    );
    let document = json!({ "operationsApi": { "network": { "port": "x", "host": "y" } } });
    let place = |path: &str| match path {
        PORT => Place::Variable("OPERATIONSAPI_NETWORK_PORT".into()),
        _ => Place::Line(Some(7)),
    };
    let error = Settings::read_with(&document, place).unwrap_err().to_string();
    assert_eq!(
        error,
        "harperdb-config.yaml: 'operationsApi.network.host' must be an IP address (line 7). \
         the environment variable OPERATIONSAPI_NETWORK_PORT: 'operationsApi.network.port' \
         must be an integer from 0 to 65535, or null"
    );
}

/// The table of keys in the README is this one.
#[test]
fn the_readme_has_every_key() {
    let mut table = "| key | default | meaning |\n| --- | --- | --- |\n".to_owned();
    for Setting { path, default, meaning, .. } in SETTINGS {
        table += &format!("| `{path}` | `{default}` | {meaning} |\n");
    }
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"));
    assert!(readme.unwrap().contains(&table), "the README must have:\n{table}");
}

// covers: http.port-null
#[test]
fn a_port_that_is_null_is_none_and_one_that_is_not_said_is_the_default() {
    let port = |network: Value| {
        let document = json!({ "operationsApi": { "network": network } });
        Settings::read(&document).unwrap().port
    };
    assert_eq!(port(json!({ "port": null })), None);
    assert_eq!(port(json!({})), Some(9925));
    assert_eq!(port(json!(null)), Some(9925));
    let shown = |mut document: Value| {
        put_defaults(&mut document);
        document["operationsApi"]["network"]["port"].clone()
    };
    assert_eq!(shown(json!({ "operationsApi": { "network": { "port": null } } })), json!(null));
    assert_eq!(shown(json!({})), json!(9925));
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let document = json!({
        "operationsApi": { "network": {
            "host": "localhost", "port": 65536, "allowPlaintext": "yes", "maxBodySize": 0,
        } },
        "tls": { "certificate": "", "privateKey": 1 },
        "logging": { "level": "loud" },
    });
    let error = Settings::read(&document).unwrap_err().to_string();
    assert_eq!(
        error,
        "harperdb-config.yaml: 'operationsApi.network.host' must be an IP address. \
         'operationsApi.network.port' must be an integer from 0 to 65535, or null. \
         'operationsApi.network.allowPlaintext' must be true or false. \
         'operationsApi.network.maxBodySize' must be an integer from 1 to 1073741824. \
         'tls.certificate' must be the path of a file, or null. \
         'tls.privateKey' must be the path of a file, or null. \
         'logging.level' must be one of [error, warn, info, debug, trace]"
    );
}

// covers: clustering.names
#[test]
fn names_that_would_break_subjects_are_refused() {
    let read = |key: &str, value: Value| Settings::read(&json!({ "clustering": { key: value } }));
    for name in [json!("node-1"), json!(7), json!(null)] {
        assert!(read("nodeName", name.clone()).is_ok(), "{name}");
    }
    for name in ["", "a.b", "a b", "$a", "a-leaf", &"a".repeat(65)] {
        let error = read("nodeName", json!(name)).unwrap_err().to_string();
        assert!(error.contains("'clustering.nodeName' must be a name"), "{error}");
    }
    assert!(read("user", json!("me@example.org")).is_ok());
    assert!(read("user", json!("a:b")).is_err());
}

// covers: clustering.limits
#[test]
fn a_limit_that_is_null_is_none_and_one_that_is_not_said_is_the_default() {
    let most = |streams: Value| {
        let document = json!({ "clustering": { "leafServer": { "streams": streams } } });
        Settings::read(&document).unwrap().clustering.streams.max_consume_messages
    };
    assert_eq!(most(json!({})), Some(100));
    assert_eq!(most(json!({ "maxConsumeMsgs": null })), None);
    assert_eq!(most(json!({ "maxConsumeMsgs": 3 })), Some(3));
}

// covers: clustering.contradictions
#[test]
fn clustering_that_cannot_work_is_refused_only_when_it_is_on() {
    let rule = |mut clustering: Value| {
        clustering["enabled"] = true.into();
        let of = |clustering: &Value| {
            let document = json!({ "clustering": clustering });
            Settings::read(&document).unwrap().contradiction()
        };
        let rule = of(&clustering);
        clustering["enabled"] = false.into();
        assert_eq!(of(&clustering), None);
        rule
    };
    assert!(rule(json!({})).unwrap().contains("'clustering.nodeName' is required"));
    assert_eq!(rule(json!({ "nodeName": "a" })), None);
    let port = json!({ "nodeName": "a", "hubServer": { "network": { "port": 9932 } } });
    assert!(rule(port).unwrap().contains("the same port"));
    let tls = |tls: Value| rule(json!({ "nodeName": "a", "tls": tls }));
    assert!(tls(json!({ "certificate": "c" })).unwrap().contains("belong together"));
    let both = json!({ "certificate": "c", "privateKey": "k" });
    assert!(tls(both).unwrap().contains("certificateAuthority"));
}
