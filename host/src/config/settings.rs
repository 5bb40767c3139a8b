//! Every key that this host reads from the configuration: its default, its meaning, its type.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

/// A key of the configuration file.
#[derive(Debug)]
pub(super) struct Setting {
    /// The key path.
    pub(super) path: &'static str,
    /// The default, as YAML.
    pub(super) default: &'static str,
    /// What it means, for the operator.
    pub(super) meaning: &'static str,
    pub(super) kind: Kind,
}

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An IP address.
    Address,
    /// A number within these bounds.
    Number(u64, u64),
    /// A port; null, said explicitly, is none.
    Port,
    /// A file's path, or null.
    Path,
    /// true or false.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of routes, which the operations manage.
    Routes,
}

impl Setting {
    /// The environment variable that overrides it.
    pub(super) fn variable(&self) -> String {
        self.path.replace('.', "_").to_ascii_uppercase()
    }
}

const HOST: &str = "operationsApi.network.host";
const PORT: &str = "operationsApi.network.port";
const SECURE_PORT: &str = "operationsApi.network.securePort";
const ALLOW_PLAINTEXT: &str = "operationsApi.network.allowPlaintext";
const MAX_BODY_SIZE: &str = "operationsApi.network.maxBodySize";
const MAX_CONNECTIONS: &str = "operationsApi.network.maxConnections";
const HEADERS_TIMEOUT: &str = "operationsApi.network.headersTimeout";
const TIMEOUT: &str = "operationsApi.network.timeout";
const SHUTDOWN_TIMEOUT: &str = "operationsApi.network.shutdownTimeout";
const CERTIFICATE: &str = "tls.certificate";
const PRIVATE_KEY: &str = "tls.privateKey";
const CACHE_TTL: &str = "authentication.cacheTTL";
const LOG_LEVEL: &str = "logging.level";
const AUDIT_MAX_SIZE: &str = "logging.audit.maxSize";
const AUDIT_MAX_FILES: &str = "logging.audit.maxFiles";

/// All keys, in the order of the first file.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        path: HOST,
        default: "127.0.0.1",
        meaning: "Address of the operations API. Beyond loopback it needs securePort, with port null, or allowPlaintext.",
        kind: Kind::Address,
    },
    Setting {
        path: PORT,
        default: "9925",
        meaning: "Port of the operations API by plain HTTP; 0 takes a free one, null serves none.",
        kind: Kind::Port,
    },
    Setting {
        path: SECURE_PORT,
        default: "null",
        meaning: "Port of the operations API by HTTPS; 0 takes a free one, null serves none.",
        kind: Kind::Port,
    },
    Setting {
        path: ALLOW_PLAINTEXT,
        default: "false",
        meaning: "Whether HTTP without TLS may be served beyond loopback. Passwords are then readable on the way.",
        kind: Kind::Flag,
    },
    Setting {
        path: MAX_BODY_SIZE,
        default: "16777216",
        meaning: "Bytes of a request's body. Operations may state less.",
        kind: Kind::Number(1, 1 << 30),
    },
    Setting {
        path: MAX_CONNECTIONS,
        default: "1000",
        meaning: "Connections served at the same time; more wait.",
        kind: Kind::Number(1, 100_000),
    },
    Setting {
        path: HEADERS_TIMEOUT,
        default: "10000",
        meaning: "Milliseconds for a request's headers, or for a TLS handshake.",
        kind: Kind::Number(1, 3_600_000),
    },
    Setting {
        path: TIMEOUT,
        default: "30000",
        meaning: "Milliseconds for a request's body.",
        kind: Kind::Number(1, 3_600_000),
    },
    Setting {
        path: SHUTDOWN_TIMEOUT,
        default: "8000",
        meaning: "Milliseconds that running requests get to end when the node is stopped.",
        kind: Kind::Number(0, 3_600_000),
    },
    Setting {
        path: CERTIFICATE,
        default: "null",
        meaning: "PEM file with the certificate for HTTPS, and those above it. Relative paths are below this folder; null makes one in keys/.",
        kind: Kind::Path,
    },
    Setting {
        path: PRIVATE_KEY,
        default: "null",
        meaning: "PEM file with its private key: RSA, ECDSA P-256 or P-384, or Ed25519.",
        kind: Kind::Path,
    },
    Setting {
        path: CACHE_TTL,
        default: "30000",
        meaning: "Milliseconds for which a verified password is not verified again.",
        kind: Kind::Number(0, 86_400_000),
    },
    Setting {
        path: LOG_LEVEL,
        default: "info",
        meaning: "How much is logged: error, warn, info, debug or trace.",
        kind: Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
    },
    Setting {
        path: AUDIT_MAX_SIZE,
        default: "10485760",
        meaning: "Bytes of log/audit.log at which a new file is begun.",
        kind: Kind::Number(1, 1 << 40),
    },
    Setting {
        path: AUDIT_MAX_FILES,
        default: "10",
        meaning: "Older files of it that are kept.",
        kind: Kind::Number(0, 10_000),
    },
    Setting {
        path: "clustering.hubServer.cluster.network.routes",
        default: "null",
        meaning: "Hubs of other nodes, each with host and port. Managed by the operations on routes, or by hand.",
        kind: Kind::Routes,
    },
    Setting {
        path: "clustering.leafServer.network.routes",
        default: "null",
        meaning: "Leafnode addresses of other nodes that this node's leaf server joins.",
        kind: Kind::Routes,
    },
];

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
    /// The environment variable that has the value; none when the file has it.
    variable: Option<String>,
}

