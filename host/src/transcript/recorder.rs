//! Writes transcripts.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::fs::OFlags;
use serde_json::{Map, Value, json};

use super::lines::VERSION;
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

/// Writes a transcript of each call of a plugin to a file.
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
        let Begun { plugin, operation, changes, caller, request } = call;
        let mut request = (*request).clone();
        hide(&mut request);
        let head = json!({
            "transcript": VERSION,
            "host": env!("CARGO_PKG_VERSION"),
            "plugin": plugin.name(),
            "component": plugin.sha256(),
            "operation": operation,
            "changes": changes,
            "caller": { "username": caller.username, "role": caller.role.name() },
            "grants": grants_to_json(&plugin.keys().granted),
            "request": request,
        });
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
    pub(crate) operation: &'a str,
    pub(crate) changes: bool,
    pub(crate) caller: &'a Caller,
    pub(crate) request: &'a Value,
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
    pub(crate) async fn end(self, ended: Result<&str, String>) {
        let end = match ended {
            Ok(reply) => {
                let mut reply = serde_json::from_str(reply).unwrap_or_default();
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

/// Hides what may be a secret.
pub(super) fn hide(value: &mut Value) {
    json::mask_secrets(value);
    hide_logins(value);
}

fn hide_logins(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("://") && text.contains('@') => {
            *text = harmless(text);
        }
        Value::Object(fields) => fields.values_mut().for_each(hide_logins),
        Value::Array(items) => items.iter_mut().for_each(hide_logins),
        _ => {}
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

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
