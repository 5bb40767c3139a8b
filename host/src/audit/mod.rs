//! The audit log: who asked for a change, from where, when, and what came of it. One JSON object a
//! line in `log/audit.log`, for the owner alone.
//!
//! A line is written when its operation has ended, before the caller has the reply. A host that is
//! killed in between leaves a change without a line. A line that cannot be written fails no operation;
//! it is counted, the log and `GET /ready` tell of it, and the next line says how many there were.

mod file;
mod queue;
mod request;

pub(crate) use request::harmless;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::dispatch::{Caller, Error};
use crate::runtime::Operation;
use file::AuditFile;

const REFUSALS_A_MINUTE: u32 = 100;
const MINUTE: Duration = Duration::from_secs(60);
/// How long a reply waits for its line. A disk that takes longer has other problems.
const PATIENCE: Duration = Duration::from_secs(5);

/// The audit log of a node; clones write the same file.
#[derive(Debug, Clone)]
pub struct AuditLog(Arc<AuditFile>, Arc<Refusals>);

/// How many refusals were written in this minute, and how many were not.
#[derive(Debug)]
struct Refusals(Mutex<(Instant, u32, u32)>);

impl Refusals {
    /// Takes a place; how many went without one before, if there is one.
    fn take(&self) -> Option<u32> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, written, unwritten) = &mut *state;
        if since.elapsed() >= MINUTE {
            (*since, *written) = (Instant::now(), 0);
        }
        if *written == REFUSALS_A_MINUTE {
            *unwritten = unwritten.saturating_add(1);
            return None;
        }
        *written += 1;
        Some(std::mem::take(unwritten))
    }
}

impl AuditLog {
    /// The log in the node's folder `root`. A file that has reached `max_size` bytes becomes
    /// `audit.log.1`, and of these `max_files` are kept.
    ///
    /// # Errors
    /// The folder `log` cannot be made, or the file cannot be written.
    pub fn open(root: &Path, max_size: u64, max_files: u32) -> io::Result<Self> {
        let file = AuditFile::open(&root.join("log"), max_size, max_files)?;
        let refusals = Refusals(Mutex::new((Instant::now(), 0, 0)));
        Ok(Self(Arc::new(file), Arc::new(refusals)))
    }

    /// How many lines could not be written.
    pub(crate) fn lost(&self) -> Counter {
        self.0.lost.clone()
    }

    /// Whether operations are written down: the last line could be, or one can be now.
    pub(crate) async fn is_written(&self) -> bool {
        let file = self.0.clone();
        let written = tokio::task::spawn_blocking(move || file.is_written());
        matches!(timeout(PATIENCE, written).await, Ok(Ok(true)))
    }

    /// Writes that a caller was refused, without what was asked: who may do nothing must not be
    /// able to push out what others did. Beyond so many a minute they are only counted.
    pub(crate) async fn refused(&self, caller: &Caller, operation: &str, error: &Error) {
        let Some(unwritten) = self.1.take() else { return };
        let mut pending = self.pending(caller, operation);
        if let (Some(line), 1..) = (&mut pending.line, unwritten) {
            line["refused_before"] = unwritten.into();
        }
        pending.end(Err(error)).await;
    }

    /// Begins to watch an operation.
    pub(crate) fn begin(&self, caller: &Caller, operation: &Operation, request: &Value) -> Pending {
        let mut pending = self.pending(caller, &operation.name);
        if let Some(line) = &mut pending.line {
            line["request"] = request::shown(&operation.schema, request);
        }
        pending
    }

    fn pending(&self, caller: &Caller, operation: &str) -> Pending {
        let line = json!({
            "time": now(),
            "user": caller.username,
            "role": caller.role.name(),
            "from": caller.origin.to_string(),
            "operation": operation,
        });
        Pending { file: self.0.clone(), started: Instant::now(), line: Some(line) }
    }
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// An operation that has not ended. Dropped before its end, it is written as given up.
#[must_use]
pub(crate) struct Pending {
    file: Arc<AuditFile>,
    started: Instant,
    line: Option<Value>,
}

impl Pending {
    /// Writes what came of it.
    pub(crate) async fn end(mut self, result: Result<(), &Error>) {
        let Some(mut line) = self.line.take() else { return };
        line["result"] = match result {
            Ok(_) => "ok".into(),
            Err(error) => error.kind.name().into(),
        };
        if let Err(error) = result {
            line["error"] = harmless(&error.message).into();
        }
        line["ms"] = (self.started.elapsed().as_millis() as u64).into();
        let error = match timeout(PATIENCE, self.file.append_later(line)).await {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the disk does not answer".to_owned(),
        };
        tracing::error!("an operation was not written to the audit log: {error}");
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Some(mut line) = self.line.take() else { return };
        line["result"] = "given_up".into();
        line["ms"] = (self.started.elapsed().as_millis() as u64).into();
        // Here, although it blocks for a moment: the runtime may be about to end.
        if let Err(error) = self.file.append(&line) {
            tracing::error!("an operation was not written to the audit log: {error}");
        }
    }
}
