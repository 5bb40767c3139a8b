//! `log`: what plugins write goes to the host's log, under the plugin's name.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use wasmtime::Result;

use crate::capabilities::{Call, Capability};
use crate::wit::harper::plugin::log::{Host, Level as WitLevel};

/// Bytes of a message that are logged; what follows is cut.
const LONGEST_MESSAGE: usize = 4096;

/// How much an entry matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Detail for the plugin's author.
    Debug,
    /// Something worth knowing happened.
    Info,
    /// Something is wrong, and the operation goes on.
    Warn,
    /// Something is wrong, and the operation fails.
    Error,
}

/// What a plugin has to say.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The plugin's name.
    pub plugin: &'a str,
    /// The operation that it performs.
    pub operation: &'a str,
    /// How much it matters.
    pub level: Level,
    /// One line, at most 4096 bytes before escaping: control characters are escaped, so that a
    /// plugin cannot forge an entry or speak to a terminal.
    pub message: &'a str,
}

/// A log that plugins write to.
pub trait Log: Send + Sync + 'static {
    /// Writes one entry. Must not block.
    fn write(&self, entry: &Entry<'_>);
}

/// Sends entries to `tracing`, with the target `plugin`.
#[derive(Debug, Default)]
pub struct TracingLog;

impl Log for TracingLog {
    fn write(&self, entry: &Entry<'_>) {
        let Entry { plugin, operation, message, .. } = entry;
        match entry.level {
            Level::Debug => tracing::debug!(target: "plugin", plugin, operation, "{message}"),
            Level::Info => tracing::info!(target: "plugin", plugin, operation, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, operation, "{message}"),
            Level::Error => tracing::error!(target: "plugin", plugin, operation, "{message}"),
        }
    }
}

/// What is counted at once.
const MINUTE: Duration = Duration::from_secs(60);

/// What a plugin's calls have written within a minute.
#[derive(Debug, Default)]
pub(crate) struct Volume(Mutex<Option<Window>>);

#[derive(Debug)]
struct Window {
    began: Instant,
    bytes: usize,
    told: bool,
}

/// What one call has written.
#[derive(Debug, Default)]
pub(crate) struct Logged {
    bytes: usize,
    told: bool,
}

/// What becomes of an entry.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Written,
    /// It is the first that is left out.
    Told,
    LeftOut,
}

/// Counts an entry of so many bytes.
fn fate(bytes: &mut usize, told: &mut bool, more: usize, most: usize) -> Fate {
    let sum = bytes.saturating_add(more);
    if sum <= most && !*told {
        *bytes = sum;
        return Fate::Written;
    }
    // From here on nothing, though it may be short: what is left out has no holes.
    if std::mem::replace(told, true) { Fate::LeftOut } else { Fate::Told }
}

impl Volume {
    fn charge(&self, now: Instant, more: usize, most: usize) -> Fate {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = match &mut *window {
            Some(window) if now.saturating_duration_since(window.began) < MINUTE => window,
            other => other.insert(Window { began: now, bytes: 0, told: false }),
        };
        fate(&mut window.bytes, &mut window.told, more, most)
    }
}

impl Call {
    fn log(&self, level: Level, message: &str) {
        let (plugin, operation) = (&*self.plugin, &*self.operation);
        self.capabilities.log.write(&Entry { plugin, operation, level, message });
    }

    /// Whether there is room for an entry of so many bytes. When there no longer is, the log says so
    /// once.
    fn has_room(&mut self, bytes: usize) -> bool {
        let of_call = self.meter.limits().log_bytes;
        let Logged { bytes: logged, told } = &mut self.logged;
        match fate(logged, told, bytes, of_call) {
            Fate::Written => {}
            Fate::Told => {
                let text = format!(
                    "what this call writes from here on is left out: it may write {of_call} bytes"
                );
                if self.minute_has_room(text.len()) {
                    self.log(Level::Warn, &text);
                }
                return false;
            }
            Fate::LeftOut => return false,
        }
        self.minute_has_room(bytes)
    }

    fn minute_has_room(&self, bytes: usize) -> bool {
        let most = self.meter.limits().log_bytes_per_minute;
        match self.volume.charge(Instant::now(), bytes, most) {
            Fate::Written => true,
            Fate::Told => {
                let text = format!(
                    "what this plugin writes within a minute is left out from here on: it may \
                     write {most} bytes"
                );
                self.log(Level::Warn, &text);
                false
            }
            Fate::LeftOut => false,
        }
    }
}

impl Host for Call {
    fn write(&mut self, level: WitLevel, message: String) -> Result<()> {
        self.meter.host_call(Capability::Log, message.len())?;
        let level = match level {
            WitLevel::Debug => Level::Debug,
            WitLevel::Info => Level::Info,
            WitLevel::Warn => Level::Warn,
            WitLevel::Error => Level::Error,
        };
        let line = one_line(&message);
        if self.has_room(line.len()) {
            self.log(level, &line);
        }
        Ok(())
    }
}

/// The start of `text`, as one line without control characters.
pub(crate) fn one_line(text: &str) -> String {
    let cut = &text[..text.floor_char_boundary(LONGEST_MESSAGE)];
    let mut line = String::with_capacity(cut.len());
    for c in cut.chars() {
        // Those that end a line or turn the direction of text are no `char::is_control`.
        if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    if cut.len() < text.len() {
        line.push_str(&format!(" … ({} bytes)", text.len()));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: plugins.limits.log
    #[test]
    fn a_new_minute_has_room_again() {
        let (volume, start) = (Volume::default(), Instant::now());
        let charge = |seconds: u64, bytes: usize| {
            volume.charge(start + Duration::from_secs(seconds), bytes, 100)
        };
        assert_eq!(charge(0, 60), Fate::Written);
        assert_eq!(charge(1, 41), Fate::Told);
        assert_eq!(charge(59, 1), Fate::LeftOut);
        assert_eq!(charge(60, 100), Fate::Written);
        assert_eq!(charge(60, 1), Fate::Told);
    }

    #[test]
    fn a_message_is_one_harmless_line() {
        assert_eq!(one_line("two\nlines\u{1b}[31m\u{202e}"), "two\\nlines\\u{1b}[31m\\u{202e}");
        let long = one_line(&"ä".repeat(LONGEST_MESSAGE));
        assert!(long.ends_with("ä … (8192 bytes)"), "{long}");
    }
}
