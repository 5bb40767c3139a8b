//! Lines that wait to be written, by one thread: several would wait for each other, each with memory
//! of its own.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::oneshot;

use super::file::AuditFile;

/// The lines, in the order of the ends of their operations.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<(Value, oneshot::Sender<io::Result<()>>)>,
    /// There is a thread that writes them.
    is_written: bool,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AuditFile {
    /// Writes one line off the runtime, after those that wait. What is received tells how it went,
    /// and nothing when the runtime ends.
    pub(super) fn append_later(self: &Arc<Self>, line: Value) -> oneshot::Receiver<io::Result<()>> {
        let (told, written) = oneshot::channel();
        let mut waiting = self.queue.waiting();
        waiting.lines.push_back((line, told));
        let is_written = std::mem::replace(&mut waiting.is_written, true);
        drop(waiting);
        if !is_written {
            let writer = Writer { file: self.clone(), is_done: false };
            tokio::task::spawn_blocking(move || writer.write());
        }
        written
    }
}

/// The one who writes, until nothing waits.
struct Writer {
    file: Arc<AuditFile>,
    is_done: bool,
}

impl Writer {
    fn write(mut self) {
        while let Some((line, told)) = self.next() {
            // Who has waited too long knows already.
            let _ = told.send(self.file.append(&line));
        }
    }

    fn next(&mut self) -> Option<(Value, oneshot::Sender<io::Result<()>>)> {
        let mut waiting = self.file.queue.waiting();
        let next = waiting.lines.pop_front();
        waiting.is_written = next.is_some();
        self.is_done = next.is_none();
        next
    }
}

impl Drop for Writer {
    /// After a panic, or when it never ran: nobody may wait for it.
    fn drop(&mut self) {
        if !self.is_done {
            *self.file.queue.waiting() = Waiting::default();
        }
    }
}
