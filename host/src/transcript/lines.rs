//! The lines of a transcript, read back.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::dispatch::{Caller, Role};

/// The version of the form that this host writes, and the only one that it reads.
pub(super) const VERSION: u64 = 1;

/// What was called, where it was no operation.
pub(super) const PEER: &str = "peer";
pub(super) const RECOVERY: &str = "recovery";

/// One call of a plugin: its request, what happened, and its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    pub(super) head: Head,
    pub(super) events: Vec<Event>,
    pub(super) ended: Ended,
    pub(super) cut: bool,
}

impl Transcript {
    /// The plugin's name; that of the clustering plugin is `clustering`.
    pub fn plugin(&self) -> &str {
        &self.head.plugin
    }

    /// The operation's name; empty of what was no operation.
    pub fn operation(&self) -> &str {
        &self.head.operation
    }

    /// What was called, where it was no operation: `peer`, an answer to another node, or `recovery`.
    pub fn export(&self) -> Option<&str> {
        self.head.export.as_deref()
    }

    /// What came of it.
    pub fn ended(&self) -> &Ended {
        &self.ended
    }

    /// The SHA-256 of the component that was recorded, in hexadecimal.
    pub fn component(&self) -> &str {
        &self.head.component
    }

    /// Whether it has more lines than were kept.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// All transcripts of a file.
    ///
    /// # Errors
    ///
    /// A line is none of a transcript: its number, and why. A transcript without its end, which a
    /// host leaves that is killed, is no error when it is the last.
    pub fn read_all(text: &str) -> Result<Vec<Self>, ReadError> {
        let (mut all, mut open) = (Vec::new(), None::<(Head, Vec<Event>)>);
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let wrong = |why: String| ReadError { line: number + 1, why };
            let fields: Map<String, Value> =
                serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            if let Some(version) = fields.get("transcript") {
                if version.as_u64() != Some(VERSION) {
                    let text = format!("it is of version {version}, and this host reads {VERSION}");
                    return Err(wrong(text));
                }
                let head = serde_json::from_value(Value::Object(fields));
                open = Some((head.map_err(|error| wrong(error.to_string()))?, Vec::new()));
                continue;
            }
            let begun = open.as_mut().ok_or_else(|| wrong("it is before any transcript".into()))?;
            match Line::of(fields).ok_or_else(|| wrong("it is no line of a transcript".into()))? {
                Line::Event(event) => begun.1.push(event),
                Line::End { ended, cut } => {
                    all.extend(open.take().map(|(head, events)| Self { head, events, ended, cut }));
                }
            }
        }
        Ok(all)
    }
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Head {
    pub(super) plugin: String,
    pub(super) component: String,
    #[serde(default)]
    pub(super) operation: String,
    #[serde(default)]
    pub(super) export: Option<String>,
    #[serde(default)]
    pub(super) caller: Asker,
    #[serde(default)]
    pub(super) grants: Value,
    #[serde(default)]
    pub(super) request: Value,
}

/// Who asked for an operation.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Asker {
    username: String,
    role: String,
}

impl Asker {
    pub(super) fn caller(&self) -> Caller {
        Caller::new(self.username.clone(), Role::of_name(self.role.clone()))
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    /// A function was called; its answer has the same number.
    Call { number: u64, function: String, arguments: Value },
    /// It was answered.
    Answer { number: u64, answer: Answer },
    /// A function was called that does not wait.
    AtOnce { function: String, arguments: Value, answer: Value },
    /// What the plugin was shown of the configuration never became durable.
    NotDurable(Value),
}

/// What a function answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Ok(Value),
    Error(Value),
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// The reply.
    Reply(Value),
    /// What the caller was told instead of one.
    Error(String),
}

/// A file is not one of transcripts.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is not of a transcript: {why}")]
pub struct ReadError {
    line: usize,
    why: String,
}

enum Line {
    Event(Event),
    End { ended: Ended, cut: bool },
}

impl Line {
    fn of(mut fields: Map<String, Value>) -> Option<Self> {
        let cut = fields.remove("cut").is_some();
        if let Some(reply) = fields.remove("reply") {
            return Some(Self::End { ended: Ended::Reply(reply), cut });
        }
        let function = fields.keys().find(|key| key.contains('.')).cloned();
        let arguments = function.as_ref().and_then(|function| fields.remove(function));
        let number =
            |key: &str, fields: &Map<String, Value>| fields.get(key).and_then(Value::as_u64);
        let event = match (function, arguments) {
            (Some(function), Some(arguments)) => match number("call", &fields) {
                Some(number) => Event::Call { number, function, arguments },
                None => {
                    let answer = fields.remove("ok")?;
                    Event::AtOnce { function, arguments, answer }
                }
            },
            _ => match (number("answer", &fields), fields.remove("ok"), fields.remove("error")) {
                (Some(number), Some(ok), _) => Event::Answer { number, answer: Answer::Ok(ok) },
                (Some(number), None, Some(error)) => {
                    Event::Answer { number, answer: Answer::Error(error) }
                }
                (None, None, Some(error)) => {
                    let ended = Ended::Error(error.as_str()?.to_owned());
                    return Some(Self::End { ended, cut });
                }
                _ => Event::NotDurable(fields.remove("not-durable")?),
            },
        };
        Some(Self::Event(event))
    }
}
