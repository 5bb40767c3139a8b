//! Every key that this host reads from the configuration: its default, its meaning, its type.

use std::net::IpAddr;
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
const ALLOW_PLAINTEXT: &str = "operationsApi.network.allowPlaintext";
const MAX_BODY_SIZE: &str = "operationsApi.network.maxBodySize";
const MAX_CONNECTIONS: &str = "operationsApi.network.maxConnections";
const HEADERS_TIMEOUT: &str = "operationsApi.network.headersTimeout";
const TIMEOUT: &str = "operationsApi.network.timeout";
const SHUTDOWN_TIMEOUT: &str = "operationsApi.network.shutdownTimeout";
const CACHE_TTL: &str = "authentication.cacheTTL";
const LOG_LEVEL: &str = "logging.level";

/// All keys, in the order of the first file.
pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        path: HOST,
        default: "127.0.0.1",
        meaning: "Address of the operations API. Beyond loopback it needs allowPlaintext.",
        kind: Kind::Address,
    },
    Setting {
        path: PORT,
        default: "9925",
        meaning: "Port of the operations API; 0 takes a free one.",
        kind: Kind::Number(0, 65535),
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
        meaning: "Bytes that a request's body may have. Operations may state less.",
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
        meaning: "Milliseconds that a client may take to send a request's headers.",
        kind: Kind::Number(1, 3_600_000),
    },
    Setting {
        path: TIMEOUT,
        default: "30000",
        meaning: "Milliseconds that a client may take to send a request's body.",
        kind: Kind::Number(1, 3_600_000),
    },
    Setting {
        path: SHUTDOWN_TIMEOUT,
        default: "8000",
        meaning: "Milliseconds that running requests get to end when the node is stopped.",
        kind: Kind::Number(0, 3_600_000),
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
        path: "clustering.hubServer.cluster.network.routes",
        default: "null",
        meaning: "Hubs of other nodes, each with host and port. Managed by cluster_set_routes and cluster_delete_routes, or by hand.",
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
    pub port: u16,
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
    /// `authentication.cacheTTL`.
    pub cache_ttl: Duration,
    /// `logging.level`.
    pub log_level: LogLevel,
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
#[error("harperdb-config.yaml: {}", .0.join(". "))]
pub struct SettingsError(Vec<String>);

impl Settings {
    /// Reads the settings out of the whole document. Keys that this host does not know are left
    /// alone.
    pub fn read(document: &Value) -> Result<Self, SettingsError> {
        let violations = SETTINGS.iter().filter_map(|setting| setting.violation(document));
        let violations: Vec<_> = violations.collect();
        if !violations.is_empty() {
            return Err(SettingsError(violations));
        }
        let number = |path| number(&value(document, path)).unwrap_or_default();
        let size = |path| usize::try_from(number(path)).unwrap_or(usize::MAX);
        let milliseconds = |path| Duration::from_millis(number(path));
        let text = |path| value(document, path).as_str().unwrap_or_default().to_owned();
        Ok(Self {
            // The value was checked above.
            host: text(HOST).parse().unwrap_or(IpAddr::from([127, 0, 0, 1])),
            port: u16::try_from(number(PORT)).unwrap_or_default(),
            allow_plaintext: value(document, ALLOW_PLAINTEXT) == true,
            max_body_size: size(MAX_BODY_SIZE),
            max_connections: size(MAX_CONNECTIONS),
            headers_timeout: milliseconds(HEADERS_TIMEOUT),
            body_timeout: milliseconds(TIMEOUT),
            shutdown_timeout: milliseconds(SHUTDOWN_TIMEOUT),
            cache_ttl: milliseconds(CACHE_TTL),
            log_level: match text(LOG_LEVEL).as_str() {
                "error" => LogLevel::Error,
                "warn" => LogLevel::Warn,
                "debug" => LogLevel::Debug,
                "trace" => LogLevel::Trace,
                _ => LogLevel::Info,
            },
        })
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

/// The value at a path, or its default when there is none.
fn value(document: &Value, path: &str) -> Value {
    let value = path.split('.').try_fold(document, |value, key| value.get(key));
    let default = || {
        let setting = SETTINGS.iter().find(|setting| setting.path == path);
        setting.and_then(|setting| serde_yaml::from_str(setting.default).ok())
    };
    value.filter(|value| !value.is_null()).cloned().or_else(default).unwrap_or_default()
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
        assert_eq!(settings.port, 9925);
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
            } },
            "authentication": { "cacheTTL": 7 },
            "logging": { "level": "warn" },
        });
        let expected = Settings {
            host: IpAddr::from([127, 0, 0, 2]),
            port: 1,
            allow_plaintext: true,
            max_body_size: 2,
            max_connections: 3,
            headers_timeout: Duration::from_millis(4),
            body_timeout: Duration::from_millis(5),
            shutdown_timeout: Duration::from_millis(6),
            cache_ttl: Duration::from_millis(7),
            log_level: LogLevel::Warn,
        };
        assert_eq!(Settings::read(&document), Ok(expected));
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let document = json!({
            "operationsApi": { "network": {
                "host": "localhost", "port": 65536, "allowPlaintext": "yes", "maxBodySize": 0,
            } },
            "logging": { "level": "loud" },
        });
        let error = Settings::read(&document).unwrap_err().to_string();
        assert_eq!(
            error,
            "harperdb-config.yaml: 'operationsApi.network.host' must be an IP address. \
             'operationsApi.network.port' must be an integer from 0 to 65535. \
             'operationsApi.network.allowPlaintext' must be true or false. \
             'operationsApi.network.maxBodySize' must be an integer from 1 to 1073741824. \
             'logging.level' must be one of [error, warn, info, debug, trace]"
        );
    }
}
