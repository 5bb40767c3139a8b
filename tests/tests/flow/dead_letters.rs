//! What could not be applied, in the hands of an operator.

use harper_host::data::{Key, Version};
use harper_host::transaction::{Change, Part, Transaction};
use harper_host::{Caller, ErrorKind, Role, TableName};
use harper_tests::nats::eventually;
use harper_tests::nodes::{ClusterNode, Nodes};
use harper_tests::shared::change;
use serde_json::{Value, json};

use super::{flowing, from_first_to_second};

fn list() -> Value {
    json!({ "operation": "dead_letters" })
}

/// A row of `dev.cat`, of a time that deletions are still remembered of.
fn cat(id: u64, timestamp: u64) -> Vec<u8> {
    let row = json!({ "id": id });
    let change = Change::Rows {
        rows: vec![row.as_object().unwrap().clone()],
        ids: vec![Key::try_from(json!(id)).unwrap()],
        partial: false,
    };
    let table = TableName { database: "dev".into(), table: "cat".into() };
    let version = Version { timestamp, node: "node-9".into() };
    Transaction { parts: vec![Part { table, change }], version, user: "eve".into() }.encode()
}

async fn is_laid_aside(node: &ClusterNode, total: u64) -> Value {
    eventually("it is laid aside", async || {
        node.send(list()).await.is_ok_and(|reply| reply["total"] == total)
    })
    .await
    .unwrap();
    node.send(list()).await.unwrap()["dead_letters"].take()
}

// covers: dead-letters.list, dead-letters.apply, dead-letters.drop, figures.kept
#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_applied_is_listed_applied_and_dropped() {
    let mut cluster = from_first_to_second().await;
    let (first, second) = (&cluster.nodes[0], &cluster.nodes[1]);
    let now = first.data.now();
    first.publish_bytes(cat(1, now)).await.unwrap();
    first.publish_bytes(b"\xc1 nothing".to_vec()).await.unwrap();
    let letters = is_laid_aside(second, 2).await;
    let [newest, oldest] = &letters.as_array().unwrap()[..] else { panic!("{letters}") };
    assert_eq!((&newest["bytes"], &newest["node_name"]), (&json!(9), &json!("node-1")));
    let of_dog = json!(["dev", "dog"]);
    assert_eq!(json!([newest["database"], newest["table"]]), of_dog, "the stream's: {newest}");
    assert!(newest["time"].as_str().unwrap().ends_with('Z'), "{newest}");
    assert_eq!(oldest["reason"], "this node has not subscribed to 'dev.cat'");
    assert!(oldest["sequence"].as_u64() < newest["sequence"].as_u64());

    // A restart forgets none of it.
    let servers = cluster.nodes.pop().unwrap().halt().await.unwrap();
    cluster.nodes.push(ClusterNode::on(servers, flowing()).await.unwrap());
    let (first, second) = (&cluster.nodes[0], &cluster.nodes[1]);
    let figures = second.figures_of("node-1").await.unwrap();
    assert_eq!((&figures["dead_letters"], &figures["dead_lettered"]), (&json!(2), &json!(0)));

    // The operator has the table made, and subscribes to it.
    first.make_table("dev.cat", &["id"]).await.unwrap();
    first.send(change("update_node", "node-2", &[("dev.cat", ">")])).await.unwrap();
    let apply = json!({ "operation": "apply_dead_letters", "node_name": "node-1" });
    let reply = second.send(apply.clone()).await.unwrap();
    assert_eq!(reply["message"], "applied 1 of 2 dead letters", "{reply}");
    assert_eq!((&reply["rows"], &reply["left"]), (&json!(1), &json!(1)));
    assert_eq!(reply["dead_letters"][0]["id"], newest["id"]);
    let cats = json!({
        "operation": "search_by_id", "database": "dev", "table": "cat", "ids": [1],
        "get_attributes": ["id"],
    });
    assert_eq!(second.send(cats).await.unwrap(), json!([{ "id": 1 }]));
    assert_eq!(second.figures_of("node-1").await.unwrap()["dead_letters"], 1);

    // Not by a slip.
    let drop = json!({ "operation": "drop_dead_letters", "node": "node-1" });
    let error = second.send(drop).await.unwrap_err();
    assert_eq!(error.message, "'node_name' or 'ids' is required");
    let drop = json!({ "operation": "drop_dead_letters", "ids": [newest["id"]] });
    let reply = second.send(drop.clone()).await.unwrap();
    assert_eq!(reply, json!({ "message": "dropped 1 dead letter", "dropped": 1 }));
    assert_eq!(second.send(list()).await.unwrap(), json!({ "total": 0, "dead_letters": [] }));
    assert_eq!(second.send(drop).await.unwrap()["dropped"], 0);
    cluster.stop().await;
}

// covers: dead-letters.super-user
#[tokio::test(flavor = "multi_thread")]
async fn they_are_for_super_users_alone_and_changes_are_audited() {
    let cluster = Nodes::with(1, flowing()).await.unwrap();
    let node = &cluster.nodes[0];
    let mut caller = Caller::super_user("reader");
    caller.role = Role::of_name("reader");
    for (name, changes) in
        [("dead_letters", false), ("apply_dead_letters", true), ("drop_dead_letters", true)]
    {
        let request = json!({ "operation": name, "node_name": "node-1" });
        let refused = node.host.dispatch(&caller, request.clone()).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Forbidden, "{name}");
        node.send(request).await.unwrap();
        let all = node.host.operations();
        let operation = all.iter().find(|operation| operation.name == name).unwrap();
        // What changes something goes into the audit log.
        assert_eq!((operation.changes, operation.super_user), (changes, true), "{name}");
    }
    cluster.stop().await;
}
