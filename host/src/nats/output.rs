//! What a server says on standard error: it goes to our log, without passwords, and tells how far
//! the server has come.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::document::encoded;
use super::{Config, ServerKind};
use crate::capabilities::log::one_line;
use crate::config::LogLevel;

/// Bytes of a line; the rest of a longer one is another line.
const LONGEST: u64 = 8 << 10;
/// Lines that explain an end.
const LAST: usize = 5;
/// What is the same but for its numbers is not said again for so long: a server that cannot be
/// joined is tried every second.
const AGAIN: Duration = Duration::from_secs(60);
/// Kinds of lines that are remembered for that.
const KINDS: usize = 256;
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
    /// The last errors, the newest last.
    pub(super) errors: VecDeque<String>,
    /// A server of its own name was met.
    pub(super) duplicate: bool,
    /// It says no more.
    pub(super) ended: bool,
}

impl Heard {
    /// All that it said was wrong lately, in one line.
    pub(super) fn reason(&self) -> String {
        match self.errors.back() {
            Some(last) => last.clone(),
            None => "it did not say why".into(),
        }
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
    kind: ServerKind,
    stream: impl AsyncRead + Unpin,
    secrets: &Secrets,
    level: LogLevel,
    heard: watch::Sender<Heard>,
) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    let mut log = Log { kind, level, said: HashMap::new() };
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
        let (level, text) = parse(&line);
        if text.is_empty() {
            continue;
        }
        heard.send_modify(|heard| follow(heard, level, text));
        log.write(level, text);
    }
    heard.send_modify(|heard| heard.ended = true);
}

/// The level and the text of such as `[123] [INF] Server is ready`.
fn parse(line: &str) -> (LogLevel, &str) {
    let parts = line.strip_prefix('[').and_then(|line| {
        let (_, rest) = line.split_once("] [")?;
        let (level, text) = rest.split_once(']')?;
        Some((level, text.trim_start()))
    });
    match parts {
        Some(("INF", text)) => (LogLevel::Info, text),
        Some(("WRN", text)) => (LogLevel::Warn, text),
        Some(("DBG", text)) => (LogLevel::Debug, text),
        Some(("TRC", text)) => (LogLevel::Trace, text),
        Some(("ERR" | "FTL", text)) => (LogLevel::Error, text),
        // What it says before it has a log.
        _ => (LogLevel::Error, line.strip_prefix("nats-server: ").unwrap_or(line)),
    }
}

fn follow(heard: &mut Heard, level: LogLevel, text: &str) {
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
    if level == LogLevel::Error {
        if heard.errors.len() == LAST {
            heard.errors.pop_front();
        }
        heard.errors.push_back(text.to_owned());
    }
}

/// The log of one server.
struct Log {
    kind: ServerKind,
    level: LogLevel,
    /// When which kind of line was said.
    said: HashMap<String, Instant>,
}

impl Log {
    fn write(&mut self, level: LogLevel, text: &str) {
        if level as u8 > self.level as u8
            || level as u8 <= LogLevel::Warn as u8 && self.is_repeated(text)
        {
            return;
        }
        let server = self.kind.name();
        match level {
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