impl SettingsError {
    /// All that is wrong, each a clause such as `'logging.level' must be ...`.
    pub fn violations(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|violation| violation.clause.as_str())
    }
}

/// What is wrong in the file, then what is wrong in the environment.
fn told(violations: &[Violation]) -> String {
    let in_file = violations.iter().filter(|violation| violation.variable.is_none());
    let clauses: Vec<_> = in_file.map(|violation| violation.clause.as_str()).collect();
    let mut told = Vec::new();
    if !clauses.is_empty() {
        told.push(format!("{}: {}", super::FILE_NAME, clauses.join(". ")));
    }
    told.extend(violations.iter().filter_map(|Violation { clause, variable }| {
        Some(format!("the environment variable {}: {clause}", variable.as_ref()?))
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
        Self::read_with(document, |_| None)
    }

    /// The same, where `variable` knows which values are those of the environment.
    pub(super) fn read_with(
        document: &Value,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        let mut violations: Vec<_> = no_mappings(document)
            .into_iter()
            .map(|path| Violation { clause: format!("'{path}' must be a mapping"), variable: None })
            .collect();
        violations.extend(SETTINGS.iter().filter_map(|setting| {
            let clause = setting.violation(document)?;
            Some(Violation { clause, variable: variable(setting.path) })
        }));
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
        None
    }

    /// The same of a document without violations.
    fn of(document: &Value) -> Self {
        let number = |path| number(&value(document, path)).unwrap_or_default();
        let size = |path| usize::try_from(number(path)).unwrap_or(usize::MAX);
        let milliseconds = |path| Duration::from_millis(number(path));
        let text = |path| value(document, path).as_str().unwrap_or_default().to_owned();
        let port = |path| value(document, path).as_u64().and_then(|port| port.try_into().ok());
        let file = |path| value(document, path).as_str().map(PathBuf::from);
        Self {
            host: text(HOST).parse().unwrap_or(IpAddr::from([127, 0, 0, 1])),
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
            log_level: match text(LOG_LEVEL).as_str() {
                "error" => LogLevel::Error,
                "warn" => LogLevel::Warn,
                "debug" => LogLevel::Debug,
                "trace" => LogLevel::Trace,
                _ => LogLevel::Info,
            },
            audit_max_size: number(AUDIT_MAX_SIZE),
            audit_max_files: u32::try_from(number(AUDIT_MAX_FILES)).unwrap_or(u32::MAX),
        }
    }
}

/// What an empty file says.
impl Default for Settings {
    fn default() -> Self {
        Self::of(&Value::Null)
    }
}

impl Setting {
    /// What is wrong with the document's value, if anything is.
    fn violation(&self, document: &Value) -> Option<String> {
        let value = value(document, self.path);
        let rule = match self.kind {
            Kind::Address => {
                let address = value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
                address.is_none().then(|| "must be an IP address".to_owned())
            }
            Kind::Number(least, most) => {
                let fits = number(&value).is_some_and(|number| (least..=most).contains(&number));
                (!fits).then(|| format!("must be an integer from {least} to {most}"))
            }
            Kind::Port => {
                let fits = value.is_null() || number(&value).is_some_and(|number| number <= 65535);
                (!fits).then(|| "must be an integer from 0 to 65535, or null".to_owned())
            }
            Kind::Path => {
                let fits = value.is_null() || value.as_str().is_some_and(|path| !path.is_empty());
                (!fits).then(|| "must be the path of a file, or null".to_owned())
            }
            Kind::Flag => (!value.is_boolean()).then(|| "must be true or false".to_owned()),
            Kind::Choice(words) => {
                let fits = value.as_str().is_some_and(|word| words.contains(&word));
                (!fits).then(|| format!("must be one of [{}]", words.join(", ")))
            }
            // The operations read them, and say what is wrong with them, whenever they are asked.
            Kind::Routes => None,
        };
        rule.map(|rule| format!("'{}' {rule}", self.path))
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
    let null_is_a_value = setting.is_some_and(|setting| setting.kind == Kind::Port);
    let default = || setting.and_then(|setting| serde_yaml::from_str(setting.default).ok());
    let value = value.filter(|value| null_is_a_value || !value.is_null());
    value.cloned().or_else(default).unwrap_or_default()
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // covers: http.default-address
    #[test]
    fn an_empty_file_means_the_defaults() {
        let settings = Settings::read(&Value::Null).unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!((settings.port, settings.secure_port), (Some(9925), None));
        assert_eq!(settings.host.to_string(), "127.0.0.1");
        assert_eq!(settings.max_body_size, 16 << 20);
        assert_eq!(settings.shutdown_timeout, Duration::from_secs(8));
    }

    #[test]
    fn every_key_that_parses_binds() {
        let document = json!({
            "operationsApi": { "network": {
                "host": "127.0.0.2", "port": 1, "allowPlaintext": true, "maxBodySize": 2,
                "maxConnections": 3, "headersTimeout": 4, "timeout": 5, "shutdownTimeout": 6,
                "securePort": 10,
            } },
            "tls": { "certificate": "a.pem", "privateKey": "/b.pem" },
            "authentication": { "cacheTTL": 7 },
            "logging": { "level": "warn", "audit": { "maxSize": 8, "maxFiles": 9 } },
        });
        let expected = Settings {
            host: IpAddr::from([127, 0, 0, 2]),
            port: Some(1),
            secure_port: Some(10),
            allow_plaintext: true,
            max_body_size: 2,
            max_connections: 3,
            headers_timeout: Duration::from_millis(4),
            body_timeout: Duration::from_millis(5),
            shutdown_timeout: Duration::from_millis(6),
            certificate: Some("a.pem".into()),
            private_key: Some("/b.pem".into()),
            cache_ttl: Duration::from_millis(7),
            log_level: LogLevel::Warn,
            audit_max_size: 8,
            audit_max_files: 9,
        };
        assert_eq!(Settings::read(&document), Ok(expected));
    }

    // covers: configuration.mapping, configuration.environment-named
    #[test]
    fn what_is_wrong_is_said_to_be_where_it_is() {
        let document =
            json!({ "logging": "loud", "operationsApi": { "network": [9925] }, "tls": null });
        let error = Settings::read(&document).unwrap_err().to_string();
        assert_eq!(
            error,
            "harperdb-config.yaml: 'operationsApi.network' must be a mapping. \
             'logging' must be a mapping"
        );
        let document = json!({ "operationsApi": { "network": { "port": "x", "host": "y" } } });
        let variable = |path: &str| (path == PORT).then(|| "OPERATIONSAPI_NETWORK_PORT".to_owned());
        let error = Settings::read_with(&document, variable).unwrap_err().to_string();
        assert_eq!(
            error,
            "harperdb-config.yaml: 'operationsApi.network.host' must be an IP address. \
             the environment variable OPERATIONSAPI_NETWORK_PORT: 'operationsApi.network.port' \
             must be an integer from 0 to 65535, or null"
        );
    }

    /// The table of keys in the README is this one.
    #[test]
    fn the_readme_has_every_key() {
        let mut table = "| key | default | meaning |\n| --- | --- | --- |\n".to_owned();
        for Setting { path, default, meaning, .. } in SETTINGS {
            table += &format!("| `{path}` | `{default}` | {meaning} |\n");
        }
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"));
        assert!(readme.unwrap().contains(&table), "the README must have:\n{table}");
    }

    // covers: http.port-null
    #[test]
    fn a_port_that_is_null_is_none_and_one_that_is_not_said_is_the_default() {
        let port = |network: Value| {
            let document = json!({ "operationsApi": { "network": network } });
            Settings::read(&document).unwrap().port
        };
        assert_eq!(port(json!({ "port": null })), None);
        assert_eq!(port(json!({})), Some(9925));
        assert_eq!(port(json!(null)), Some(9925));
        let shown = |mut document: Value| {
            put_defaults(&mut document);
            document["operationsApi"]["network"]["port"].clone()
        };
        assert_eq!(shown(json!({ "operationsApi": { "network": { "port": null } } })), json!(null));
        assert_eq!(shown(json!({})), json!(9925));
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let document = json!({
            "operationsApi": { "network": {
                "host": "localhost", "port": 65536, "allowPlaintext": "yes", "maxBodySize": 0,
            } },
            "tls": { "certificate": "", "privateKey": 1 },
            "logging": { "level": "loud" },
        });
        let error = Settings::read(&document).unwrap_err().to_string();
        assert_eq!(
            error,
            "harperdb-config.yaml: 'operationsApi.network.host' must be an IP address. \
             'operationsApi.network.port' must be an integer from 0 to 65535, or null. \
             'operationsApi.network.allowPlaintext' must be true or false. \
             'operationsApi.network.maxBodySize' must be an integer from 1 to 1073741824. \
             'tls.certificate' must be the path of a file, or null. \
             'tls.privateKey' must be the path of a file, or null. \
             'logging.level' must be one of [error, warn, info, debug, trace]"
        );
    }
}
