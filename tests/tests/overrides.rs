//! Values from the environment and the configuration file.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use harper_host::config::{ConfigFile, Overrides};
use harper_host::{Change, Config, KeyPath};
use serde_json::json;

// covers: routes.env.never-written
#[tokio::test]
async fn a_write_leaves_the_values_of_the_environment_out() {
    const ROUTES: &str = "clustering.leafServer.network.routes";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    let text = "logging:\n  level: warn\nclustering:\n  leafServer:\n    network:\n      routes:";
    std::fs::write(&path, format!("{text} null\n")).unwrap();

    let variables = [("LOGGING_LEVEL", "debug"), ("OPERATIONSAPI_NETWORK_PORT", "8080")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let overrides = Overrides::from_variables(variables).unwrap();
    let file = ConfigFile::with_overrides(&path, overrides).unwrap();
    let key = |path: &str| path.parse::<KeyPath>().unwrap();
    let read = file.get(vec![key("logging.level"), key(ROUTES)]).await.unwrap();
    assert_eq!(read.values, [json!("debug"), json!(null)]);

    let route = json!([{ "host": "10.0.0.1", "port": 9932 }]);
    let change = Change { path: key(ROUTES), value: route };
    file.set(read.revision.clone(), vec![change]).await.unwrap();
    let after = std::fs::read_to_string(&path).unwrap();
    assert_eq!(after, format!("{text}\n        - host: 10.0.0.1\n          port: 9932\n"));
    assert_eq!(file.document().unwrap()["logging"]["level"], "debug");

    let change = Change { path: key("logging.level"), value: json!("error") };
    let revision = file.get(vec![]).await.unwrap().revision;
    let refused = file.set(revision, vec![change]).await.unwrap_err().to_string();
    assert!(refused.contains("LOGGING_LEVEL"), "{refused}");
}
