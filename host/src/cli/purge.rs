//! What a purge would take from those who read the stream, said before it is asked whether to go on.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::output::{self, printable};
use super::{replication, wait_for};

/// The operation that purges.
pub(super) const OPERATION: &str = "purge_stream";

/// For the node to say who reads its streams.
const PATIENCE: Duration = Duration::from_secs(10);
/// Nodes that are told of by name.
const TOLD: usize = 20;

/// Which nodes have not read what would go, as the node has it now.
pub(super) fn unread(client: &Client, request: &Map<String, Value>) -> String {
    match ask(client) {
        Ok(status) => told(&status, request),
        Err(error) => {
            let error = printable(&error.to_string());
            format!("Which nodes have read it is not known: {error}")
        }
    }
}

fn ask(client: &Client) -> Result<Value> {
    let request = json!({ "operation": replication::OPERATION });
    let request = request.as_object().cloned().unwrap_or_default();
    let reply = wait_for(async { tokio::time::timeout(PATIENCE, client.send(&request)).await })?;
    output::value(&reply??)
}

fn told(status: &Value, request: &Map<String, Value>) -> String {
    if let Some(problem) = status["streams_problem"].as_str() {
        return format!("Which nodes have read it is not known: {}", printable(problem));
    }
    let Some(streams) = status["streams"].as_array() else {
        return "Which nodes have read it is not known: the node does not say".into();
    };
    let database = request.get("database").or_else(|| request.get("schema"));
    let is_it = |stream: &&Value| {
        Some(&stream["database"]) == database && Some(&stream["table"]) == request.get("table")
    };
    let Some(stream) = streams.iter().find(is_it) else {
        return "Nobody reads this table: it has no stream.".into();
    };
    let Some(readers) = stream["readers"].as_array() else {
        return "Which nodes have read it is not known: it was not answered in time".into();
    };
    let through = purged_through(stream, request.get("options"));
    let first = number(&stream["first_sequence"]).max(1);
    let mut text = String::new();
    // Those who lose most come first.
    let mut losses: Vec<_> = readers.iter().map(|one| (lost(one, through, first), one)).collect();
    losses.sort_by_key(|(lost, _)| std::cmp::Reverse(lost.unwrap_or(u64::MAX)));
    for (lost, reader) in losses.iter().take(TOLD) {
        let node = printable(reader["node_name"].as_str().unwrap_or("?"));
        // Writing to a string does not fail.
        let _ = match lost {
            Some(0) => writeln!(text, "{node} has read all of it."),
            Some(1) => {
                writeln!(text, "{node} has not read 1 message of it, and will never get it.")
            }
            Some(lost) => {
                writeln!(
                    text,
                    "{node} has not read {lost} messages of it, and will never get them."
                )
            }
            None => writeln!(text, "{node} has not begun to read it, and will never get it."),
        };
    }
    if losses.len() > TOLD {
        let _ = writeln!(text, "And {} more nodes read it.", losses.len() - TOLD);
    }
    if losses.is_empty() {
        text += "Nobody reads this table.";
    }
    text.trim_end().to_owned()
}

/// The last sequence that would go.
fn purged_through(stream: &Value, options: Option<&Value>) -> u64 {
    let last = number(&stream["last_sequence"]);
    let Some(options) = options else { return last };
    match (options["keep"].as_u64(), options["seq"].as_u64()) {
        (Some(keep), _) => last.saturating_sub(keep),
        (None, Some(seq)) => last.min(seq.saturating_sub(1)),
        (None, None) => last,
    }
}

/// How many messages up to there a node has not read; none when it has not begun.
fn lost(reader: &Value, through: u64, first: u64) -> Option<u64> {
    let (acknowledged, pending) = (reader["acknowledged"].as_u64()?, reader["pending"].as_u64()?);
    // What is gone already is not lost once more.
    let read = acknowledged.max(first.saturating_sub(1));
    Some(through.saturating_sub(read).min(pending))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: cli.purge.unread
    #[test]
    fn who_has_not_read_what_would_go_is_named() {
        let reader = |node: &str, acknowledged: Option<u64>, pending: Option<u64>| json!({ "node_name": node, "acknowledged": acknowledged, "pending": pending });
        let status = json!({ "streams": [{
            "database": "dev", "table": "dog", "first_sequence": 3, "last_sequence": 12,
            "readers": [
                reader("b", Some(7), Some(5)),
                reader("c", Some(12), Some(0)),
                reader("d", None, None),
                reader("e", Some(0), Some(10)),
            ],
        }] });
        let told = |options: Option<Value>| {
            let mut request = json!({ "database": "dev", "table": "dog" });
            if let Some(options) = options {
                request["options"] = options;
            }
            told(&status, request.as_object().unwrap())
        };
        assert_eq!(
            told(None),
            "d has not begun to read it, and will never get it.\n\
             e has not read 10 messages of it, and will never get them.\n\
             b has not read 5 messages of it, and will never get them.\n\
             c has read all of it."
        );
        let lost_to_b = |options| {
            let told = told(Some(options));
            let line = told.lines().find(|line| line.starts_with("b ")).unwrap();
            line.split(' ').find_map(|word| word.parse::<u64>().ok()).unwrap_or_default()
        };
        assert_eq!(lost_to_b(json!({ "keep": 1 })), 4);
        assert_eq!(lost_to_b(json!({ "keep": 100 })), 0);
        assert_eq!(lost_to_b(json!({ "seq": 9 })), 1);
        assert_eq!(lost_to_b(json!({ "seq": 8 })), 0);
        assert_eq!(lost_to_b(json!({ "seq": 100 })), 5);
    }

    #[test]
    fn what_is_not_known_is_said() {
        let request = json!({ "schema": "dev", "table": "dog" });
        let told = |status: Value| told(&status, request.as_object().unwrap());
        let problem = json!({ "streams": null, "streams_problem": "no\u{1b} answer" });
        assert_eq!(told(problem), "Which nodes have read it is not known: no\\u{1b} answer");
        assert!(told(json!({})).ends_with("the node does not say"));
        let none = json!({ "streams": [] });
        assert_eq!(told(none), "Nobody reads this table: it has no stream.");
        let stream = |readers: Value| json!({ "streams": [{ "database": "dev", "table": "dog", "readers": readers }] });
        assert_eq!(told(stream(json!([]))), "Nobody reads this table.");
        assert!(told(stream(json!(null))).ends_with("it was not answered in time"));
    }
}
