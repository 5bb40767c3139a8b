//! Writes transcripts.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::fs::OFlags;
use serde_json::{Map, Value, json};

use super::bytes;
use super::lines::{PEER, RECOVERY, VERSION};
use crate::audit::harmless;
use crate::capabilities::Capabilities;
use crate::dispatch::Caller;
use crate::json;
use crate::plugins::grants_to_json;
use crate::runtime::Plugin;

/// Bytes of one transcript, roughly; what happens after them is not written.
const LONGEST: usize = 8 << 20;
/// Bytes of the file; no transcript is begun beyond them.
const LARGEST_FILE: u64 = 256 << 20;

/// Writes a transcript of each call of a plugin to a file: of its operations, of its answers to other
/// nodes, and of its recovery where there was something to do.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    file: File,
    /// Bytes that may still be written.
    left: u64,
    /// Nothing more is written, and that was said.
    ended: bool,
}

impl Recorder {
    /// Appends to this file, which is made, for its owner alone, when it is not there. Beyond 256
    /// MiB nothing more is written.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or is none: what is recorded goes through no link.
    pub fn open(file: &Path) -> io::Result<Self> {
        Self::with_limit(file, LARGEST_FILE)
    }

    fn with_limit(file: &Path, largest: u64) -> io::Result<Self> {
        // Who prepared the file is not to read what is recorded.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o600).custom_flags(flags).open(file)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        file.set_permissions(Permissions::from_mode(0o600))?;
        let left = largest.saturating_sub(file.metadata()?.len());
        Ok(Self(Arc::new(Mutex::new(State { file, left, ended: false }))))
    }

    /// A call begins.
    pub(crate) fn begin(&self, call: &Begun<'_>) -> Recording {
        let Begun { plugin, what } = call;
        let mut head = json!({
            "transcript": VERSION,
            "host": env!("CARGO_PKG_VERSION"),
            "plugin": plugin.name(),
            "component": plugin.sha256(),
        });
        match what {
            Asked::Operation { operation, changes, caller, request } => {
                head["operation"] = json!(operation);
                head["changes"] = json!(changes);
                head["caller"] = json!({ "username": caller.username, "role": caller.role.name() });
                head["request"] = (*request).clone();
            }
            Asked::Peer(request) => {
                head["export"] = json!(PEER);
                head["request"] = bytes::to_json(request);
            }
            Asked::Recovery => head["export"] = json!(RECOVERY),
        }
        hide(&mut head);
        head["grants"] = grants_to_json(&plugin.keys().granted);
        let mut text = json::text(&head);
        text.push('\n');
        let notes = Notes { text, next: 0, cut: false };
        let tape = Tape { started: Instant::now(), notes: Mutex::new(notes) };
        Recording { recorder: self.clone(), tape: Arc::new(tape) }
    }

    fn write(&self, text: &str) {
        let mut state = lock(&self.0);
        let State { file, left, ended } = &mut *state;
        if *ended {
            return;
        }
        let size = text.len() as u64;
        if size > *left {
            *ended = true;
            tracing::warn!("the file of transcripts is full: nothing more is recorded");
        } else if let Err(error) = file.write_all(text.as_bytes()) {
            *ended = true;
            tracing::warn!("transcripts cannot be written, and none is any more: {error}");
        } else {
            *left -= size;
        }
    }
}

/// What there is to say of a call when it begins.
pub(crate) struct Begun<'a> {
    pub(crate) plugin: &'a Plugin,
    pub(crate) what: Asked<'a>,
}

