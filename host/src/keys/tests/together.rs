//! Several at once.

use std::{sync::Barrier, thread, time::Duration};

use super::*;

/// As processes do: each opens the lock file for itself.
// covers: keys.at-once
#[test]
fn those_who_start_at_once_end_with_one_set() {
    const STARTS: usize = 8;
    let root = root();
    let barrier = Barrier::new(STARTS);
    let start = || {
        barrier.wait();
        let files = open(&root).unwrap();
        let all = MADE.map(|name| read(&root, name).unwrap());
        (files.password().to_string(), files.checked, all)
    };
    let found: Vec<_> = thread::scope(|scope| {
        let starts: Vec<_> = (0..STARTS).map(|_| scope.spawn(start)).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    for other in &found {
        assert_eq!(*other, found[0]);
    }
}

/// Whoever opens meanwhile has the one cluster's files and password, or the other's.
#[test]
fn an_import_is_seen_whole_or_not_at_all() {
    let (one, other, second) = (root(), root(), root());
    let bundles = [bundle_for(&one, "node2"), bundle_for(&other, "node2")];
    let passwords = [&one, &other].map(|root| open(root).unwrap());
    import(second.path(), &bundles[0], false).unwrap();
    let seen = thread::scope(|scope| {
        let importing = scope.spawn(|| {
            for turn in 0..20 {
                import(second.path(), &bundles[turn % 2], true).unwrap();
            }
        });
        let mut seen = 0;
        while !importing.is_finished() {
            let files = ClusterFiles::open(Wanted::new(second.path(), "node2")).unwrap();
            let of = |cluster: &&ClusterFiles| cluster.password() == files.password();
            let cluster = passwords.iter().find(of).unwrap();
            let authority = &files.checked.authority_fingerprint;
            assert_eq!(*authority, cluster.checked.authority_fingerprint);
            seen += 1;
        }
        importing.join().unwrap();
        seen
    });
    assert!(seen > 0);
}

#[test]
fn who_is_locked_out_for_too_long_says_so() {
    let root = root();
    open(&root).unwrap();
    let _lock = Folder::of(root.path()).lock().unwrap();
    let error = Folder::of(root.path()).lock_within(Duration::ZERO).unwrap_err().to_string();
    assert!(error.contains("cluster.lock has been locked by another process for more than 0 s"));
}
