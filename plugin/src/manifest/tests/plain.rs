//! What the operations do when all goes well, and what they say when it does not.

use serde_json::{Value, json};

use super::*;
use crate::fake::world::{Fault, World};
use crate::operation::Error;

fn message(reply: Result<Value, Error>) -> String {
    let reply = reply.unwrap();
    assert_eq!(reply.as_object().unwrap().len(), 1, "{reply}");
    reply["message"].as_str().unwrap().to_owned()
}

fn invalid<T>(text: &str) -> Result<T, Error> {
    Err(Error::Invalid(text.into()))
}

fn failed<T>(text: &str) -> Result<T, Error> {
    Err(Error::Failed(text.into()))
}

#[test]
fn a_node_is_added_changed_and_removed_on_both_sides() {
    let world = three(1);
    let added = world.send("a", request("add_node", "b", &[("dog", true, false)]));
    assert_eq!(message(added), "Successfully added 'b' to manifest");
    let here = &world.rows("a", "hdb_nodes")["b"];
    let info = json!({ "hdb_version": "1.2.3", "node_version": "0.0.0", "platform": "linux" });
    let dog = json!({ "schema": "dev", "table": "dog", "publish": true, "subscribe": false });
    assert_eq!(*here, json!({ "name": "b", "subscriptions": [dog], "system_info": info }));
    let there = &world.rows("b", "hdb_nodes")["a"];
    assert_eq!((&there["name"], &there["system_info"]), (&json!("a"), &info));
    let from = &there["subscriptions"][0]["from"];
    assert_eq!(from["sequence"], 7);
    assert!(from["created"].is_string(), "{from}");

    let again = world.send("a", request("add_node", "b", &[("cat", true, false)]));
    let known = "Node 'b' is already in the manifest: change it with update_node or \
                 set_node_replication";
    assert_eq!(again, invalid(known));
    let unknown = "Node 'c' is not in the manifest: add it with add_node or set_node_replication";
    let update = |node: &str| request("update_node", node, &[("cat", true, true)]);
    assert_eq!(world.send("a", update("c")), invalid(unknown));

    assert_eq!(message(world.send("a", update("b"))), "Successfully updated 'b'");
    let list = world.rows("a", "hdb_nodes")["b"]["subscriptions"].clone();
    assert_eq!(list[0], dog, "it stays as it was");
    assert_eq!(list[1]["table"], "cat");
    assert_eq!(list[1]["from"], json!({ "sequence": 0 }), "there is no such stream yet");
    world.assert_mirrored("updated");

    let set = world.send("b", request("set_node_replication", "c", &[("bird", true, true)]));
    assert_eq!(message(set), "Successfully updated 'c'");
    world.assert_mirrored("set");

    assert_eq!(message(world.send("b", remove("a"))), "Successfully removed 'a' from manifest");
    assert_eq!(world.rows("a", "hdb_nodes").len(), 0);
    assert_eq!(world.send("b", remove("a")), invalid("Node 'a' is not in the manifest"));
    world.assert_mirrored("removed");
}

#[test]
fn tables_are_made_where_they_are_missing() {
    let world = three(1);
    let tables =
        [("dog", true, true), ("cat", true, false), ("bird", false, true), ("no", true, true)];
    let reply = world.send("a", request("add_node", "b", &tables)).unwrap();
    let text = "Some subscriptions were skipped: their database or table exists on neither node";
    assert_eq!(reply["message"], text);
    assert_eq!(reply["skipped"], subscriptions(&tables[3..]));
    assert_eq!(reply["added"], subscriptions(&tables[..3]));
    let (here, there) =
        (world.has_table("a", "dev", "bird").unwrap(), world.has_table("b", "dev", "cat").unwrap());
    assert_eq!(
        (here.hash_attribute, here.attributes),
        ("id".into(), vec!["id".into(), "name".into()])
    );
    assert_eq!(
        (there.hash_attribute, there.attributes),
        ("id".into(), vec!["id".into(), "name".into()])
    );
    assert_eq!(world.has_table("b", "dev", "no"), None);
    world.assert_mirrored("made");

    let before = world.state();
    let none = world.send("a", request("update_node", "b", &[("no", true, true)])).unwrap();
    let text = "No subscription was made: the database or table exists on neither node";
    assert_eq!((&none["message"], &none["updated"]), (&json!(text), &json!([])));
    assert_eq!(world.state(), before);
}

#[test]
fn a_table_with_another_key_is_an_error() {
    let world = three(1);
    world.table("b", "dev", "cow", "name");
    let before = world.state();
    let text = "Table 'dev.cow' has the primary key 'id' here and 'name' on node 'b'";
    let reply =
        world.send("a", request("add_node", "b", &[("dog", true, true), ("cow", true, true)]));
    assert_eq!(reply, invalid(text));
    let reply =
        world.send("a", configure(&[("c", &[("dog", true, true)]), ("b", &[("cow", true, true)])]));
    assert_eq!(reply, invalid(text));
    assert_eq!(world.state(), before);
}

#[test]
fn flags_may_be_false_for_what_there_is() {
    let world = three_that_share(1);
    let off = [("dog", false, false)];
    assert!(world.send("a", request("update_node", "b", &off)).is_ok());
    let reply =
        world.send("a", request("update_node", "b", &[("dog", true, true), ("cat", false, false)]));
    assert_eq!(reply, invalid("'subscriptions[1]' must set publish or subscribe to true"));
    let reply = world.send("c", request("set_node_replication", "b", &off));
    assert_eq!(reply, invalid("'subscriptions[0]' must set publish or subscribe to true"));
    let reply = world.send("c", request("add_node", "b", &off));
    assert_eq!(reply, invalid("'subscriptions[0]' must set publish or subscribe to true"));
    world.assert_mirrored("off");
}

