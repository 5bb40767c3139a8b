//! `replication`: what `replication_status` replies, as tables; and beneath it the operations on what
//! could not be applied.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use harper_host::Operation;
use serde_json::Value;

use super::call::{self, Options};
use super::help;
use super::output::{self, printable};

/// The operation whose reply it shows.
pub(super) const OPERATION: &str = "replication_status";
/// The one whose reply is a table too.
const LETTERS: &str = "dead_letters";

/// Commands of this one, and the operations that they are.
const COMMANDS: [(&str, &str); 3] = [
    ("dead-letters", LETTERS),
    ("apply-dead-letters", "apply_dead_letters"),
    ("drop-dead-letters", "drop_dead_letters"),
];

/// Heads of the columns, the keys that they show, and whether these are numbers.
type Columns<'c> = &'c [(&'c str, &'c str, bool)];

const SUBSCRIPTIONS: Columns<'_> = &[
    ("NODE", "node_name", false),
    ("DATABASE", "database", false),
    ("TABLE", "table", false),
    ("STATE", "state", false),
    ("LAG", "lag_messages", true),
    ("LAG SECONDS", "lag_seconds", true),
    ("APPLIED", "applied", true),
    ("DROPPED", "dropped", true),
    ("DEAD", "dead_letters", true),
    ("GAP", "gap", true),
    ("AWAY SINCE", "away_since", false),
];

const READERS: Columns<'_> = &[
    ("READER", "node_name", false),
    ("DATABASE", "database", false),
    ("TABLE", "table", false),
    ("LAST", "last_sequence", true),
    ("ACKNOWLEDGED", "acknowledged", true),
    ("PENDING", "pending", true),
];

const DEAD_LETTERS: Columns<'_> = &[
    ("ID", "id", true),
    ("NODE", "node_name", false),
    ("DATABASE", "database", false),
    ("TABLE", "table", false),
    ("SEQUENCE", "sequence", true),
    ("CAME", "time", false),
    ("BYTES", "bytes", true),
    ("WHY", "reason", false),
];

const USAGE: &str = "harper-host replication [OPTIONS] [KEY=VALUE]...
       harper-host replication dead-letters [OPTIONS] [KEY=VALUE]...
       harper-host replication apply-dead-letters [OPTIONS] [KEY=VALUE]...
       harper-host replication drop-dead-letters [OPTIONS] [KEY=VALUE]...";

const AFTER: &str = "\
The first table is what this node reads of others. LAG counts messages that are not applied yet, and
is not known of a node that is away. DEAD counts those that could not be applied and lie aside: see
dead-letters. GAP counts those that were removed unread and are lost. Other counters begin at 0 when
the node starts.

The second is what others read of this node: the last sequence of the table's stream, up to which
each has acknowledged it, and how many messages it has not.

The same as YAML: harper-host replication_status.";

pub(super) fn command(operations: &[Operation]) -> Command {
    let named = |(name, of): (&'static str, &str)| {
        let operation = operations.iter().find(|operation| operation.name == of)?;
        let words = format!("replication {name}");
        Some(help::of_operation(operation, &words).name(name).hide(false))
    };
    Options::augment_args(Command::new("replication"))
        .mut_arg("force", |force| force.hide(true))
        .about("Show how far this node is with others' tables, and others with its own")
        .override_usage(USAGE)
        .after_help(AFTER)
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
        .subcommands(COMMANDS.into_iter().filter_map(named))
}

pub(super) fn run(operations: &[Operation], matches: &ArgMatches) -> Result<ExitCode> {
    let find = |name: &str| {
        operations.iter().find(|operation| operation.name == name).context("no such operation")
    };
    let Some((name, matches)) = matches.subcommand() else {
        return show(find(OPERATION)?, Options::from_arg_matches(matches)?, status);
    };
    let command = COMMANDS.into_iter().find(|(command, _)| *command == name);
    let (_, operation) = command.context("no such command")?;
    let (operation, options) = (find(operation)?, Options::from_arg_matches(matches)?);
    match operation.name == LETTERS {
        true => show(operation, options, letters),
        false => call::call(operation, options),
    }
}

