//! `replication`, which is for the host's own clustering plugin alone, and `tables.create`.

use harper_host::Grants;
use serde_json::{Value, json};

use crate::{Granted, denied, refused};

// covers: grants.replication
#[tokio::test]
async fn the_flow_between_nodes_is_for_nobody_else() {
    let grants = Grants { replication: true, ..Grants::default() };
    let text = "plugin 'hostile' cannot have all of its grants: the grant 'replication' reaches \
                'the flow between nodes', which is the cluster's own";
    assert_eq!(refused(grants).await, text);

    let granted = Granted::new("{}", Grants::default()).await;
    for request in [
        json!({ "operation": "hostile_ensure_streams", "database": "dev", "table": "dog" }),
        json!({ "operation": "hostile_settle", "node": "node-b" }),
    ] {
        let text = "The plugin is not granted to use 'replication'";
        assert_eq!(granted.send(request).await, denied(text));
    }
    assert_eq!(granted.calls(), 0);
}

async fn create(granted: &Granted, table: &str, key: &str) -> Result<Value, String> {
    let (database, table) = table.split_once('.').unwrap();
    let request = json!({
        "operation": "hostile_tables_create",
        "database": database,
        "table": table,
        "hash_attribute": key,
    });
    granted.send(request).await
}

fn creates(patterns: &[&str]) -> Grants {
    let mut grants = Grants::default();
    grants.tables.create = patterns.iter().map(|text| text.parse().unwrap()).collect();
    grants
}

// covers: grants.tables.create
#[tokio::test]
async fn making_tables() {
    let cluster = "{ tables: { dev.dog: [id, name] } }";
    let granted = Granted::new(cluster, creates(&["dev.*"])).await;
    assert_eq!(create(&granted, "dev.cat", "id").await, Ok(json!(null)));
    assert_eq!(create(&granted, "dev.dog", "id").await, Ok(json!(null)));
    let other = create(&granted, "dev.dog", "name").await;
    let text = "Error::ExistsOtherwise(\"Table 'dev.dog' has another hash attribute\")";
    assert_eq!(other, Err(text.into()));
    let asked = granted.calls();
    let denied_to =
        |table: &str| denied(&format!("The plugin is not granted to create the table '{table}'"));
    for table in ["prod.dog", "system.hdb_nodes", "dev.a b", "dev.*"] {
        assert_eq!(create(&granted, table, "id").await, denied_to(table));
    }
    assert_eq!(granted.calls(), asked);
    let read = json!({
        "operation": "hostile_tables_get", "database": "dev", "table": "cat", "key": "1",
    });
    let text = "The plugin is not granted to read the table 'dev.cat'";
    assert_eq!(granted.send(read).await, denied(text), "create is not read");

    // Every table, but for the node's own.
    let granted = Granted::new("{}", creates(&["*.*"])).await;
    assert_eq!(create(&granted, "prod.dog", "id").await, Ok(json!(null)));
    assert_eq!(create(&granted, "system.dog", "id").await, denied_to("system.dog"));

    let granted = Granted::new("{}", Grants::default()).await;
    assert_eq!(create(&granted, "dev.dog", "id").await, denied_to("dev.dog"));
    assert_eq!(granted.calls(), 0);
    let text = "plugin 'hostile' cannot have all of its grants: the grant 'system.*' reaches \
                'system.*', which is the cluster's own";
    assert_eq!(refused(creates(&["system.*"])).await, text);
}
