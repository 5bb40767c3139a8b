//! `plugins` in `harperdb-config.yaml`: which plugins there are, what each is granted, and what its
//! calls may use.
//!
//! ```yaml
//! plugins:
//! - name: cluster-health
//!   file: plugins/cluster_health.wasm
//!   sha256: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
//!   grants:
//!     nats: { servers: true }
//!     tables: { read: [dev.dog] }
//!   limits: { memory: 33554432, cpu: 500 }
//! ```

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::capabilities::{GrantError, Grants};
use crate::runtime::Limits;

/// A plugin, as the configuration file has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PluginSettings {
    /// `name`: what the plugin is called in the log, in metrics and by whoever operates it.
    pub name: String,
    /// `file`, as it is written. A relative path is below the node's folder.
    pub file: PathBuf,
    /// `sha256`: of the file that was granted all this, in lower-case hex. Without, nothing is.
    pub sha256: Option<String>,
    /// `grants`.
    pub grants: Grants,
    /// `limits`; what is not said is as [`Limits`] has it.
    pub limits: Limits,
}

/// A path such as `plugins[0].file`, and what is wrong there.
pub(crate) type Violation = (String, String);

/// The keys of a plugin, and of what is in them.
const KEYS: [(&str, &[&str]); 6] = [
    ("", &["name", "file", "sha256", "grants", "limits"]),
    ("grants", &["config", "nats", "jetstream", "tables", "replication"]),
    ("grants.config", &["read", "write"]),
    ("grants.nats", &["request", "servers"]),
    ("grants.jetstream", &["inspect", "purge"]),
    ("grants.tables", &["read", "write", "create", "describe"]),
];

/// Those of `limits`. Bytes, milliseconds and numbers.
const LIMITS: &[&str] = &[
    "memory",
    "cpu",
    "wallClock",
    "hostCalls",
    "requestBytes",
    "replyBytes",
    "exchangedBytes",
    "logBytes",
    "logBytesPerMinute",
    "concurrentCalls",
];

/// The names of a plugin that are the host's own.
const RESERVED_NAMES: [&str; 2] = ["clustering", "unknown"];

/// Plugins of one node.
const MOST: usize = 100;

impl PluginSettings {
    /// A plugin that is granted nothing.
    pub fn new(name: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), file: file.into(), ..Self::default() }
    }

    /// What the value of `plugins` says. Keys that mean nothing are passed over.
    pub(crate) fn read_all(value: &Value) -> Result<Vec<Self>, Vec<Violation>> {
        let items = match value {
            Value::Null => return Ok(Vec::new()),
            Value::Array(items) if items.len() <= MOST => items,
            Value::Array(_) => {
                return Err(vec![("plugins".into(), format!("must have at most {MOST} plugins"))]);
            }
            _ => return Err(vec![("plugins".into(), "must be a list, or null".into())]),
        };
        let mut violations = Vec::new();
        let mut all: Vec<Self> = Vec::new();
        for (n, item) in items.iter().enumerate() {
            let path = format!("plugins[{n}]");
            if !item.is_object() {
                violations.push((path, "must be a mapping".into()));
                continue;
            }
            let plugin = Reader { path, value: item, violations: &mut violations }.plugin();
            if all.iter().any(|other| other.name == plugin.name) {
                violations.push((format!("plugins[{n}].name"), "must not be there twice".into()));
            }
            all.push(plugin);
        }
        if violations.is_empty() { Ok(all) } else { Err(violations) }
    }

    /// The plugin as the configuration file has it: what another one would say, an entry of
    /// `plugins`. Limits that are the defaults are left out.
    pub fn to_json(&self) -> Value {
        let mut entry = Map::new();
        entry.insert("name".into(), json!(self.name));
        entry.insert("file".into(), json!(self.file.to_string_lossy()));
        entry.extend(self.sha256.as_ref().map(|sha256| ("sha256".to_owned(), json!(sha256))));
        let grants = grants_to_json(&self.grants);
        if grants.as_object().is_some_and(|grants| !grants.is_empty()) {
            entry.insert("grants".into(), grants);
        }
        let (ours, default) = (limits_to_json(&self.limits), limits_to_json(&Limits::default()));
        let limits: Map<_, _> =
            ours.into_iter().filter(|(key, value)| default.get(key) != Some(value)).collect();
        if !limits.is_empty() {
            entry.insert("limits".into(), Value::Object(limits));
        }
        Value::Object(entry)
    }
}

