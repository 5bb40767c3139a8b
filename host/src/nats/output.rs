//! What a server says on standard error: it goes to our log, without passwords, and tells how far
//! the server has come.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::document::encoded;
use super::state::State;
use super::{Config, ServerKind};
use crate::capabilities::log::one_line;
use crate::config::LogLevel;

/// Bytes of a line; the rest of a longer one is another line.
const LONGEST: u64 = 8 << 10;
/// What is the same but for its numbers is not said again for so long: a server that cannot be
/// joined is tried every second.
const AGAIN: Duration = Duration::from_secs(60);
/// Kinds of lines that are remembered for that.
const KINDS: usize = 256;
/// What nats-server calls a loop.
const LOOP: &str = "a leaf route leads to a node that is joined by hub routes already, be it through \
                    other nodes: one of the two ways is refused for 30 s, again and again, and nodes \
                    may be out of reach meanwhile. Take that node out of \
                    'clustering.leafServer.network.routes', or out of the hubs' routes";
const HIDDEN: &str = "********";

/// What a server has said so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    /// The port where it listens for clients.
    pub(super) clients: Option<u16>,
    /// The port where it listens for leaf servers.
    pub(super) leafnodes: Option<u16>,
    /// The port where it listens for hubs.
    pub(super) cluster: Option<u16>,
    /// Of what it ends, or has ended.
    pub(super) fatal: Option<String>,
    /// The newest of its other errors.
    pub(super) last_error: Option<String>,
    /// A server of its own name was met.
    pub(super) duplicate: bool,
    /// It says no more.
    pub(super) ended: bool,
}

/// Whether lost connections are what was to be expected: they are not worth the operator's time then.
pub(super) struct Quiet {
    /// The server was told to end.
    ends: AtomicBool,
    state: Arc<State>,
}

impl Quiet {
    pub(super) fn with(state: Arc<State>) -> Self {
        Self { ends: AtomicBool::new(false), state }
    }

    /// The server is told to end.
    pub(super) fn begin(&self) {
        self.ends.store(true, Ordering::Relaxed);
    }

    fn is(&self, kind: ServerKind) -> bool {
        self.ends.load(Ordering::Relaxed) || self.state.is_away_as_planned(kind.other())
    }
}

/// Texts that must not get into the log.
pub(super) struct Secrets(Vec<Zeroizing<String>>);

impl Secrets {
    pub(super) fn of(config: &Config) -> Self {
        let (plain, encoded) = (config.password.clone(), encoded(&config.password));
        // As Go's URLs have it: fewer characters are encoded there.
        let mut of_go = Zeroizing::new(String::with_capacity(encoded.len()));
        for character in config.password.chars() {
            if character.is_ascii_graphic() && !"%/?@#[]:\"<>\\^`{|}".contains(character) {
                of_go.push(character);
            } else {
                of_go.push_str(&super::document::encoded(character.encode_utf8(&mut [0; 4])));
            }
        }
        Self(vec![plain, encoded, of_go])
    }

    /// The line without them, nor any other password in a URL, and in one line.
    pub(super) fn hidden(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for secret in self.0.iter().filter(|secret| !secret.is_empty()) {
            if line.contains(secret.as_str()) {
                line = line.replace(secret.as_str(), HIDDEN);
            }
        }
        one_line(&without_logins(&line))
    }
}

/// Hides what stands between `://` and `@` of each URL.
fn without_logins(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end =
            after.find(|c: char| c.is_whitespace() || "/\"'".contains(c)).unwrap_or(after.len());
        match after[..end].rfind('@') {
            Some(at) => {
                shown.push_str(HIDDEN);
                rest = &after[at..];
            }
            None => rest = after,
        }
    }
    shown + rest
}

/// Reads until the server has ended.
pub(super) async fn listen(
    stream: impl AsyncRead + Unpin,
    secrets: &Secrets,
    mut log: Log,
    heard: watch::Sender<Heard>,
) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LONGEST).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let line = secrets.hidden(String::from_utf8_lossy(&line).trim_end());
        if line.is_empty() {
            continue;
        }
        let said = parse(&line);
        if said.text.is_empty() {
            continue;
        }
        heard.send_modify(|heard| follow(heard, &said));
        log.write(said.level, said.text);
    }
    heard.send_modify(|heard| heard.ended = true);
}

/// A line that a server has said.
struct Said<'a> {
    level: LogLevel,
    /// It cannot go on.
    is_fatal: bool,
    text: &'a str,
}

