//! Everything that can go wrong with a request, a store or a server.

use super::*;
use crate::fake::world::Fault;
use crate::operation::Error;

const FAULTS: [Fault; 7] = [
    Fault::NotListening,
    Fault::Lost,
    Fault::Refused,
    Fault::Garbage,
    Fault::NoReply,
    Fault::Late,
    Fault::OwnServer,
];

// covers: nodes.midway.failed
#[test]
fn a_change_that_fails_is_undone() {
    for fault in FAULTS {
        for seed in 1..20 {
            for (world, request) in [
                (
                    three(seed),
                    request("add_node", "b", &[("dog", true, true), ("bird", false, true)]),
                ),
                (
                    three_that_share(seed),
                    request("update_node", "b", &[("dog", false, true), ("cat", true, true)]),
                ),
            ] {
                let context = format!("{request}, {fault:?}, seed {seed}");
                let before = world.state();
                world.set_fault(Some((0, fault)));
                let reply = world.send("a", request.clone());
                assert!(matches!(reply, Err(Error::Failed(_))), "{context}: {reply:?}");
                world.recover();
                world.assert_mirrored(&context);
                assert_eq!(world.state(), before, "{context}");
            }
        }
    }
}

// covers: nodes.midway.away
#[test]
fn a_node_that_goes_away_is_told_when_it_is_back() {
    for seed in 1..20 {
        let world = three(seed);
        let before = world.state();
        // It does what it is told, and then is gone before it can be told to undo it.
        world.set_fault(Some((0, Fault::NoReply)));
        let call = world.begin("a", request("add_node", "b", &[("dog", true, true)]), None);
        while world.rows("b", "hdb_nodes").is_empty() {
            world.run_a_step();
        }
        world.set_away("b", true);
        world.run();
        let text = "add_node failed: node 'b' did not reply within 7000 ms";
        assert_eq!(call.reply().unwrap(), Err(Error::Failed(text.into())));
        assert_eq!(world.rows("a", "hdb_nodes").len(), 0, "what can be undone is");

        let left = world.recover_one("a");
        world.run();
        assert_eq!(left.get(), Some(1));
        let again = world.send("a", request("add_node", "b", &[("cat", true, true)]));
        assert_eq!(again, Err(Error::Failed("add_node failed: node 'b' is not listening".into())));
        let unknown = Error::Invalid("Node 'b' is not in the manifest".into());
        assert_eq!(world.send("a", remove("b")), Err(unknown));

        world.set_away("b", false);
        if seed % 2 == 0 {
            // It is told at once, and left alone until it is over with what it was told before.
            let add = request("add_node", "b", &[("cat", true, true)]);
            let under_way = Error::Conflict("Another operation on node 'b' is under way".into());
            assert_eq!(world.send("a", add.clone()), Err(under_way));
            assert_eq!(world.rows("b", "hdb_nodes").len(), 0);
            world.recover();
            world.send("a", add).unwrap();
            let list = world.rows("b", "hdb_nodes")["a"]["subscriptions"].clone();
            assert_eq!(list.as_array().unwrap().len(), 1);
            world.assert_mirrored("added again");
        } else {
            world.recover();
            assert_eq!(world.state(), before);
        }
    }
}

// covers: nodes.midway.store
#[test]
fn a_write_that_fails_leaves_both_nodes_the_same() {
    for node in ["a", "b"] {
        for after in 0..8 {
            for (world, request) in [
                (
                    three(after.into()),
                    request("add_node", "b", &[("dog", true, true), ("bird", false, true)]),
                ),
                (
                    three_that_share(after.into()),
                    request("update_node", "b", &[("dog", false, true), ("cat", true, true)]),
                ),
                (three_that_share(after.into()), remove("b")),
                (three_that_share(after.into()), configure(&[("b", &[("cat", true, true)])])),
            ] {
                let context = format!("{request}: write {after} of {node}");
                world.fail_write(node, Some(after));
                let _ = world.send("a", request.clone());
                world.fail_write(node, None);
                world.recover();
                world.assert_mirrored(&context);
            }
        }
    }
}

// covers: nodes.midway.configure
#[test]
fn a_setup_in_the_midst_of_failures_leaves_pairs_the_same() {
    for fault in FAULTS {
        for number in 0..3 {
            for seed in 1..8 {
                let world = three_that_share(seed);
                let context = format!("{fault:?} of request {number}, seed {seed}");
                world.set_fault(Some((number, fault)));
                let setup =
                    configure(&[("b", &[("cat", true, true)]), ("c", &[("dog", false, true)])]);
                let reply = world.send("a", setup).unwrap();
                world.recover();
                world.assert_mirrored(&context);
                let failed =
                    reply.get("failed_nodes").map_or(0, |nodes| nodes.as_array().unwrap().len());
                assert_eq!(failed, usize::from(number < 2), "{context}: {reply}");
            }
        }
    }
}