/// Grants as the configuration file has them; what is not granted is not there.
pub fn grants_to_json(grants: &Grants) -> Value {
    let mut all = Map::new();
    for grant in grants.listed() {
        let Some((capability, what)) = grant.kind.split_once('.') else {
            all.insert(grant.kind.to_owned(), true.into());
            continue;
        };
        let of = all.entry(capability).or_insert_with(|| json!({}));
        match (&mut of[what], is_flag(grant.kind)) {
            (value, true) => *value = true.into(),
            (Value::Array(list), false) => list.push(grant.pattern.into()),
            (value, false) => *value = json!([grant.pattern]),
        }
    }
    Value::Object(all)
}

fn is_flag(kind: &str) -> bool {
    matches!(kind, "nats.servers" | "tables.describe" | "replication")
}

fn limits_to_json(limits: &Limits) -> Map<String, Value> {
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let values = [
        json!(limits.memory),
        json!(milliseconds(limits.cpu)),
        json!(milliseconds(limits.wall_clock)),
        json!(limits.host_calls),
        json!(limits.request_bytes),
        json!(limits.reply_bytes),
        json!(limits.exchanged_bytes),
        json!(limits.log_bytes),
        json!(limits.log_bytes_per_minute),
        json!(limits.concurrent_calls),
    ];
    LIMITS.iter().map(|key| (*key).to_owned()).zip(values).collect()
}

/// Keys of the value of `plugins` that mean nothing, by their paths; each with those that there are.
pub(crate) fn unknown_keys(plugins: &Value) -> Vec<(String, &'static [&'static str])> {
    let mut found = Vec::new();
    let all = KEYS.into_iter().chain([("limits", LIMITS)]);
    for (n, plugin) in plugins.as_array().into_iter().flatten().enumerate() {
        for (path, known) in all.clone() {
            let steps = path.split('.').filter(|step| !step.is_empty());
            let mapping = steps.fold(plugin, |value, step| &value[step]);
            let path = if path.is_empty() { String::new() } else { format!(".{path}") };
            let keys = mapping.as_object().into_iter().flatten().map(|(key, _)| key);
            let unknown = keys.filter(|key| !known.contains(&key.as_str()));
            found.extend(unknown.map(|key| (format!("plugins[{n}]{path}.{key}"), known)));
        }
    }
    found.sort();
    found
}

/// What a plugin may be called: it is a label of metrics, and a word of the log and the command line.
pub fn is_plugin_name(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(is_plain) && !RESERVED_NAMES.contains(&name)
}

/// Reads one plugin's mapping.
struct Reader<'v> {
    path: String,
    value: &'v Value,
    violations: &'v mut Vec<Violation>,
}

impl<'v> Reader<'v> {
    fn plugin(mut self) -> PluginSettings {
        for (section, _) in KEYS.into_iter().skip(1).chain([("limits", LIMITS)]) {
            let value = self.at(section);
            if !value.is_null() && !value.is_object() {
                self.wrong(section, "must be a mapping");
            }
        }
        let name = self.text("name").unwrap_or_default();
        if !is_plugin_name(&name) {
            let rule = "must be a name of 1 to 64 lower-case letters, digits, - and _, and not one \
                        of the host's own";
            self.wrong("name", rule);
        }
        let file = self.text("file").unwrap_or_default();
        if file.is_empty() {
            self.wrong("file", "must be the path of a file");
        }
        let sha256 = match self.at("sha256") {
            Value::Null => None,
            _ => self.text("sha256").map(|text| text.to_ascii_lowercase()),
        };
        let is_hash =
            |text: &String| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !self.at("sha256").is_null() && !sha256.as_ref().is_some_and(is_hash) {
            self.wrong("sha256", "must be 64 hexadecimal digits, in quotes if all are digits");
        }
        let grants = self.grants();
        let limits = self.limits();
        PluginSettings { name, file: file.into(), sha256, grants, limits }
    }