// covers: nodes.from.stays
#[test]
fn what_is_switched_on_begins_now_and_what_is_on_goes_on() {
    let world = three_that_share(1);
    let start =
        |world: &World| world.rows("a", "hdb_nodes")["b"]["subscriptions"][0]["from"].clone();
    let first = start(&world);
    world.send("a", request("update_node", "b", &[("dog", true, true)])).unwrap();
    assert_eq!(start(&world), first);
    let mut from_then = request("update_node", "b", &[("dog", false, true)]);
    from_then["subscriptions"][0]["start_time"] = "2022-09-02T20:06:35.993Z".into();
    world.send("a", from_then).unwrap();
    let record = world.rows("a", "hdb_nodes")["b"]["subscriptions"][0].clone();
    assert_eq!(
        (&record["start_time"], &record["from"]),
        (&json!("2022-09-02T20:06:35.993Z"), &json!(null))
    );
    for subscribe in [false, true] {
        world.send("a", request("update_node", "b", &[("dog", true, subscribe)])).unwrap();
    }
    assert_eq!(start(&world)["sequence"], 7);
    world.assert_mirrored("switched");
}

#[test]
fn who_does_not_answer_is_named() {
    let world = three(1);
    world.set_away("b", true);
    let add = request("add_node", "b", &[("dog", true, true)]);
    assert_eq!(world.send("a", add.clone()), failed("add_node failed: node 'b' is not listening"));
    world.set_away("b", false);
    for (fault, text) in [
        (Fault::NotListening, "add_node failed: node 'b' is not listening"),
        (Fault::Lost, "add_node failed: node 'b' did not reply within 7000 ms"),
        (Fault::Refused, "add_node failed: node 'b' replied: no"),
    ] {
        world.set_fault(Some((0, fault)));
        assert_eq!(world.send("a", add.clone()), failed(text));
        world.recover();
        assert_eq!(world.rows("a", "hdb_nodes").len() + world.rows("b", "hdb_nodes").len(), 0);
    }
}

#[test]
fn a_node_that_is_away_is_removed_here() {
    let world = three_that_share(1);
    world.set_away("b", true);
    let text = "Successfully removed 'b' from the local manifest; node 'b' could not be reached and \
                may still list this node";
    assert_eq!(message(world.send("a", remove("b"))), text);
    assert!(!world.rows("a", "hdb_nodes").contains_key("b"));
    assert_eq!(world.rows("a", "hdb_intents").len(), 0);
    world.set_fault(Some((0, Fault::Refused)));
    assert_eq!(world.send("a", remove("c")), failed("remove_node failed: node 'c' replied: no"));
    assert!(world.rows("a", "hdb_nodes").contains_key("c"));
}

#[test]
fn a_setup_is_replaced() {
    let world = three_that_share(1);
    let setup = configure(&[("b", &[("cat", true, true), ("bird", false, true)])]);
    assert_eq!(message(world.send("a", setup)), "Cluster successfully configured.");
    let records = world.rows("a", "hdb_nodes");
    assert_eq!(records.keys().collect::<Vec<_>>(), ["b"]);
    let tables: Vec<_> =
        records["b"]["subscriptions"].as_array().unwrap().iter().map(|one| &one["table"]).collect();
    assert_eq!(tables, ["cat", "bird"]);
    world.assert_mirrored("replaced");
    assert_eq!(message(world.send("a", configure(&[]))), "Cluster successfully configured.");
    assert_eq!(world.rows("b", "hdb_nodes").len(), 0);
    world.assert_mirrored("cleared");
}

// covers: nodes.configure.midway
#[test]
fn a_node_that_cannot_be_reached_keeps_its_setup() {
    let world = three_that_share(1);
    world.set_away("b", true);
    let before = world.rows("a", "hdb_nodes")["b"].clone();
    let setup = configure(&[("b", &[("cat", true, true)]), ("c", &[("cat", true, true)])]);
    let reply = world.send("a", setup.clone()).unwrap();
    let text = "The cluster was configured in part: some nodes keep their present setup";
    assert_eq!((&reply["message"], &reply["failed_nodes"]), (&json!(text), &json!(["b"])));
    assert_eq!(
        reply["connections"],
        json!([
            {
                "node_name": "b",
                "status": "error",
                "message": "configure_cluster failed: node 'b' is not listening",
            },
            { "node_name": "c", "status": "success", "message": "Successfully updated 'c'" },
        ])
    );
    assert_eq!(world.rows("a", "hdb_nodes")["b"], before);
    world.assert_mirrored("in part");

    world.set_away("c", true);
    let before = world.state();
    let text = "configure_cluster failed: node 'b' is not listening. configure_cluster failed: node \
                'c' is not listening";
    assert_eq!(world.send("a", setup), failed(text));
    assert_eq!(world.state(), before);

    // Not named: removed, reachable or not.
    assert_eq!(message(world.send("a", configure(&[]))), "Cluster successfully configured.");
    assert_eq!(world.rows("a", "hdb_nodes").len(), 0);
}

#[test]
fn a_setup_of_tables_that_are_nowhere_changes_nothing() {
    let world = three_that_share(1);
    let before = world.state();
    let reply = world.send("a", configure(&[("b", &[("no", true, true)])])).unwrap();
    let text = "No subscription was made: the database or table exists on neither node";
    assert_eq!(reply["message"], text);
    assert_eq!(reply["skipped"][0]["node_name"], "b");
    assert_eq!(world.state(), before);
}
