//! Tests: what other nodes tell, in whatever words.

use serde_json::{Value, json};

use crate::fake::world::World;

/// A node with a table.
fn world() -> World {
    let world = World::new(1, &["a", "b"]);
    world.table("a", "dev", "dog", "id");
    world
}

fn tell(world: &World, operation: &str, more: Value) -> Value {
    let mut request = json!({ "operation": operation, "node_name": "b" });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let reply = world.ask("a", request);
    json!([reply["status"], reply["message"]])
}

fn subscriptions(world: &World) -> Value {
    world.rows("a", "hdb_nodes")["b"]["subscriptions"].clone()
}

/// As a Harper node says it: with a date, and with keys that are no business of ours.
// covers: peers.add-node, peers.update-node, peers.remove-node
#[test]
fn a_harper_node_adds_changes_and_removes_itself() {
    let world = world();
    let cat = json!({
        "schema": "dev",
        "table": "cat",
        "hash_attribute": "name",
        "attributes": [{ "attribute": "name", "id": "x" }, { "attribute": "age" }, "age", 7],
        "publish": true,
        "subscribe": true,
        "start_time": "2022-09-02T20:06:35.993Z",
        "id": 1,
    });
    let info = json!({ "hdb_version": "4.2.0", "secret": "x" });
    let added = tell(&world, "add_node", json!({ "subscriptions": [cat], "system_info": info }));
    assert_eq!(added, json!(["success", "Successfully added 'a' to manifest"]));
    let table = world.has_table("a", "dev", "cat").unwrap();
    assert_eq!(
        (table.hash_attribute.as_str(), table.attributes),
        ("name", vec!["name".into(), "age".into()])
    );
    let cat = json!({
        "schema": "dev",
        "table": "cat",
        "publish": true,
        "subscribe": true,
        "start_time": "2022-09-02T20:06:35.993Z",
    });
    let record = world.rows("a", "hdb_nodes")["b"].clone();
    let info = json!({ "hdb_version": "4.2.0" });
    assert_eq!(record, json!({ "name": "b", "subscriptions": [cat], "system_info": info }));

    // Again, and in other words.
    let dog =
        json!({ "database": "dev", "table": "dog", "hash_attribute": "id", "subscribe": true });
    let updated =
        tell(&world, "update_node", json!({ "subscriptions": [dog], "start_time": null }));
    assert_eq!(updated, json!(["success", "Successfully updated 'a'"]));
    let dog = json!({
        "schema": "dev",
        "table": "dog",
        "publish": false,
        "subscribe": true,
        "from": { "sequence": 0 },
    });
    assert_eq!(subscriptions(&world), json!([cat, dog]));

    for _ in 0..2 {
        let removed = tell(&world, "remove_node", json!({}));
        assert_eq!(removed, json!(["success", "Successfully removed 'a' from manifest"]));
        assert_eq!(world.rows("a", "hdb_nodes").len(), 0);
    }
    let updated = tell(&world, "update_node", json!({ "subscriptions": [dog] }));
    assert_eq!(updated[0], "success", "it need not have been known");
}

