//! Calls that end before any of their steps: the call alone, its host, or the one that answers.

use serde_json::Value;

use super::*;
use crate::fake::world::{Cut, Fault, World};

/// Makes a world from a seed.
type Begin = fn(u64) -> World;

/// The operations, each with the world that it begins in.
fn operations() -> Vec<(Begin, Value)> {
    let mut restart = request("update_node", "b", &[("dog", true, true), ("cat", true, true)]);
    restart["subscriptions"][0]["start_time"] = "2022-09-02T20:06:35.993Z".into();
    vec![
        (three, request("add_node", "b", &[("dog", true, true), ("bird", false, true)])),
        (
            three_that_share,
            request("update_node", "b", &[("dog", false, false), ("cat", true, true)]),
        ),
        (three_that_share, restart),
        (three_that_share, request("set_node_replication", "c", &[("dog", true, false)])),
        (three_that_share, remove("b")),
        (three_that_share, configure(&[("b", &[("cat", true, true), ("bird", false, true)])])),
        (three_that_share, configure(&[("c", &[("dog", true, false)]), ("b", &[])])),
        (three_that_share, configure(&[])),
    ]
}

// covers: nodes.midway.stopped
#[test]
fn a_call_that_is_cut_off_is_finished_or_undone() {
    for (world_of, request) in operations() {
        let world = world_of(1);
        let before = world.state();
        let call = world.begin("a", request.clone(), None);
        world.run();
        call.reply().unwrap().unwrap();
        let (after, steps) = (world.state(), call.steps());
        world.assert_mirrored("whole");
        assert_ne!(before, after);
        let (mut befores, mut afters) = (0, 0);
        for step in 1..=steps {
            for seed in 1..6 {
                for cut in [Cut::Call(step), Cut::Host(step)] {
                    let world = world_of(seed);
                    let context = format!("{request}, {cut:?}, seed {seed}");
                    let call = world.begin("a", request.clone(), Some(cut));
                    world.run();
                    assert_eq!(call.reply(), None, "{context}");
                    world.recover();
                    world.assert_mirrored(&context);
                    let state = world.state();
                    if state == before {
                        befores += 1;
                    } else {
                        assert_eq!(state, after, "{context}: neither before nor after");
                        afters += 1;
                    }
                }
            }
        }
        assert!(befores > 0, "{request}");
        let is_forward =
            ["remove_node", "configure_cluster"].contains(&request["operation"].as_str().unwrap());
        assert_eq!(afters > 0, is_forward, "{request}");
    }
}

// covers: nodes.midway.other
#[test]
fn an_answer_that_is_cut_off_leaves_both_nodes_the_same() {
    for (world_of, request) in operations() {
        let world = world_of(1);
        let before = world.state();
        world.set_fault(None);
        world.send("a", request.clone()).unwrap();
        let (after, requests) = (world.state(), world.requests());
        for number in 0..requests {
            for step in 1..12 {
                for fault in [Fault::Cut(step), Fault::Killed(step)] {
                    for seed in 1..4 {
                        let world = world_of(seed);
                        let context = format!("{request}, request {number}, {fault:?}, {seed}");
                        world.set_fault(Some((number, fault)));
                        let reply = world.send("a", request.clone());
                        world.recover();
                        let state = world.state();
                        if request["operation"] == "remove_node" || requests > 1 {
                            // Who is removed and out of reach may still list this node; and of several
                            // nodes each is for itself.
                            continue;
                        }
                        world.assert_mirrored(&context);
                        assert!(
                            state == before || state == after,
                            "{context}: {reply:?}\n{state:#}"
                        );
                        assert_eq!(reply.is_ok(), state == after, "{context}: {reply:?}");
                    }
                }
            }
        }
    }
}