fn show(operation: &Operation, options: Options, text: fn(&Value) -> String) -> Result<ExitCode> {
    let (reply, as_json) = call::ask(operation, options)?;
    match as_json {
        true => output::reply(&reply, true)?,
        false => output::print(&text(&output::value(&reply)?))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn status(status: &Value) -> String {
    let mut text = match list(&status["subscriptions"]) {
        [] => "This node subscribes to no table.\n".to_owned(),
        subscriptions => table(SUBSCRIPTIONS, subscriptions),
    };
    text.push('\n');
    match (status["streams"].as_array(), status["streams_problem"].as_str()) {
        (Some(streams), _) if streams.is_empty() => text += "Nobody reads tables of this node.\n",
        (Some(streams), _) => {
            let rows: Vec<_> = streams.iter().flat_map(readers).collect();
            text += &table(READERS, &rows);
        }
        (None, Some(problem)) => {
            let problem = printable(problem);
            let _ = writeln!(text, "Who reads tables of this node is not known: {problem}.");
        }
        // An earlier version says nothing of it.
        (None, None) => text += "Who reads tables of this node is not known.\n",
    }
    let outbox = |key: &str| cell(&status["outbox"][key]);
    // Writing to a string does not fail.
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
    if let Some(letters) = status["dead_letters"].as_u64().filter(|letters| *letters > 0) {
        let _ = writeln!(
            text,
            "Dead letters: {letters}, which harper-host replication dead-letters lists"
        );
    }
    text
}

/// A row for each reader of a stream.
fn readers(stream: &Value) -> Vec<Value> {
    let row = |reader: &Value| {
        let mut row = stream.clone();
        if let (Some(row), Some(reader)) = (row.as_object_mut(), reader.as_object()) {
            row.extend(reader.clone());
        }
        row
    };
    match list(&stream["readers"]) {
        [] => vec![stream.clone()],
        readers => readers.iter().map(row).collect(),
    }
}

fn letters(reply: &Value) -> String {
    let letters = list(&reply["dead_letters"]);
    let total = reply["total"].as_u64().unwrap_or_default();
    if letters.is_empty() {
        return "There are no dead letters.\n".into();
    }
    let mut text = table(DEAD_LETTERS, letters);
    if total > letters.len() as u64 {
        let shown = letters.len();
        let _ = writeln!(text, "\nThe newest {shown} of {total}: limit=1000 shows more");
    }
    text
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Heads, and a line for each row.
fn table(columns: Columns<'_>, rows: &[Value]) -> String {
    let head = columns.iter().map(|(head, ..)| (*head).to_owned()).collect();
    let row = |one: &Value| columns.iter().map(|(_, key, _)| cell(&one[*key])).collect();
    let rows: Vec<Vec<_>> = std::iter::once(head).chain(rows.iter().map(row)).collect();
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for ((cell, width), (.., is_number)) in row.iter().zip(&widths).zip(columns) {
            // Writing to a string does not fail.
            let _ = match is_number {
                true => write!(line, "{cell:>width$}  "),
                false => write!(line, "{cell:<width$}  "),
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
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

    fn outbox() -> Value {
        json!({
            "waiting": 2, "waiting_seconds": 0.5, "published": 9, "failures": 1, "gap": 0,
            "unpublished": 0,
        })
    }

    // covers: cli.replication, cli.replication.away
    #[test]
    fn subscriptions_are_rows() {
        let subscription = |node: &str, lag: Value| {
            json!({
                "node_name": node, "database": "dev", "table": "dog", "state": "catching-up",
                "lag_messages": lag, "lag_seconds": 1.25, "applied": 3, "dropped": 0,
                "dead_letters": 0, "gap": 0, "away_since": null,
            })
        };
        let mut away = subscription("a", Value::Null);
        away["state"] = "away".into();
        away["lag_seconds"] = Value::Null;
        away["away_since"] = "2026-11-27T01:02:03.456Z".into();
        let all = [subscription("n\u{1b}", json!(12_345)), away];
        let reply = json!({ "outbox": outbox(), "subscriptions": all, "streams": [] });
        let expected = "\
NODE     DATABASE  TABLE  STATE          LAG  LAG SECONDS  APPLIED  DROPPED  DEAD  GAP  AWAY SINCE
n\\u{1b}  dev       dog    catching-up  12345          1.2        3        0     0    0  -
a        dev       dog    away             -            -        3        0     0    0  2026-11-27T01:02:03.456Z

Nobody reads tables of this node.

Own changes: 9 published, 2 waiting for 0.5 s, 1 failures, 0 lost to the log, 0 refused
";
        assert_eq!(status(&reply), expected);
        let none = status(&json!({ "outbox": outbox(), "subscriptions": [] }));
        assert!(none.starts_with("This node subscribes to no table.\n"), "{none}");
        // Of another kind of node.
        assert!(status(&json!(3)).contains("Own changes: - published"));
    }

    // covers: cli.replication.readers
    #[test]
    fn readers_are_rows_of_a_second_table() {
        let reader = |node: &str, acknowledged: Option<u64>, pending: Option<u64>| json!({ "node_name": node, "acknowledged": acknowledged, "pending": pending });
        let stream = |table: &str, readers: Value| json!({ "database": "dev", "table": table, "last_sequence": 12, "readers": readers });
        let readers = json!([reader("b", Some(7), Some(5)), reader("c", None, None)]);
        let streams = [stream("dog", readers), stream("cat", json!(null))];
        let reply = json!({
            "outbox": outbox(), "subscriptions": [], "streams": streams, "dead_letters": 3,
        });
        let expected = "\
This node subscribes to no table.

READER  DATABASE  TABLE  LAST  ACKNOWLEDGED  PENDING
b       dev       dog      12             7        5
c       dev       dog      12             -        -
-       dev       cat      12             -        -

Own changes: 9 published, 2 waiting for 0.5 s, 1 failures, 0 lost to the log, 0 refused
Dead letters: 3, which harper-host replication dead-letters lists
";
        assert_eq!(status(&reply), expected);
        let problem = json!({ "streams": null, "streams_problem": "no\u{1b} answer" });
        assert!(status(&problem).contains("is not known: no\\u{1b} answer.\n"));
    }

    // covers: cli.dead-letters
    #[test]
    fn dead_letters_are_rows() {
        let letter = json!({
            "id": 12, "node_name": "b", "database": "dev", "table": null, "sequence": 7,
            "time": "2026-11-27T01:02:03Z", "bytes": 345, "reason": "no\u{1b} table",
        });
        let expected = "\
ID  NODE  DATABASE  TABLE  SEQUENCE  CAME                  BYTES  WHY
12  b     dev       -             7  2026-11-27T01:02:03Z    345  no\\u{1b} table

The newest 1 of 3: limit=1000 shows more
";
        assert_eq!(letters(&json!({ "total": 3, "dead_letters": [letter] })), expected);
        let none = letters(&json!({ "total": 0, "dead_letters": [] }));
        assert_eq!(none, "There are no dead letters.\n");
    }
}
