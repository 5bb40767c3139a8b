//! `log`: what plugins write goes to the host's log, under the plugin's name.

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

impl Host for Call {
    fn write(&mut self, level: WitLevel, message: String) -> Result<()> {
        self.meter.host_call(Capability::Log, message.len())?;
        self.capabilities.log.write(&Entry {
            plugin: &self.plugin,
            operation: &self.operation,
            level: match level {
                WitLevel::Debug => Level::Debug,
                WitLevel::Info => Level::Info,
                WitLevel::Warn => Level::Warn,
                WitLevel::Error => Level::Error,
            },
            message: &one_line(&message),
        });
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

    #[test]
    fn a_message_is_one_harmless_line() {
        assert_eq!(one_line("two\nlines\u{1b}[31m\u{202e}"), "two\\nlines\\u{1b}[31m\\u{202e}");
        let long = one_line(&"ä".repeat(LONGEST_MESSAGE));
        assert!(long.ends_with("ä … (8192 bytes)"), "{long}");
    }
}
