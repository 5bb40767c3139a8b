//! `replication`: what `replication_status` replies, as a table.

use std::fmt::Write;

use anyhow::Result;
use clap::{Args, Command};
use harper_host::Operation;
use serde_json::Value;

use super::call::{self, Options};
use super::output::{self, printable};

/// The operation whose reply it shows.
pub(super) const OPERATION: &str = "replication_status";

/// Heads of the columns, the keys that they show, and whether these are numbers.
const COLUMNS: [(&str, &str, bool); 10] = [
    ("NODE", "node_name", false),
    ("DATABASE", "database", false),
    ("TABLE", "table", false),
    ("STATE", "state", false),
    ("LAG", "lag_messages", true),
    ("LAG SECONDS", "lag_seconds", true),
    ("APPLIED", "applied", true),
    ("DROPPED", "dropped", true),
    ("DEAD", "dead_lettered", true),
    ("GAP", "gap", true),
];

const AFTER: &str = "\
LAG counts messages that are not applied yet, GAP those that were removed unread and are lost, DEAD
those that could not be applied and were put aside. Counters begin at 0 when the node starts.

The same as YAML: harper-host replication_status.";

pub(super) fn command() -> Command {
    Options::augment_args(Command::new("replication"))
        .mut_arg("force", |force| force.hide(true))
        .about("Show how far each subscription of a node is, as a table")
        .override_usage("harper-host replication [OPTIONS] [KEY=VALUE]...")
        .after_help(AFTER)
}

pub(super) fn show(operation: &Operation, options: Options) -> Result<()> {
    let (reply, as_json) = call::ask(operation, options)?;
    if as_json {
        return output::reply(&reply, true);
    }
    output::print(&table(&output::value(&reply)?))
}

fn table(status: &Value) -> String {
    let outbox = |key: &str| cell(&status["outbox"][key]);
    let mut text = String::new();
    let subscriptions = status["subscriptions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if subscriptions.is_empty() {
        text += "This node subscribes to no table.\n";
    } else {
        let head = COLUMNS.map(|(head, ..)| head.to_owned());
        let row = |one: &Value| COLUMNS.map(|(_, key, _)| cell(&one[key]));
        let rows: Vec<_> = std::iter::once(head).chain(subscriptions.iter().map(row)).collect();
        let width = |column: usize| {
            rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..COLUMNS.len()).map(width).collect();
        for row in &rows {
            let mut line = String::new();
            for ((cell, width), (.., is_number)) in row.iter().zip(&widths).zip(COLUMNS) {
                // Writing to a string does not fail.
                let _ = match is_number {
                    true => write!(line, "{cell:>width$}  "),
                    false => write!(line, "{cell:<width$}  "),
                };
            }
            text += line.trim_end();
            text.push('\n');
        }
    }
    let _ = writeln!(
        text,
        "\nOwn changes: {} published, {} waiting for {} s, {} failures, {} lost to the log, {} refused",
        outbox("published"),
        outbox("waiting"),
        outbox("waiting_seconds"),
        outbox("failures"),
        outbox("gap"),
        outbox("unpublished"),
    );
    text
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        Value::Number(number) if number.is_f64() => {
            format!("{:.1}", number.as_f64().unwrap_or_default())
        }
        Value::Null => "-".into(),
        other => printable(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // covers: cli.replication
    #[test]
    fn subscriptions_are_rows() {
        let subscription = |node: &str, lag: u64| {
            json!({
                "node_name": node, "database": "dev", "table": "dog", "state": "catching-up",
                "lag_messages": lag, "lag_seconds": 1.25, "applied": 3, "dropped": 0,
                "dead_lettered": 0, "gap": 0,
            })
        };
        let outbox = json!({
            "waiting": 2, "waiting_seconds": 0.5, "published": 9, "failures": 1, "gap": 0,
        });
        let both = [subscription("n\u{1b}", 12_345), subscription("a", 1)];
        let text = table(&json!({ "outbox": outbox, "subscriptions": both }));
        let expected = "\
NODE     DATABASE  TABLE  STATE          LAG  LAG SECONDS  APPLIED  DROPPED  DEAD  GAP
n\\u{1b}  dev       dog    catching-up  12345          1.2        3        0     0    0
a        dev       dog    catching-up      1          1.2        3        0     0    0

Own changes: 9 published, 2 waiting for 0.5 s, 1 failures, 0 lost to the log
";
        assert_eq!(text, expected);
        let none = table(&json!({ "outbox": outbox, "subscriptions": [] }));
        assert!(none.starts_with("This node subscribes to no table.\n"), "{none}");
        // Of another kind of node.
        assert!(table(&json!(3)).contains("Own changes: - published"));
    }
}