// covers: peers.changes.refused
#[test]
fn what_makes_no_sense_is_refused() {
    let world = world();
    let before = world.state();
    let dog = |more: Value| {
        let mut dog =
            json!({ "schema": "dev", "table": "dog", "publish": true, "hash_attribute": "id" });
        dog.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "subscriptions": [dog] })
    };
    let many: Vec<_> =
        (0..5001).map(|i| json!({ "schema": "dev", "table": i.to_string() })).collect();
    for (more, text) in [
        (json!({}), "'subscriptions' is required"),
        (json!({ "subscriptions": {} }), "'subscriptions' must be an array"),
        (json!({ "subscriptions": many }), "'subscriptions' must have at most 5000 items"),
        (json!({ "subscriptions": [7] }), "'subscriptions[0]' must be an object"),
        (json!({ "subscriptions": [{}] }), "'subscriptions[0].schema' must be a string"),
        (dog(json!({ "table": null })), "'subscriptions[0].table' must be a string"),
        (dog(json!({ "schema": "system" })), "'subscriptions[0].table' is none that can be shared"),
        (dog(json!({ "table": "a.b" })), "'subscriptions[0].table' is none that can be shared"),
        (
            dog(json!({ "table": "__proto__" })),
            "'subscriptions[0].table' is none that can be shared",
        ),
        (dog(json!({ "publish": "yes" })), "'subscriptions[0].publish' must be a boolean"),
        (
            dog(json!({ "start_time": "soon" })),
            "'subscriptions[0].start_time' must be in ISO 8601 date format (UTC, ending in Z)",
        ),
        (
            dog(json!({ "table": "cat", "hash_attribute": null })),
            "Table 'dev.cat' does not exist, and its hash_attribute was not told",
        ),
        (
            dog(json!({ "hash_attribute": "name\n" })),
            "Table 'dev.dog' has the primary key 'id' here and 'name' on node 'b'",
        ),
        (
            json!({ "node_name": "a", "subscriptions": [] }),
            "'node_name' must not be 'a', which is this node",
        ),
        (json!({ "node_name": "b c" }), "'node_name' must be the name of the node that asks"),
        (json!({ "node_name": 7 }), "'node_name' must be the name of the node that asks"),
    ] {
        for operation in ["add_node", "update_node"] {
            assert_eq!(tell(&world, operation, more.clone()), json!(["error", text]));
        }
    }
    let many = (0..100).map(|i| {
        let name = format!("t{i}");
        json!({ "schema": "dev", "table": name, "publish": true, "hash_attribute": "id" })
    });
    let reply = tell(&world, "add_node", json!({ "subscriptions": many.collect::<Vec<_>>() }));
    assert_eq!(reply, json!(["error", "There may be at most 100 tables"]));
    assert_eq!(world.has_table("a", "dev", "t0"), None, "not the first of too many either");
    let twice = json!({ "schema": "dev", "table": "dog" });
    let text = "'subscriptions[1]' must not name a table that another one names";
    let reply = tell(&world, "add_node", json!({ "subscriptions": [twice, twice] }));
    assert_eq!(reply, json!(["error", text]));
    assert_eq!(world.state(), before);
    assert_eq!(world.has_table("a", "dev", "cat"), None);
}

/// An undone change begins where it did before, and not now.
// covers: peers.undo
#[test]
fn a_change_is_undone_by_its_name() {
    let world = world();
    let dog = |subscribe: bool, more: Value| {
        let dog = json!({ "schema": "dev", "table": "dog", "hash_attribute": "id", "subscribe": subscribe });
        let mut request = json!({ "subscriptions": [dog] });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    tell(&world, "add_node", dog(true, json!({ "change": "1" })));
    let before = subscriptions(&world);
    assert_eq!(before[0]["from"], json!({ "sequence": 0 }));
    world.send("b", json!({
        "operation": "set_node_replication",
        "node_name": "a",
        "subscriptions": [{ "schema": "dev", "table": "dog", "publish": true, "subscribe": false }],
    }))
    .unwrap();
    for _ in 0..2 {
        tell(&world, "update_node", dog(false, json!({ "change": "2" })));
    }
    assert_eq!(subscriptions(&world)[0]["from"], json!(null));
    tell(&world, "update_node", dog(true, json!({ "change": "2", "undo": true })));
    assert_eq!(subscriptions(&world), before);

    // Another name: it is not known what was before.
    tell(&world, "update_node", dog(false, json!({ "change": "3" })));
    tell(&world, "update_node", dog(true, json!({ "change": "4", "undo": true })));
    assert_eq!(subscriptions(&world)[0]["from"]["sequence"], 7, "the stream is there now");

    let replaced = json!({ "subscriptions": [], "replace": true });
    assert_eq!(tell(&world, "update_node", replaced)[0], "success");
    assert_eq!(subscriptions(&world), json!([]));
}
