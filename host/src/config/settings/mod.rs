//! Every key that this host reads from the configuration: its default, its meaning, its type.

mod clustering;
mod table;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

pub use clustering::{Clustering, ClusteringTls, Listen, Streams};
pub use table::{HUB_ROUTES, LEAF_ROUTES};
pub(super) use table::{Kind, PLUGINS, SETTINGS, Setting};

use crate::plugins::PluginSettings;
use table::*;

/// What the configuration says, with defaults for what it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// `operationsApi.network.host`.
    pub host: IpAddr,
    /// `operationsApi.network.port`.
    pub port: Option<u16>,
    /// `operationsApi.network.securePort`.
    pub secure_port: Option<u16>,
    /// `operationsApi.network.allowPlaintext`.
    pub allow_plaintext: bool,
    /// `operationsApi.network.maxBodySize`, in bytes.
    pub max_body_size: usize,
    /// `operationsApi.network.maxConnections`.
    pub max_connections: usize,
    /// `operationsApi.network.headersTimeout`.
    pub headers_timeout: Duration,
    /// `operationsApi.network.timeout`.
    pub body_timeout: Duration,
    /// `operationsApi.network.shutdownTimeout`.
    pub shutdown_timeout: Duration,
    /// `tls.certificate`, as it is written.
    pub certificate: Option<PathBuf>,
    /// `tls.privateKey`, as it is written.
    pub private_key: Option<PathBuf>,
    /// `authentication.cacheTTL`.
    pub cache_ttl: Duration,
    /// `logging.level`.
    pub log_level: LogLevel,
    /// `logging.audit.maxSize`, in bytes.
    pub audit_max_size: u64,
    /// `logging.audit.maxFiles`.
    pub audit_max_files: u32,
    /// `clustering`, without its lists of routes, which change while a node runs.
    pub clustering: Clustering,
    /// `plugins`.
    pub plugins: Vec<PluginSettings>,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says it all")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// The configuration does not say what it should, at one place or several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", told(.0))]
pub struct SettingsError(Vec<Violation>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Violation {
    /// Such as `'logging.level' must be ...`.
    clause: String,
    /// What has the value.
    place: Place,
}

/// What has a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The environment variable of this name.
    Variable(String),
    /// The file, in this line, if it is known.
    Line(Option<usize>),
}

impl SettingsError {
    /// All that is wrong, each a clause such as `'logging.level' must be ...`.
    pub fn violations(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|violation| violation.clause.as_str())
    }
}

/// What is wrong in the file, then what is wrong in the environment.
fn told(violations: &[Violation]) -> String {
    let in_file = violations.iter().filter_map(|Violation { clause, place }| match place {
        Place::Line(Some(line)) => Some(format!("{clause} (line {line})")),
        Place::Line(None) => Some(clause.clone()),
        Place::Variable(_) => None,
    });
    let clauses: Vec<_> = in_file.collect();
    let mut told = Vec::new();
    if !clauses.is_empty() {
        told.push(format!("{}: {}", super::FILE_NAME, clauses.join(". ")));
    }
    told.extend(violations.iter().filter_map(|Violation { clause, place }| match place {
        Place::Variable(name) => Some(format!("the environment variable {name}: {clause}")),
        Place::Line(_) => None,
    }));
    told.join(". ")
}

/// Puts the default in where the document says nothing.
pub(super) fn put_defaults(document: &mut Value) {
    for setting in SETTINGS {
        let value = value(document, setting.path);
        let mut place = &mut *document;
        for key in setting.path.split('.') {
            if place.is_null() {
                *place = Value::Object(serde_json::Map::new());
            }
            match place {
                Value::Object(mapping) => {
                    place = mapping.entry(key).or_insert(Value::Null);
                }
                // Not what it should be, and for the operator to see.
                _ => break,
            }
        }
        if place.is_null() {
            *place = value;
        }
    }
}

impl Settings {
    /// Reads the settings out of the whole document. Keys that this host does not know are left
    /// alone.
    pub fn read(document: &Value) -> Result<Self, SettingsError> {
        Self::read_with(document, |_| Place::Line(None))
    }

    /// The same, where `place` knows what has the value at a path.
    pub(super) fn read_with(
        document: &Value,
        place: impl Fn(&str) -> Place,
    ) -> Result<Self, SettingsError> {
        let violation = |path: &str, rule: &str| Violation {
            clause: format!("'{path}' {rule}"),
            place: place(path),
        };
        let mut violations: Vec<_> =
            no_mappings(document).iter().map(|path| violation(path, "must be a mapping")).collect();
        violations.extend(
            SETTINGS
                .iter()
                .filter_map(|setting| Some(violation(setting.path, &setting.violation(document)?))),
        );
        if let Err(wrong) = PluginSettings::read_all(&document[PLUGINS]) {
            violations.extend(wrong.iter().map(|(path, rule)| violation(path, rule)));
        }
        if violations.is_empty() { Ok(Self::of(document)) } else { Err(SettingsError(violations)) }
    }

