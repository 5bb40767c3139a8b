//! Structured logs on standard error: for people on a terminal, else one JSON object a line.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `json.rs` | an event as a line of JSON |
//! | `lines.rs` | lines that are written together |

mod json;
mod lines;

use std::io::{IsTerminal, stderr};
use std::sync::Arc;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use harper_host::config::LogLevel;

use json::Json;
use lines::{Events, Gathering, Lines};

/// Starts the log. While what this returns lives, lines of a level that is no trouble may wait for
/// some 20 ms to be written with others, unless they go to a terminal. Then all is written, and each
/// line at once.
pub(super) fn start(level: LogLevel) -> Option<Gathering> {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).log_internal_errors(false);
    // The connections of this node to its own servers are no news unless something is wrong.
    let is_news = move |event: &Metadata<'_>| {
        level >= LevelFilter::DEBUG
            || !event.target().starts_with("async_nats")
            || *event.level() <= Level::WARN
    };
    if stderr().is_terminal() {
        log.with_writer(stderr).finish().with(filter_fn(is_news)).init();
        return None;
    }
    let lines = Arc::new(Lines::new(stderr()));
    let log = log.event_format(Json).with_writer(Events(lines.clone())).finish();
    log.with(filter_fn(is_news)).init();
    let panicking = lines.clone();
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // What came before it is written before it, whatever comes after.
        panicking.write_out();
        report(panic);
    }));
    Gathering::start(lines)
}
