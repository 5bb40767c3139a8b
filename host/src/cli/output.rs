//! What is printed: replies on standard output, everything else on standard error.

use std::io::{self, ErrorKind, IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::Usage;
use super::client::Reply;

/// Prints the reply to an operation, or fails with the text of the one that failed.
pub(super) fn reply(reply: &Reply, as_json: bool) -> Result<()> {
    check(reply)?;
    let text = if as_json { json(&reply.body) } else { yaml(&reply.body) };
    print(&text.context("the reply cannot be shown")?)
}

/// The reply to an operation, or a failure with the text of the one that failed.
pub(super) fn value(reply: &Reply) -> Result<Value> {
    check(reply)?;
    Ok(serde_json::from_slice(&reply.body)?)
}

/// Fails for what is no reply of an operation that went well.
fn check(reply: &Reply) -> Result<()> {
    if !(200..300).contains(&reply.status) {
        let body: Option<Value> = serde_json::from_slice(&reply.body).ok();
        match body.as_ref().and_then(|body| body.get("error")).and_then(Value::as_str) {
            Some(error) => bail!("{}", printable(error)),
            None => bail!("{} answers with status {}: it is no node", reply.from, reply.status),
        }
    }
    // Nothing is printed of what is not JSON to its end.
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(&reply.body) {
        bail!("the reply of {} is not JSON: {error}", reply.from);
    }
    Ok(())
}

/// JSON as YAML. Its writer escapes control characters.
pub(super) fn yaml(body: &[u8]) -> Result<String> {
    let mut text = Vec::new();
    let mut from = serde_json::Deserializer::from_slice(body);
    serde_transcode::transcode(&mut from, &mut serde_yaml::Serializer::new(&mut text))?;
    Ok(String::from_utf8(text)?)
}

/// JSON, to be read by people.
fn json(body: &[u8]) -> Result<String> {
    let mut text = Vec::new();
    let mut from = serde_json::Deserializer::from_slice(body);
    serde_transcode::transcode(&mut from, &mut serde_json::Serializer::pretty(&mut text))?;
    text.push(b'\n');
    let text = String::from_utf8(text)?;
    // JSON allows some control characters in strings, and a terminal would obey them.
    let escaped = |c: char| moves_the_cursor(c) && c != '\n';
    if !text.contains(escaped) {
        return Ok(text);
    }
    let mut safe = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        match c {
            c if escaped(c) => safe += &format!("\\u{:04x}", u32::from(c)),
            c => safe.push(c),
        }
    }
    Ok(safe)
}

/// To standard output. Whoever closed it has seen enough.
pub(super) fn print(text: &str) -> Result<()> {
    let mut stdout = stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("standard output cannot be written")
        }
        _ => Ok(()),
    }
}

/// What the user should know, though the command goes on.
pub(super) fn warn(text: &str) {
    say(&format!("warning: {text}"));
}

/// Help for whoever gave no command.
pub(super) fn explain(help: &str) {
    tell(&format!("{}\n", help.trim_end()));
}

/// The end of a command that failed. A node that logs as JSON says it as JSON.
pub(super) fn failure(error: &anyhow::Error) -> ExitCode {
    let code = if error.is::<Usage>() { 2 } else { 1 };
    if tracing::dispatcher::has_been_set() && !stderr().is_terminal() {
        tracing::error!("{}", chain(error));
    } else {
        say(&chain(error));
    }
    ExitCode::from(code)
}

/// The error and its causes, without those that say again what was said.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn say(text: &str) {
    tell(&format!("harper-host: {text}\n"));
}

/// In one write: whoever else writes there does not come between.
fn tell(text: &str) {
    let _: io::Result<()> = stderr().write_all(text.as_bytes());
}

/// Whether a terminal would obey the character instead of showing it, or turn text by it.
fn moves_the_cursor(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
}

/// A text from elsewhere, fit for a line on a terminal.
pub(super) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match moves_the_cursor(c) {
            true => safe.extend(c.escape_default()),
            false => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Every control character, and some that are none.
    fn odd() -> Value {
        let all: String =
            (0..0x2_00).chain([0x2028, 0xfeff, 0x1_f600]).filter_map(char::from_u32).collect();
        let each = all.chars().map(String::from);
        json!({
            "together": all,
            "each": each.clone().collect::<Vec<_>>(),
            "in the midst": each.map(|c| format!("a{c}b")).collect::<Vec<_>>(),
            "in a text": "a\n\u{1b}[2Jb\n",
            "\u{1b}[2J": { "\u{9b}2J\n": null },
        })
    }

    // covers: cli.control-characters
    #[test]
    fn control_characters_are_escaped() {
        let body = odd().to_string();
        let (yaml, json) = (yaml(body.as_bytes()).unwrap(), json(body.as_bytes()).unwrap());
        for text in [&yaml, &json] {
            let found = text.chars().find(|c| c.is_control() && *c != '\n');
            assert_eq!(found, None, "{text}");
        }
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), odd());
        assert_eq!(serde_yaml::from_str::<Value>(&yaml).unwrap(), odd());
        assert_eq!(printable("a\u{1b}[2J\n\u{9b}é"), "a\\u{1b}[2J\\n\\u{9b}é");
    }

    #[test]
    fn values_are_shown_as_they_are() {
        let body = br#"{"b":[{"x":1,"y":-2.5},[]],"a":"1","t":true,"n":null,"big":18446744073709551615,"s":"yes","e":{}}"#;
        let text = "b:\n- x: 1\n  y: -2.5\n- []\na: '1'\nt: true\nn: null\n\
                    big: 18446744073709551615\ns: yes\ne: {}\n";
        assert_eq!(yaml(body).unwrap(), text);
        assert_eq!(json(b"{\"a\":[1]}").unwrap(), "{\n  \"a\": [\n    1\n  ]\n}\n");
    }

    #[test]
    fn only_json_is_a_reply() {
        let answer = |status, body: &str| {
            let reply_to = Reply { status, body: body.to_owned().into(), from: "http://h".into() };
            reply(&reply_to, false).unwrap_err().to_string()
        };
        assert_eq!(answer(400, r#"{"error":"no\u001b"}"#), "no\\u{1b}");
        assert_eq!(answer(502, "<html>"), "http://h answers with status 502: it is no node");
        assert_eq!(answer(404, "{}"), "http://h answers with status 404: it is no node");
        let text = answer(200, r#"{"a":1"#);
        assert!(text.starts_with("the reply of http://h is not JSON: "), "{text}");
    }
}