    fn grants(&mut self) -> Grants {
        let mut grants = Grants::default();
        grants.config.read = self.patterns("grants.config.read");
        grants.config.write = self.patterns("grants.config.write");
        grants.nats.request = self.patterns("grants.nats.request");
        grants.nats.servers = self.flag("grants.nats.servers");
        grants.jetstream.inspect = self.patterns("grants.jetstream.inspect");
        grants.jetstream.purge = self.patterns("grants.jetstream.purge");
        grants.tables.read = self.patterns("grants.tables.read");
        grants.tables.write = self.patterns("grants.tables.write");
        grants.tables.create = self.patterns("grants.tables.create");
        grants.tables.describe = self.flag("grants.tables.describe");
        grants.replication = self.flag("grants.replication");
        grants
    }

    fn limits(&mut self) -> Limits {
        const GIB: u64 = 1 << 30;
        const HOUR: u64 = 3_600_000;
        let mut limits = Limits::default();
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let mut set = |key: &str, least, most, set: &mut dyn FnMut(u64)| {
            if let Some(number) = self.number(&format!("limits.{key}"), least, most) {
                set(number);
            }
        };
        set("memory", 64 << 10, GIB, &mut |n| limits.memory = size(n));
        set("cpu", 1, HOUR, &mut |n| limits.cpu = Duration::from_millis(n));
        set("wallClock", 1, HOUR, &mut |n| limits.wall_clock = Duration::from_millis(n));
        set("hostCalls", 0, u32::MAX.into(), &mut |n| {
            limits.host_calls = u32::try_from(n).unwrap_or(u32::MAX);
        });
        set("requestBytes", 1, GIB, &mut |n| limits.request_bytes = size(n));
        set("replyBytes", 1, GIB, &mut |n| limits.reply_bytes = size(n));
        set("exchangedBytes", 0, GIB, &mut |n| limits.exchanged_bytes = size(n));
        set("logBytes", 0, GIB, &mut |n| limits.log_bytes = size(n));
        set("logBytesPerMinute", 0, GIB, &mut |n| limits.log_bytes_per_minute = size(n));
        set("concurrentCalls", 1, 64, &mut |n| limits.concurrent_calls = size(n));
        limits
    }