/// The level and the text of such as `[123] [INF] Server is ready`.
fn parse(line: &str) -> Said<'_> {
    let parts = line.strip_prefix('[').and_then(|line| {
        let (_, rest) = line.split_once("] [")?;
        let (level, text) = rest.split_once(']')?;
        Some((level, text.trim_start()))
    });
    let (level, text) = match parts {
        Some(("INF", text)) => (LogLevel::Info, text),
        Some(("WRN", text)) => (LogLevel::Warn, text),
        Some(("DBG", text)) => (LogLevel::Debug, text),
        Some(("TRC", text)) => (LogLevel::Trace, text),
        Some(("ERR", text)) => (LogLevel::Error, text),
        Some(("FTL", text)) => return Said { level: LogLevel::Error, is_fatal: true, text },
        _ => {
            // What it says before it has a log, and what Go says at the end of a program.
            let before_log = line.strip_prefix("nats-server: ");
            let is_fatal = before_log.is_some()
                || ["panic: ", "fatal error: "].iter().any(|start| line.starts_with(start));
            return Said { level: LogLevel::Error, is_fatal, text: before_log.unwrap_or(line) };
        }
    };
    Said { level, is_fatal: false, text }
}

fn follow(heard: &mut Heard, said: &Said<'_>) {
    let text = said.text;
    let port = |what: &str| {
        let address = text.strip_prefix("Listening for ")?.strip_prefix(what)?;
        address.strip_prefix(" connections on ")?.rsplit(':').next()?.parse().ok()
    };
    heard.clients = port("client").or(heard.clients);
    heard.leafnodes = port("leafnode").or(heard.leafnodes);
    heard.cluster = port("route").or(heard.cluster);
    if text.contains("duplicate name") || text.contains("Duplicate Server Name") {
        heard.duplicate = true;
    }
    if said.is_fatal {
        // What follows it comes of it.
        heard.fatal.get_or_insert_with(|| text.to_owned());
    } else if said.level == LogLevel::Error {
        heard.last_error = Some(text.to_owned());
    }
}

/// The log of one server.
pub(super) struct Log {
    kind: ServerKind,
    level: LogLevel,
    quiet: Arc<Quiet>,
    /// When which kind of line was said.
    said: HashMap<String, Instant>,
}

impl Log {
    pub(super) fn new(kind: ServerKind, level: LogLevel, quiet: Arc<Quiet>) -> Self {
        Self { kind, level, quiet, said: HashMap::new() }
    }

    fn write(&mut self, level: LogLevel, text: &str) {
        if level as u8 > self.level as u8
            || level as u8 <= LogLevel::Warn as u8 && self.is_repeated(text)
        {
            return;
        }
        let server = self.kind.name();
        match level {
            LogLevel::Error if text.contains("Loop detected for leafnode") => {
                if self.quiet.state.tell_of_loop() {
                    tracing::warn!(server, "{LOOP}; nats-server: {text}");
                } else {
                    tracing::debug!(server, "nats-server: {text}");
                }
            }
            LogLevel::Error | LogLevel::Warn if self.quiet.is(self.kind) => {
                tracing::debug!(server, "nats-server, while it ends: {text}");
            }
            LogLevel::Error => match hint(text) {
                Some(hint) => tracing::error!(server, hint, "nats-server: {text}"),
                None => tracing::error!(server, "nats-server: {text}"),
            },
            LogLevel::Warn => tracing::warn!(server, "nats-server: {text}"),
            LogLevel::Info => tracing::info!(server, "nats-server: {text}"),
            LogLevel::Debug => tracing::debug!(server, "nats-server: {text}"),
            LogLevel::Trace => tracing::trace!(server, "nats-server: {text}"),
        }
    }

    fn is_repeated(&mut self, text: &str) -> bool {
        let kind = text.replace(|c: char| c.is_ascii_digit(), "");
        let now = Instant::now();
        if self.said.get(&kind).is_some_and(|said| now.duration_since(*said) < AGAIN) {
            return true;
        }
        if self.said.len() == KINDS {
            self.said.clear();
        }
        self.said.insert(kind, now);
        false
    }
}

/// What an error probably means for the operator.
fn hint(text: &str) -> Option<&'static str> {
    let has = |part: &str| text.contains(part);
    if has("unknown authority")
        || has("unknown certificate authority")
        || has("tls: bad certificate")
    {
        Some(
            "a node with a certificate of another authority: all nodes need one \
             (clustering.tls.certificateAuthority, harper-host cert issue)",
        )
    } else if has("authentication error")
        || has("Authorization Violation")
        || has("authorization violation")
    {
        Some("a node with another cluster user or password (clustering.user, CLUSTERING_PASSWORD)")
    } else if has("certificate is valid for") || has("doesn't contain any IP SANs") {
        Some("a node is called by a name that its certificate does not have (cert issue --host)")
    } else if has("duplicate name") {
        Some("another node has this one's name, and cannot join (clustering.nodeName)")
    } else {
        None
    }
}
