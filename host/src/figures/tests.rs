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
    one.count_gap(2);
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
    assert_eq!((shown.state, shown.lag_messages), (State::CatchingUp, 7));
    assert!((5.0..60.0).contains(&shown.lag_seconds), "{}", shown.lag_seconds);
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
    assert_eq!((of().state, of().lag_seconds), (State::Current, 0.0));
    // It begins now, however long nothing came before.
    one.set_pending(3);
    assert_eq!((of().state, of().lag_messages), (State::CatchingUp, 3));
    assert!(of().lag_seconds < 60.0);
    one.set_held(true);
    assert_eq!(of().state, State::Held);
    one.set_reached(false);
    assert_eq!(of().state, State::Away);
    figures.outbox().set_waiting(0, None);
    assert_eq!(figures.snapshot().outbox.waiting_seconds, 0.0);
}
