//! Operations at the same time, in orders that a seed decides.

use std::rc::Rc;

use serde_json::Value;

use super::*;
use crate::fake::world::{Call, World};
use crate::operation::Error;

const SEEDS: u64 = 300;

/// Runs operations at the same time, each after another pause. Those of a host that is killed do not
/// reply.
fn together(world: &World, requests: &[(&str, Value)]) -> Vec<Result<Value, Error>> {
    let calls: Vec<Rc<Call>> = requests
        .iter()
        .map(|(node, request)| {
            let call = world.begin(node, request.clone(), None);
            world.run_some();
            call
        })
        .collect();
    world.run();
    calls.iter().filter_map(|call| call.reply()).collect()
}

// covers: nodes.together.clients
#[test]
fn two_clients_add_the_same_node() {
    for seed in 1..SEEDS {
        let world = three(seed);
        let replies = together(
            &world,
            &[
                ("a", request("add_node", "b", &[("dog", true, false)])),
                ("a", request("add_node", "b", &[("cat", true, false)])),
            ],
        );
        let added = replies.iter().filter(|reply| reply.is_ok()).count();
        assert_eq!(added, 1, "seed {seed}: {replies:?}");
        let refused = replies.iter().find_map(|reply| reply.as_ref().err()).unwrap();
        assert!(refused.text().contains("is already in the manifest"), "{refused:?}");
        world.assert_mirrored(&format!("seed {seed}"));
        assert_eq!(world.rows("b", "hdb_nodes")["a"]["subscriptions"].as_array().unwrap().len(), 1);
    }
}

// covers: nodes.together.add
#[test]
fn two_nodes_add_each_other() {
    let pairs: [[Flows<'_>; 2]; 3] = [
        [&[("dog", true, true)], &[("dog", true, true)]],
        [&[("dog", true, false), ("cat", true, true)], &[("dog", true, false)]],
        [&[("dog", true, false)], &[("bird", true, true)]],
    ];
    for [one, other] in pairs {
        for seed in 1..SEEDS {
            let world = three(seed);
            let replies = together(
                &world,
                &[("a", request("add_node", "b", one)), ("b", request("add_node", "a", other))],
            );
            let context = format!("seed {seed}: {replies:?}");
            world.assert_mirrored(&context);
            let fine = |reply: &Result<Value, Error>| match reply {
                Ok(_) => true,
                Err(error) => error.text().contains("is already in the manifest"),
            };
            assert!(replies.len() == 2 && replies.iter().all(fine), "{context}");
            assert!(replies.iter().any(Result::is_ok), "{context}");
            assert!(world.rows("a", "hdb_nodes").contains_key("b"), "{context}");
        }
    }
}

// covers: nodes.together.remove
#[test]
fn adding_against_removing() {
    for seed in 1..SEEDS * 10 {
        let world = three_that_share(seed);
        let replies = together(
            &world,
            &[
                ("a", remove("b")),
                ("b", request("set_node_replication", "a", &[("cat", true, true)])),
                ("b", remove("a")),
                ("a", request("set_node_replication", "b", &[("bird", true, true)])),
            ],
        );
        let context = format!("seed {seed}: {replies:?}");
        world.recover();
        world.assert_mirrored(&context);
        let clean = |reply: &Result<Value, Error>| match reply {
            Ok(_) | Err(Error::Conflict(_)) => true,
            Err(error) => error.text().contains("is not in the manifest"),
        };
        assert!(replies.len() == 4 && replies.iter().all(clean), "{context}");
    }
}

// covers: nodes.together.update
#[test]
fn both_change_the_same_and_other_tables() {
    for seed in 1..SEEDS {
        let world = three_that_share(seed);
        let replies = together(
            &world,
            &[
                ("a", request("update_node", "b", &[("dog", true, false), ("cat", true, false)])),
                ("b", request("update_node", "a", &[("dog", true, false), ("bird", true, false)])),
            ],
        );
        let context = format!("seed {seed}: {replies:?}");
        assert!(replies.len() == 2 && replies.iter().all(Result::is_ok), "{context}");
        world.assert_mirrored(&context);
        let list = world.rows("a", "hdb_nodes")["b"]["subscriptions"].clone();
        assert_eq!(list.as_array().unwrap().len(), 3, "{context}");
    }
}

// covers: nodes.together.configure
#[test]
fn all_configure_at_the_same_time() {
    for seed in 1..SEEDS {
        let world = three_that_share(seed);
        let replies = together(
            &world,
            &[
                ("a", configure(&[("b", &[("dog", true, false)]), ("c", &[("cat", true, true)])])),
                ("b", configure(&[("a", &[("dog", true, true)]), ("c", &[("bird", true, false)])])),
                ("c", configure(&[("b", &[("bird", true, false), ("dog", true, true)])])),
            ],
        );
        let context = format!("seed {seed}: {replies:?}");
        world.recover();
        world.assert_mirrored(&context);
        assert!(replies.len() == 3 && replies.iter().all(Result::is_ok), "{context}");
    }
}

/// Everybody does anything, and one request in four goes wrong.
// covers: nodes.together.anything
#[test]
fn anything_at_the_same_time() {
    let tables = ["dog", "cat", "bird", "cow"];
    for seed in 1..SEEDS * 4 {
        let world = three(seed);
        for table in tables {
            for node in ["a", "b", "c"] {
                if world.has_table(node, "dev", table).is_none() {
                    world.table(node, "dev", table, "id");
                }
            }
        }
        world.set_odds(if seed % 2 == 0 { 4 } else { 0 });
        let mut requests = Vec::new();
        for _ in 0..8 {
            let names = ["a", "b", "c"];
            let node = names[world.random(3) as usize];
            let others: Vec<_> = names.into_iter().filter(|name| *name != node).collect();
            let other = others[world.random(2) as usize];
            let table = |world: &World| {
                let flags = world.random(3);
                (tables[world.random(4) as usize], flags != 0, flags != 1)
            };
            let (one, two) = (table(&world), table(&world));
            let list = if one.0 == two.0 { vec![one] } else { vec![one, two] };
            // Nodes that are out of reach when they are removed may still list who removed them.
            let kinds = if seed % 2 == 0 { 2 + world.random(4) } else { world.random(6) };
            requests.push((
                node,
                match kinds {
                    0 => remove(other),
                    1 => configure(&[(other, &list)]),
                    2 => request("add_node", other, &list),
                    3 => request("update_node", other, &list),
                    _ => request("set_node_replication", other, &list),
                },
            ));
        }
        let replies = together(&world, &requests);
        let context = format!("seed {seed}: {requests:#?} {replies:#?} {:#?}", world.warnings());
        world.recover();
        world.assert_mirrored(&context);
    }
}
