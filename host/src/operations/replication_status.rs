//! `replication_status`: how far each subscription is, what waits to go out, and how far other nodes
//! are with this one's streams.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{iso, not_enabled};
use crate::dispatch::Error;
use crate::figures::{Figures, Snapshot, SubscriptionFigures};
use crate::replication::{OwnStream, Replicator};
use crate::runtime::Operation;

/// For the node's own server, to tell who reads its streams.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn operation() -> Operation {
    let help = "Show how far this node is with others' tables, and others with its own";
    Operation::new("replication_status", help).read_only().with_schema(json!({
        "type": "object",
        "required": ["operation"],
        "properties": { "operation": { "const": "replication_status" } },
        "examples": [{ "operation": "replication_status" }],
    }))
}

/// Without figures the node is in no cluster.
pub(super) async fn perform(
    figures: Option<Arc<Figures>>,
    replicator: Option<Replicator>,
) -> Result<Value, Error> {
    let figures = figures.ok_or_else(not_enabled)?;
    let streams = match replicator {
        Some(replicator) => replicator.readers(PATIENCE).await,
        None => Ok(Vec::new()),
    };
    Ok(shown(figures.snapshot(), streams))
}

fn shown(snapshot: Snapshot, streams: Result<Vec<OwnStream>, String>) -> Value {
    let outbox = snapshot.outbox;
    let subscriptions: Value = snapshot.subscriptions.into_iter().map(subscription).collect();
    let mut status = json!({
        "outbox": {
            "waiting": outbox.waiting,
            "waiting_seconds": outbox.waiting_seconds,
            "published": outbox.published,
            "failures": outbox.failures,
            "gap": outbox.gap,
            "unpublished": outbox.unpublished,
        },
        "dead_letters": snapshot.dead_letters,
        "subscriptions": subscriptions,
    });
    match streams {
        Ok(streams) => status["streams"] = streams.into_iter().map(stream).collect(),
        Err(why) => {
            status["streams"] = Value::Null;
            status["streams_problem"] = why.into();
        }
    }
    status
}

fn subscription(one: SubscriptionFigures) -> Value {
    json!({
        "node_name": one.node,
        "database": one.table.database,
        "table": one.table.table,
        "state": one.state.name(),
        "away_since": one.away_since.and_then(iso),
        "lag_messages": one.lag_messages,
        "lag_seconds": one.lag_seconds,
        "applied": one.applied,
        "dropped": one.dropped,
        "dead_lettered": one.dead_lettered,
        "dead_letters": one.dead_letters,
        "gap": one.gap,
    })
}

fn stream(one: OwnStream) -> Value {
    let readers = one.readers.map(|readers| {
        let reader = |reader: crate::replication::Reader| {
            json!({
                "node_name": reader.node,
                "acknowledged": reader.acknowledged,
                "pending": reader.pending,
            })
        };
        readers.into_iter().map(reader).collect::<Value>()
    });
    json!({
        "database": one.table.database,
        "table": one.table.table,
        "messages": one.messages,
        "first_sequence": one.first_sequence,
        "last_sequence": one.last_sequence,
        "readers": readers,
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
        one.set_gap(1);
        figures.outbox().count_published(3);
        let mut subscription = json!({
            "node_name": "node-2", "database": "dev", "table": "dog", "state": "current",
            "away_since": null, "lag_messages": 0, "lag_seconds": 0.0, "applied": 7, "dropped": 0,
            "dead_lettered": 0, "dead_letters": 0, "gap": 1,
        });
        let outbox = json!({
            "waiting": 0, "waiting_seconds": 0.0, "published": 3, "failures": 0, "gap": 0,
            "unpublished": 0,
        });
        let expected = json!({
            "outbox": outbox, "dead_letters": 0, "subscriptions": [subscription], "streams": [],
        });
        assert_eq!(perform(Some(figures.clone()), None).await.unwrap(), expected);
        // Of a node that is away what is not known is null.
        one.set_reached(false);
        let mut shown = perform(Some(figures), None).await.unwrap();
        let since = shown["subscriptions"][0]["away_since"].take();
        assert!(since.as_str().unwrap().ends_with('Z'), "{since}");
        subscription["state"] = "away".into();
        subscription["lag_messages"] = Value::Null;
        subscription["lag_seconds"] = Value::Null;
        assert_eq!(shown["subscriptions"][0], subscription);
    }

    #[test]
    fn streams_that_cannot_be_asked_are_not_known() {
        let status = shown(Snapshot::default(), Err("no answer".into()));
        assert_eq!(
            (&status["streams"], &status["streams_problem"]),
            (&json!(null), &json!("no answer"))
        );
    }
}