    /// What keeps a node with these settings from starting, though each by itself is right: as
    /// [`Server::bind`](crate::api::Server::bind) would say, before it is too late.
    pub(crate) fn contradiction(&self) -> Option<&'static str> {
        let beyond = !self.host.to_canonical().is_loopback();
        if beyond && self.port.is_some() && !self.allow_plaintext {
            return Some(
                "'operationsApi.network.host' is beyond this machine, where passwords would travel \
                 in the clear: set 'operationsApi.network.securePort', and \
                 'operationsApi.network.port' to null, in the same request",
            );
        }
        if self.port.is_some_and(|port| port != 0 && self.secure_port == Some(port)) {
            return Some(
                "'operationsApi.network.port' and 'operationsApi.network.securePort' are the same",
            );
        }
        if self.certificate.is_some() != self.private_key.is_some() {
            return Some("'tls.certificate' and 'tls.privateKey' belong together");
        }
        self.clustering.contradiction()
    }

    /// The same of a document without violations.
    fn of(document: &Value) -> Self {
        let number = |path| number(&value(document, path)).unwrap_or_default();
        let size = |path| usize::try_from(number(path)).unwrap_or(usize::MAX);
        let milliseconds = |path| Duration::from_millis(number(path));
        let port = |path| value(document, path).as_u64().and_then(|port| port.try_into().ok());
        let file = |path| value(document, path).as_str().map(PathBuf::from);
        Self {
            host: address(document, HOST),
            port: port(PORT),
            secure_port: port(SECURE_PORT),
            allow_plaintext: value(document, ALLOW_PLAINTEXT) == true,
            max_body_size: size(MAX_BODY_SIZE),
            max_connections: size(MAX_CONNECTIONS),
            headers_timeout: milliseconds(HEADERS_TIMEOUT),
            body_timeout: milliseconds(TIMEOUT),
            shutdown_timeout: milliseconds(SHUTDOWN_TIMEOUT),
            certificate: file(CERTIFICATE),
            private_key: file(PRIVATE_KEY),
            cache_ttl: milliseconds(CACHE_TTL),
            log_level: log_level(document, LOG_LEVEL),
            audit_max_size: number(AUDIT_MAX_SIZE),
            audit_max_files: u32::try_from(number(AUDIT_MAX_FILES)).unwrap_or(u32::MAX),
            clustering: Clustering::of(document),
            plugins: PluginSettings::read_all(&document[PLUGINS]).unwrap_or_default(),
        }
    }
}

/// What an empty file says.
impl Default for Settings {
    fn default() -> Self {
        Self::of(&Value::Null)
    }
}

/// Where the document has something else than the mapping that keys of ours are in.
fn no_mappings(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    // The operations say what is wrong with lists of routes, whenever they are asked.
    for setting in SETTINGS.iter().filter(|setting| setting.kind != Kind::Routes) {
        let mut place = document;
        for (end, _) in setting.path.match_indices('.') {
            let path = &setting.path[..end];
            place = &place[path.rsplit('.').next().unwrap_or(path)];
            if !place.is_null() && !place.is_object() && !found.iter().any(|one| one == path) {
                found.push(path.to_owned());
            }
        }
    }
    found
}

/// The value at a path, or its default when there is none.
fn value(document: &Value, path: &str) -> Value {
    let value = path.split('.').try_fold(document, |value, key| value.get(key));
    let setting = SETTINGS.iter().find(|setting| setting.path == path);
    let null_is_a_value = setting.is_some_and(|setting| setting.kind.null_is_a_value());
    let default = || setting.and_then(|setting| serde_yaml::from_str(setting.default).ok());
    let value = value.filter(|value| null_is_a_value || !value.is_null());
    value.cloned().or_else(default).unwrap_or_default()
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64()
}

/// A text; what is written as a number is one too, such as the name 7.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn address(document: &Value, path: &str) -> IpAddr {
    let address = value(document, path).as_str().and_then(|text| text.parse().ok());
    address.unwrap_or(IpAddr::from([127, 0, 0, 1]))
}

fn log_level(document: &Value, path: &str) -> LogLevel {
    match value(document, path).as_str() {
        Some("error") => LogLevel::Error,
        Some("warn") => LogLevel::Warn,
        Some("debug") => LogLevel::Debug,
        Some("trace") => LogLevel::Trace,
        _ => LogLevel::Info,
    }
}
