//! Nodes that talk to each other, in all the orders and with all the failures that there are.

mod cuts;
mod faults;
mod plain;
mod races;

use serde_json::{Value, json};

use crate::fake::world::World;

/// Tables of `dev`: the name, whether it publishes and whether it subscribes.
type Flows<'a> = &'a [(&'a str, bool, bool)];

fn subscriptions(tables: Flows<'_>) -> Value {
    let one = |(table, publish, subscribe): &(&str, bool, bool)| json!({ "schema": "dev", "table": table, "publish": publish, "subscribe": subscribe });
    tables.iter().map(one).collect()
}

fn request(operation: &str, node: &str, tables: Flows<'_>) -> Value {
    json!({
        "operation": operation,
        "node_name": node,
        "subscriptions": subscriptions(tables),
    })
}

fn remove(node: &str) -> Value {
    json!({ "operation": "remove_node", "node_name": node })
}

fn configure(connections: &[(&str, Flows<'_>)]) -> Value {
    let one = |(node, tables): &(&str, Flows<'_>)| json!({ "node_name": node, "subscriptions": subscriptions(tables) });
    json!({
        "operation": "configure_cluster",
        "connections": connections.iter().map(one).collect::<Vec<_>>(),
    })
}

/// Three nodes, the first with three tables and the second with two of them, one of which no other
/// has.
fn three(seed: u64) -> World {
    let world = World::new(seed, &["a", "b", "c"]);
    for table in ["dog", "cat", "cow"] {
        world.table("a", "dev", table, "id");
    }
    for table in ["dog", "bird"] {
        world.table("b", "dev", table, "id");
    }
    world
}

/// The same, and the first shares a table with each of the others.
fn three_that_share(seed: u64) -> World {
    let world = three(seed);
    for node in ["b", "c"] {
        world.send("a", request("add_node", node, &[("dog", true, true)])).unwrap();
    }
    world
}
