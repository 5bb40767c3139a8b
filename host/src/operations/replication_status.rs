//! `replication_status`: how far each subscription is, and what waits to go out.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::dispatch::{Error, ErrorKind};
use crate::figures::{Figures, Snapshot};
use crate::runtime::Operation;

pub(super) fn operation() -> Operation {
    let help = "Show how far each subscription is, and what waits to go out";
    Operation::new("replication_status", help).read_only().with_schema(json!({
        "type": "object",
        "required": ["operation"],
        "properties": { "operation": { "const": "replication_status" } },
        "examples": [{ "operation": "replication_status" }],
    }))
}

/// Without figures the node is in no cluster.
pub(super) async fn perform(figures: Option<Arc<Figures>>) -> Result<Value, Error> {
    let figures = figures.ok_or_else(|| {
        let text =
            "Clustering is not enabled: set clustering.enabled to true in harperdb-config.yaml";
        Error::new(ErrorKind::Invalid, text)
    })?;
    Ok(shown(figures.snapshot()))
}

fn shown(snapshot: Snapshot) -> Value {
    let outbox = snapshot.outbox;
    let subscription = |one: crate::figures::SubscriptionFigures| {
        json!({
            "node_name": one.node,
            "database": one.table.database,
            "table": one.table.table,
            "state": one.state.name(),
            "lag_messages": one.lag_messages,
            "lag_seconds": one.lag_seconds,
            "applied": one.applied,
            "dropped": one.dropped,
            "dead_lettered": one.dead_lettered,
            "gap": one.gap,
        })
    };
    let subscriptions: Value = snapshot.subscriptions.into_iter().map(subscription).collect();
    json!({
        "outbox": {
            "waiting": outbox.waiting,
            "waiting_seconds": outbox.waiting_seconds,
            "published": outbox.published,
            "failures": outbox.failures,
            "gap": outbox.gap,
            "unpublished": outbox.unpublished,
        },
        "subscriptions": subscriptions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::TableName;

    // covers: replication-status.reply
    #[tokio::test]
    async fn all_figures_are_shown() {
        let figures = Arc::new(Figures::new());
        let dog = TableName { database: "dev".into(), table: "dog".into() };
        let one = figures.subscription("node-2", &dog);
        one.set_reached(true);
        one.count_applied(7);
        one.count_gap(1);
        figures.outbox().count_published(3);
        let subscription = json!({
            "node_name": "node-2", "database": "dev", "table": "dog", "state": "current",
            "lag_messages": 0, "lag_seconds": 0.0, "applied": 7, "dropped": 0,
            "dead_lettered": 0, "gap": 1,
        });
        let outbox = json!({
            "waiting": 0, "waiting_seconds": 0.0, "published": 3, "failures": 0, "gap": 0,
            "unpublished": 0,
        });
        let expected = json!({ "outbox": outbox, "subscriptions": [subscription] });
        assert_eq!(perform(Some(figures)).await.unwrap(), expected);
    }
}
