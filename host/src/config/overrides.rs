//! Values from the environment, which lie over those of the file.
//!
//! A key path is a variable with its dots as `_`, in upper case: `operationsApi.network.port` is
//! `OPERATIONSAPI_NETWORK_PORT`. Values are read as YAML scalars. An empty variable counts as none:
//! that is what is left of one in a script whose value was not given.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::keys::nearest;
use super::settings::{Kind, SETTINGS};
use crate::capabilities::KeyPath;

/// How variables begin that are nobody else's. Those of other keys, such as `TLS_…`, other programs may
/// have.
const PREFIXES: [&str; 3] = ["OPERATIONSAPI_", "CLUSTERING_", "HDB_ADMIN_"];
/// Variables of ours that are no keys.
const OTHERS: [&str; 4] =
    ["CLUSTERING_PASSWORD", "CLUSTERING_PASSWORD_FILE", "HDB_ADMIN_USERNAME", "HDB_ADMIN_PASSWORD"];

/// Values that lie over those of the file and are never written into it.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    values: BTreeMap<KeyPath, (String, Value)>,
}

/// A variable that cannot override anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OverrideError {
    /// Plugins and what they are granted are the file's.
    #[error("{variable} is set, but 'plugins' cannot be set by the environment: use the file")]
    Plugins {
        /// The variable.
        variable: String,
    },
    /// Routes are managed by operations that write the file.
    #[error(
        "{variable} is set, but '{key}' cannot be set by the environment: use cluster_set_routes or the file"
    )]
    Routes {
        /// The variable.
        variable: String,
        /// The key path.
        key: &'static str,
    },
}

impl Overrides {
    /// Those among `variables` (such as [`std::env::vars`]) that name a key.
    pub fn from_variables(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, OverrideError> {
        let mut values = BTreeMap::new();
        for (variable, text) in variables {
            let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == variable)
            else {
                continue;
            };
            if text.is_empty() {
                continue;
            }
            if setting.kind == Kind::Plugins {
                return Err(OverrideError::Plugins { variable });
            }
            if setting.kind == Kind::Routes {
                return Err(OverrideError::Routes { variable, key: setting.path });
            }
            if let Ok(path) = setting.path.parse() {
                values.insert(path, (variable, scalar(&text)));
            }
        }
        Ok(Self { values })
    }

    /// Those among `variables` that look like ours and mean nothing, each perhaps with the one that
    /// was meant. An empty one counts as none.
    pub fn unknown_variables<'v>(
        variables: impl IntoIterator<Item = (&'v str, &'v str)>,
    ) -> Vec<(String, Option<String>)> {
        let known = || {
            let settings = SETTINGS.iter().map(|setting| setting.variable());
            settings.chain(OTHERS.map(String::from))
        };
        let mut unknown = Vec::new();
        for (name, value) in variables {
            let upper = name.to_ascii_uppercase();
            let Some(prefix) = PREFIXES.iter().find(|prefix| upper.starts_with(*prefix)) else {
                continue;
            };
            if value.is_empty() || known().any(|known| known == name) {
                continue;
            }
            // What all of them begin with makes none more like another.
            let rests = known().filter_map(|known| Some(known.strip_prefix(prefix)?.to_owned()));
            let meant = nearest(&upper[prefix.len()..], rests);
            unknown.push((name.to_owned(), meant.map(|rest| format!("{prefix}{rest}"))));
        }
        unknown.sort();
        unknown
    }

    pub(super) fn get(&self, path: &KeyPath) -> Option<&Value> {
        self.values.get(path).map(|(_, value)| value)
    }

    /// The variable that overrides the value at `path`.
    pub(super) fn variable(&self, path: &KeyPath) -> Option<&str> {
        self.values.get(path).map(|(variable, _)| variable.as_str())
    }

    /// Puts the values over those of `document`.
    pub(super) fn apply(&self, document: &mut Value) {
        for (path, (_, value)) in &self.values {
            let mut place = &mut *document;
            for key in path.keys() {
                if !place.is_object() {
                    *place = json!({});
                }
                place = &mut place[key];
            }
            *place = value.clone();
        }
    }
}

fn scalar(text: &str) -> Value {
    match text {
        "null" | "~" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(name: &str, value: &str) -> Result<Overrides, OverrideError> {
        Overrides::from_variables([("HOME".into(), "/".into()), (name.into(), value.into())])
    }

    // covers: routes.env.over-the-file
    #[test]
    fn a_variable_lies_over_the_file() {
        let overrides = overrides("OPERATIONSAPI_NETWORK_PORT", "8080").unwrap();
        let mut document = json!({ "operationsApi": { "network": null }, "other": 1 });
        overrides.apply(&mut document);
        let expected = json!({ "operationsApi": { "network": { "port": 8080 } }, "other": 1 });
        assert_eq!(document, expected);
    }

    #[test]
    fn null_is_a_value_and_empty_is_none() {
        let port = |value| {
            let mut document = json!({ "operationsApi": { "network": { "port": 1 } } });
            overrides("OPERATIONSAPI_NETWORK_PORT", value).unwrap().apply(&mut document);
            crate::config::Settings::read(&document).unwrap().port
        };
        assert_eq!(port("null"), None);
        assert_eq!(port(""), Some(1));
    }

    // covers: configuration.unknown-variables
    #[test]
    fn a_variable_that_is_misspelt_is_told_with_the_one_that_was_meant() {
        let unknown = Overrides::unknown_variables([
            ("CLUSTERING_NODE_NAME", "a"),
            ("clustering_enabled", "true"),
            ("CLUSTERING_HUBSERVER_CLUSTER_NETWORK_PROT", "1"),
            ("HDB_ADMIN_PASWORD", "secret"),
            ("OPERATIONSAPI_ZZZ", "1"),
            // Those that are right, empty, or somebody else's.
            ("CLUSTERING_NODENAME", "a"),
            ("CLUSTERING_PASSWORD_FILE", "/x"),
            ("CLUSTERING_NODENAM", ""),
            ("TLS_CERT", "/x"),
            ("HOME", "/"),
        ]);
        let told: Vec<_> =
            unknown.iter().map(|(name, meant)| (&**name, meant.as_deref())).collect();
        assert_eq!(
            told,
            [
                (
                    "CLUSTERING_HUBSERVER_CLUSTER_NETWORK_PROT",
                    Some("CLUSTERING_HUBSERVER_CLUSTER_NETWORK_PORT")
                ),
                ("CLUSTERING_NODE_NAME", Some("CLUSTERING_NODENAME")),
                ("HDB_ADMIN_PASWORD", Some("HDB_ADMIN_PASSWORD")),
                ("OPERATIONSAPI_ZZZ", None),
                ("clustering_enabled", Some("CLUSTERING_ENABLED")),
            ]
        );
    }

    // covers: plugins.file-only
    #[test]
    fn plugins_cannot_be_overridden() {
        let error = overrides("PLUGINS", "[]").unwrap_err().to_string();
        let text = "PLUGINS is set, but 'plugins' cannot be set by the environment: use the file";
        assert_eq!(error, text);
    }

    // covers: routes.file.override-refused
    #[test]
    fn routes_cannot_be_overridden() {
        for name in
            ["CLUSTERING_HUBSERVER_CLUSTER_NETWORK_ROUTES", "CLUSTERING_LEAFSERVER_NETWORK_ROUTES"]
        {
            let error = overrides(name, "[]").unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name} is set, but 'clustering.")), "{error}");
            assert!(overrides(name, "").is_ok(), "an empty one counts as none");
        }
    }
}
