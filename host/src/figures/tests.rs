use super::{Figures, State, now};
use crate::capabilities::TableName;
use crate::metrics;

fn dog() -> TableName {
    TableName { database: "dev".into(), table: "dog".into() }
}

// covers: figures.counted
#[test]
fn what_is_counted_is_shown() {
    let figures = Figures::new();
    let one = figures.subscription("node-2", &dog());
    assert_eq!(figures.snapshot().subscriptions[0].state, State::Away);
    one.set_reached(true);
    one.count_applied(5);
    one.count_dropped(4);
    one.count_dead_lettered(3);
    one.set_gap(2);
    one.advance(now() - 5000, 7);
    figures.outbox().set_waiting(6, Some(now() - 9000));
    figures.outbox().count_published(8);
    figures.outbox().count_failure();
    figures.outbox().count_gap(9);
    figures.outbox().count_unpublished(10);

    let snapshot = figures.snapshot();
    let shown = &snapshot.subscriptions[0];
    assert_eq!((&*shown.node, &shown.table), ("node-2", &dog()));
    assert_eq!((shown.applied, shown.dropped, shown.dead_lettered, shown.gap), (5, 4, 3, 2));
    assert_eq!((shown.state, shown.lag_messages), (State::CatchingUp, Some(7)));
    assert!((5.0..60.0).contains(&shown.lag_seconds.unwrap()), "{:?}", shown.lag_seconds);
    assert_eq!((snapshot.outbox.waiting, snapshot.outbox.published), (6, 8));
    assert!((9.0..60.0).contains(&snapshot.outbox.waiting_seconds));
    let text = metrics::text(&[figures.registry()]);
    let of = r#"{node="node-2",database="dev",table="dog"}"#;
    for line in [
        format!("harper_replication_lag_messages{of} 7.0"),
        format!("harper_replication_applied_total{of} 5"),
        format!("harper_replication_dropped_total{of} 4"),
        format!("harper_replication_dead_lettered_total{of} 3"),
        format!("harper_replication_gap_total{of} 2"),
        "harper_replication_outbox_changes 6.0".into(),
        "harper_replication_published_total 8".into(),
        "harper_replication_publish_failures_total 1".into(),
        "harper_replication_outbox_gap_total 9".into(),
        "harper_replication_unpublished_total 10".into(),
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    for name in ["harper_replication_lag_seconds{", "harper_replication_outbox_age_seconds "] {
        assert!(text.lines().any(|one| one.starts_with(name)), "{name}\n{text}");
    }

    // The same one, until it is forgotten.
    figures.subscription("node-2", &dog()).count_applied(1);
    assert_eq!(figures.snapshot().subscriptions[0].applied, 6);
    figures.forget("node-2", &dog());
    assert!(figures.snapshot().subscriptions.is_empty());
}

#[test]
fn who_has_nothing_to_do_has_no_lag() {
    let figures = Figures::new();
    let one = figures.subscription("node-2", &dog());
    one.set_reached(true);
    let of = || figures.snapshot().subscriptions.remove(0);
    one.advance(1000, 0);
    assert_eq!((of().state, of().lag_seconds), (State::Current, Some(0.0)));
    // It begins now, however long nothing came before.
    one.set_pending(3);
    assert_eq!((of().state, of().lag_messages), (State::CatchingUp, Some(3)));
    assert!(of().lag_seconds.unwrap() < 60.0);
    one.set_held(true);
    assert_eq!(of().state, State::Held);
    figures.outbox().set_waiting(0, None);
    assert_eq!(figures.snapshot().outbox.waiting_seconds, 0.0);
}

// covers: figures.away
#[test]
fn the_lag_of_a_node_that_is_away_is_not_known() {
    let figures = Figures::new();
    let one = figures.subscription("node-2", &dog());
    let of = || figures.snapshot().subscriptions.remove(0);
    let began = of().away_since.unwrap();
    assert!(now() - began < 60_000, "it was never reached");
    one.set_reached(true);
    one.set_pending(3);
    assert_eq!((of().away_since, of().lag_messages), (None, Some(3)));
    one.set_reached(false);
    let since = of().away_since.unwrap();
    assert!(since >= began);
    // It is away since it was, however often it is tried.
    one.set_reached(false);
    assert_eq!((of().state, of().away_since), (State::Away, Some(since)));
    assert_eq!((of().lag_messages, of().lag_seconds), (None, None));
    let text = metrics::text(&[figures.registry()]);
    let of = r#"{node="node-2",database="dev",table="dog"}"#;
    assert!(text.contains(&format!("harper_replication_reached{of} 0.0\n")), "{text}");
    assert!(!text.contains(&format!("harper_replication_lag_messages{of}")), "{text}");
    assert!(!text.contains(&format!("harper_replication_lag_seconds{of}")), "{text}");
    one.set_reached(true);
    let text = metrics::text(&[figures.registry()]);
    assert!(text.contains(&format!("harper_replication_lag_messages{of} 3.0\n")), "{text}");
}

// covers: figures.dead-letters
#[test]
fn what_is_put_aside_is_as_the_database_has_it() {
    let figures = Figures::new();
    figures.subscription("node-2", &dog());
    figures.subscription("node-3", &dog());
    let stream = harper_wire::names::stream("dev", "dog");
    let of = |node: &str, count| ((node.to_owned(), stream.clone()), count);
    let (sender, letters) = tokio::sync::watch::channel(crate::data::Letters::default());
    figures.show_letters(letters);
    assert_eq!(figures.snapshot().dead_letters, 0);
    // Of a node that this one has no subscription at any more too.
    sender.send_replace(std::sync::Arc::new([of("node-2", 4), of("node-9", 2)].into()));
    let snapshot = figures.snapshot();
    let counts: Vec<_> = snapshot.subscriptions.iter().map(|one| one.dead_letters).collect();
    assert_eq!((counts, snapshot.dead_letters), (vec![4, 0], 6));
    let of = r#"{node="node-2",database="dev",table="dog"}"#;
    let text = metrics::text(&[figures.registry()]);
    assert!(text.contains(&format!("harper_replication_dead_letters{of} 4.0\n")), "{text}");
    assert!(text.contains("harper_replication_all_dead_letters 6.0\n"), "{text}");
}