    /// What stands at a path below the plugin; null where nothing does.
    fn at(&self, path: &str) -> &'v Value {
        path.split('.').fold(self.value, |value, key| &value[key])
    }

    fn wrong(&mut self, path: &str, rule: impl Into<String>) {
        self.violations.push((format!("{}.{path}", self.path), rule.into()));
    }

    fn text(&self, path: &str) -> Option<String> {
        self.at(path).as_str().map(str::to_owned)
    }

    fn flag(&mut self, path: &str) -> bool {
        match self.at(path) {
            Value::Null => false,
            Value::Bool(flag) => *flag,
            _ => {
                self.wrong(path, "must be true or false");
                false
            }
        }
    }

    fn number(&mut self, path: &str, least: u64, most: u64) -> Option<u64> {
        let value = self.at(path);
        if value.is_null() {
            return None;
        }
        let number = value.as_u64().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.wrong(path, format!("must be an integer from {least} to {most}"));
        }
        number
    }

    fn patterns<T: FromStr<Err = GrantError>>(&mut self, path: &str) -> Vec<T> {
        let items = match self.at(path) {
            Value::Null => return Vec::new(),
            Value::Array(items) => items.clone(),
            _ => {
                self.wrong(path, "must be a list");
                return Vec::new();
            }
        };
        let mut patterns = Vec::new();
        for (n, item) in items.iter().enumerate() {
            match item.as_str().map(str::parse) {
                Some(Ok(pattern)) => patterns.push(pattern),
                Some(Err(error)) => {
                    self.wrong(&format!("{path}[{n}]"), format!("must be a pattern: {error}"));
                }
                None => self.wrong(&format!("{path}[{n}]"), "must be a string"),
            }
        }
        patterns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Value {
        json!([{
            "name": "a",
            "file": "a.wasm",
            "sha256": "0".repeat(64),
            "grants": {
                "config": { "read": ["a.b"], "write": ["a.*"] },
                "nats": { "request": ["orders.>"], "servers": true },
                "jetstream": { "inspect": ["d/*"], "purge": ["d/s"] },
                "tables": {
                    "read": ["dev.*"], "write": ["dev.dog"], "create": ["*.*"], "describe": true,
                },
                "replication": true,
            },
            "limits": {
                "memory": 65536, "cpu": 1, "wallClock": 2, "hostCalls": 3, "requestBytes": 4,
                "replyBytes": 5, "exchangedBytes": 6, "logBytes": 7, "logBytesPerMinute": 8,
                "concurrentCalls": 9,
            },
        }])
    }

    #[test]
    fn every_key_binds_and_is_written_as_it_is_read() {
        let read = PluginSettings::read_all(&whole()).unwrap();
        let [plugin] = read.as_slice() else { panic!("{read:?}") };
        assert_eq!(plugin.grants.listed().len(), Grants::KINDS.len());
        let limits = Limits {
            memory: 65536,
            cpu: Duration::from_millis(1),
            wall_clock: Duration::from_millis(2),
            host_calls: 3,
            request_bytes: 4,
            reply_bytes: 5,
            exchanged_bytes: 6,
            log_bytes: 7,
            log_bytes_per_minute: 8,
            concurrent_calls: 9,
        };
        assert_eq!(plugin.limits, limits);
        assert_eq!(json!([plugin.to_json()]), whole());
        assert_eq!(unknown_keys(&whole()), []);
        let least = json!([{ "name": "a", "file": "a.wasm" }]);
        let read = PluginSettings::read_all(&least).unwrap();
        assert_eq!(read, [PluginSettings::new("a", "a.wasm")]);
        assert_eq!(json!([read[0].to_json()]), least);
        assert_eq!(PluginSettings::read_all(&Value::Null), Ok(vec![]));
    }

    // covers: plugins.settings
    #[test]
    fn what_is_wrong_is_said_to_be_where_it_is() {
        let wrong = |change: fn(&mut Value)| {
            let mut plugins = whole();
            change(&mut plugins[0]);
            let violations = PluginSettings::read_all(&plugins).unwrap_err();
            let [(path, rule)] = violations.as_slice() else { panic!("{violations:?}") };
            format!("{path} {rule}")
        };
        let name = "plugins[0].name must be a name of 1 to 64 lower-case letters, digits, - and _, \
                    and not one of the host's own";
        assert_eq!(wrong(|plugin| plugin["name"] = json!("A b")), name);
        assert_eq!(wrong(|plugin| plugin["name"] = json!("clustering")), name);
        assert_eq!(wrong(|plugin| plugin["name"] = json!(null)), name);
        let file = "plugins[0].file must be the path of a file";
        assert_eq!(wrong(|plugin| plugin["file"] = json!("")), file);
        let sha256 = "plugins[0].sha256 must be 64 hexadecimal digits, in quotes if all are digits";
        assert_eq!(wrong(|plugin| plugin["sha256"] = json!("0")), sha256);
        assert_eq!(wrong(|plugin| plugin["sha256"] = json!(0)), sha256);
        let mapping = "plugins[0].grants.nats must be a mapping";
        assert_eq!(wrong(|plugin| plugin["grants"]["nats"] = json!("all")), mapping);
        let list = "plugins[0].grants.tables.read must be a list";
        assert_eq!(wrong(|plugin| plugin["grants"]["tables"]["read"] = json!("dev.*")), list);
        let pattern = wrong(|plugin| plugin["grants"]["tables"]["read"][0] = json!("dev"));
        let text = "plugins[0].grants.tables.read[0] must be a pattern: 'dev' is not ";
        assert!(pattern.starts_with(text), "{pattern}");
        let flag = "plugins[0].grants.nats.servers must be true or false";
        assert_eq!(wrong(|plugin| plugin["grants"]["nats"]["servers"] = json!("yes")), flag);
        let memory = "plugins[0].limits.memory must be an integer from 65536 to 1073741824";
        assert_eq!(wrong(|plugin| plugin["limits"]["memory"] = json!("1 GB")), memory);

        let twice = json!([{ "name": "a", "file": "x" }, { "name": "a", "file": "y" }]);
        let error = PluginSettings::read_all(&twice).unwrap_err();
        assert_eq!(error, [("plugins[1].name".into(), "must not be there twice".into())]);
        let error = PluginSettings::read_all(&json!({ "a": 1 })).unwrap_err();
        assert_eq!(error, [("plugins".into(), "must be a list, or null".into())]);
    }
}
