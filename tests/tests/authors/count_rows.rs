//! The plugin in Python, `tests/plugins/count_rows`.

use harper_host::data::{Data, DataConfig, Write};
use harper_host::store::Store;
use harper_host::{ComponentSource, ErrorKind, Grants, Host, Limits, TableName};
use harper_tests::python;
use serde_json::json;

use crate::{asked, imports_nothing_else, send};

// covers: examples.python
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_counted_by_python() {
    let component = python::count_rows().unwrap();
    imports_nothing_else(&component).await;
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join(harper_host::config::FILE_NAME), "").unwrap();
    let data = Data::open(Store::open(root.path()).await.unwrap(), DataConfig::default());
    let data = data.await.unwrap();
    let name = TableName { database: "dev".into(), table: "dog".into() };
    data.create_database("dev").await.unwrap();
    data.create_table(&name, "id", &[], "test").await.unwrap();
    // Some pages of them.
    let row = |n: u32| json!({ "id": n }).as_object().unwrap().clone();
    data.write(&name, Write::Insert, (0..2500).map(row).collect(), "test").await.unwrap();

    // Both hosts have the same folder, where what was compiled is kept.
    let host = async |grants: Grants| {
        let component = ComponentSource::bytes(component.clone());
        let builder = Host::builder().root_path(root.path()).tables(data.clone());
        builder.plugin("count", component, grants, Limits::default()).build().await.unwrap()
    };
    let request = |table| json!({ "operation": "count_rows", "database": "dev", "table": table });
    let granted = host(asked(&component).await).await;
    let reply = send(&granted, request(json!("dog"))).await;
    assert_eq!(reply, Ok(json!({ "database": "dev", "table": "dog", "rows": 2500 })));
    let error = send(&granted, request(json!("cat"))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    let error = send(&granted, request(json!(7))).await.unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ErrorKind::Invalid, "'table' must be a string")
    );
    let system = json!({ "operation": "count_rows", "database": "system", "table": "hdb_user" });
    let error = send(&granted, system).await.unwrap_err();
    assert_eq!(error.message, "The plugin is not granted to read the table 'system.hdb_user'");

    let bare = host(Grants::default()).await;
    let error = send(&bare, request(json!("dog"))).await.unwrap_err();
    assert_eq!(error.message, "The plugin is not granted to read the table 'dev.dog'");
    data.close().await;
}