/// What the plugin is called for.
pub(crate) enum Asked<'a> {
    /// An operation.
    Operation { operation: &'a str, changes: bool, caller: &'a Caller, request: &'a Value },
    /// An answer to another node.
    Peer(&'a [u8]),
    /// To finish or undo what its calls have left.
    Recovery,
}

/// A transcript that is being made.
pub(crate) struct Recording {
    recorder: Recorder,
    tape: Arc<Tape>,
}

impl Recording {
    /// The capabilities, each of whose calls is written down.
    pub(crate) fn around(&self, capabilities: &Capabilities) -> Capabilities {
        super::taped::Taped::recording(capabilities.clone(), self.tape.clone())
    }

    /// The call has ended; the transcript is in the file when this returns.
    pub(crate) async fn end(self, ended: Result<Value, String>) {
        let end = match ended {
            Ok(mut reply) => {
                hide(&mut reply);
                json!({ "at": self.tape.at(), "reply": reply })
            }
            Err(error) => json!({ "at": self.tape.at(), "error": harmless(&error) }),
        };
        let text = self.tape.end(end);
        // Other than by a task that was stopped with the runtime this does not fail.
        let recorder = self.recorder;
        let _ = tokio::task::spawn_blocking(move || recorder.write(&text)).await;
    }
}

impl Recording {
    /// Whether the plugin has waited for no more than one answer.
    pub(crate) fn is_a_look(&self) -> bool {
        lock(&self.tape.notes).next <= 1
    }
}

/// The lines so far.
#[derive(Debug)]
pub(super) struct Tape {
    started: Instant,
    notes: Mutex<Notes>,
}

#[derive(Debug)]
struct Notes {
    text: String,
    next: u64,
    cut: bool,
}

impl Tape {
    /// A function that waits is called; its number.
    pub(super) fn call(&self, function: &str, arguments: Value) -> u64 {
        let mut notes = lock(&self.notes);
        let number = notes.next;
        notes.next += 1;
        self.line(&mut notes, json!({ "call": number, function: arguments }));
        number
    }

    /// It is answered.
    pub(super) fn answer(&self, number: u64, answer: Result<Value, Value>) {
        let line = match answer {
            Ok(ok) => json!({ "answer": number, "ok": ok }),
            Err(error) => json!({ "answer": number, "error": error }),
        };
        self.line(&mut lock(&self.notes), line);
    }

    /// A function that does not wait was called.
    pub(super) fn at_once(&self, function: &str, arguments: Value, answer: Value) {
        self.line(&mut lock(&self.notes), json!({ function: arguments, "ok": answer }));
    }

    pub(super) fn not_durable(&self, error: Value) {
        self.line(&mut lock(&self.notes), json!({ "not-durable": error }));
    }

    fn at(&self) -> f64 {
        (self.started.elapsed().as_secs_f64() * 1e5).round() / 1e2
    }

    fn line(&self, notes: &mut Notes, line: Value) {
        let mut at = Map::new();
        at.insert("at".into(), self.at().into());
        if let Value::Object(fields) = line {
            at.extend(fields);
        }
        let mut line = Value::Object(at);
        hide(&mut line);
        let line = json::text(&line);
        if notes.cut || notes.text.len() + line.len() > LONGEST {
            notes.cut = true;
            return;
        }
        notes.text += &line;
        notes.text.push('\n');
    }

    fn end(&self, mut end: Value) -> String {
        let mut notes = lock(&self.notes);
        if notes.cut {
            end["cut"] = true.into();
        }
        let mut text = std::mem::take(&mut notes.text) + &json::text(&end);
        text.push('\n');
        text
    }
}

/// JSON within texts within JSON, and so on: what is deeper is hidden whole, as is a text of which more
/// than so many bytes would be built.
const DEEPEST: usize = 8;
const MOST_BUILT: usize = 64 << 20;
const HIDDEN: &str = "********";

/// Hides what may be a secret, also in texts that are JSON. What is hidden once stays as it is.
pub(super) fn hide(value: &mut Value) {
    hide_within(value, DEEPEST);
}

fn hide_within(value: &mut Value, depth: usize) {
    json::mask_secrets(value);
    hide_in_texts(value, depth);
}

fn hide_in_texts(value: &mut Value, depth: usize) {
    match value {
        Value::String(text) => match hidden_json(text, depth) {
            Some(hidden) => *text = hidden,
            None if text.contains("://") && text.contains('@') => *text = harmless(text),
            None => {}
        },
        Value::Object(fields) => {
            fields.values_mut().for_each(|value| hide_in_texts(value, depth));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hide_in_texts(item, depth)),
        _ => {}
    }
}

/// The same of a text that is JSON: as it was, where there is nothing to hide. None of another text.
fn hidden_json(text: &str, depth: usize) -> Option<String> {
    if !text.trim_start().starts_with(['{', '[', '"']) || json::check(text).is_err() {
        return None;
    }
    if depth == 0 || json::built_size(text.as_bytes()) > MOST_BUILT {
        return Some(HIDDEN.into());
    }
    let before: Value = serde_json::from_str(text).ok()?;
    let mut after = before.clone();
    hide_within(&mut after, depth - 1);
    Some(if after == before { text.to_owned() } else { json::text(&after) })
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: transcripts.texts
    #[test]
    fn secrets_in_texts_are_hidden_however_deep() {
        let mut text = json!({ "password": "s3cr3t", "url": "nats://me:s3cr3t@h", "kept": 1 });
        for depth in 0..12 {
            let mut value = json!({ "body": [json::text(&text)], "at": "me@h", "n": "12" });
            let whole = value.clone();
            hide(&mut value);
            assert!(!value.to_string().contains("s3cr3t"), "{depth}: {value}");
            assert_eq!(value.to_string().contains("kept"), depth < DEEPEST, "{depth}: {value}");
            assert_eq!((&value["at"], &value["n"]), (&json!("me@h"), &json!("12")));
            // A replay hides what was hidden once more.
            let mut again = value.clone();
            hide(&mut again);
            assert_eq!(again, value);
            text = whole;
        }
        // A text of a text is JSON too.
        let mut twice = json!(json::text(&json!(r#"{"password":"s3cr3t"}"#)));
        hide(&mut twice);
        assert!(!twice.to_string().contains("s3cr3t"), "{twice}");
        for kept in [
            r#"{ "b" : 1 , "mail": "me@h", "u": "http://h/" }"#,
            "[1, 2]",
            "{",
            "[x",
            r#""a""#,
            "\"",
        ] {
            let mut value = json!(kept);
            hide(&mut value);
            assert_eq!(value, kept);
        }
        // Sixty times as much would be built of it.
        let mut large = json!(format!("[{}{{}}]", "{},".repeat(1 << 18)));
        hide(&mut large);
        assert_eq!(large, HIDDEN);
    }

    // covers: transcripts.file
    #[test]
    fn a_full_file_gets_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("calls.jsonl");
        let text = || std::fs::read_to_string(&file).unwrap();
        let recorder = Recorder::with_limit(&file, 10).unwrap();
        recorder.write("12345678\n");
        recorder.write("9\n");
        recorder.write("");
        assert_eq!(text(), "12345678\n");
        // Also when it is opened again.
        Recorder::with_limit(&file, 10).unwrap().write("9\n");
        assert_eq!(text(), "12345678\n");
        Recorder::with_limit(&file, 11).unwrap().write("9\n");
        assert_eq!(text(), "12345678\n9\n");
    }

    // covers: transcripts.file
    #[test]
    fn what_is_recorded_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link] = ["calls.jsonl", "link.jsonl"].map(|name| folder.path().join(name));
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(Recorder::open(&link).is_err());
        assert!(Recorder::open(folder.path()).is_err());
        Recorder::open(&file).unwrap().write("x\n");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
