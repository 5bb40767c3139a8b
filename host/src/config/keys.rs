//! Keys by the names that people give them: in requests, and in a file with a slip in it.

use serde_json::{Map, Value};

use super::settings::{Kind, PLUGINS, SETTINGS, Setting};
use crate::plugins;

/// How alike two names must be for one to be taken for a slip of the other, from 0 to 1.
const ALIKE: f64 = 0.85;

/// No key is longer; to look for what was meant by a megabyte would take long.
const LONGEST: usize = 128;

/// What a name in a request stands for.
pub(crate) enum Named {
    /// A key that may be set, by its path.
    Key(&'static str),
    /// A list of routes, which has operations of its own.
    Routes,
    /// The list of plugins, which no operation changes.
    Plugins,
    /// No key; perhaps this one was meant, in the form of the name that was given.
    Unknown(Option<String>),
}

/// The key of this name: a path with its dots as `_`, as in Harper's API, or with dots; upper and
/// lower case are the same.
pub(crate) fn named(name: &str) -> Named {
    let wanted = name.replace('.', "_");
    match SETTINGS.iter().find(|setting| setting.variable().eq_ignore_ascii_case(&wanted)) {
        Some(Setting { kind: Kind::Routes, .. }) => Named::Routes,
        Some(Setting { kind: Kind::Plugins, .. }) => Named::Plugins,
        Some(Setting { path, .. }) => Named::Key(path),
        None => {
            let paths = SETTINGS.iter().filter(|setting| !is_list(setting.kind));
            Named::Unknown(nearest(name, paths.map(|setting| setting.path.replace('.', "_"))))
        }
    }
}

/// Whether a request may set a key by this name; sooner known than what was meant by another one.
pub(crate) fn is_key(name: &str) -> bool {
    let is_same = |(of_path, of_name): (u8, u8)| {
        of_path.eq_ignore_ascii_case(&of_name) || of_path == b'.' && of_name == b'_'
    };
    SETTINGS.iter().any(|Setting { path, kind, .. }| {
        path.len() == name.len() && !is_list(*kind) && path.bytes().zip(name.bytes()).all(is_same)
    })
}

/// Whether a key's value is a list, which no request sets as a whole.
fn is_list(kind: Kind) -> bool {
    matches!(kind, Kind::Routes | Kind::Plugins)
}

/// Keys of the document that this host does not know, each perhaps with the one that was meant.
pub(super) fn unknown(document: &Value) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    if let Value::Object(document) = document {
        look_in(document, "", &mut found);
    }
    for (path, known) in plugins::unknown_keys(&document[PLUGINS]) {
        // Within its own mapping: a key's last name is what people mistype.
        let (above, name) = path.rsplit_once('.').unwrap_or(("", &path));
        let meant = nearest(name, known.iter().map(|key| (*key).to_owned()));
        let meant = meant.map(|meant| format!("{above}.{meant}"));
        found.push((path, meant));
    }
    found
}

fn look_in(mapping: &Map<String, Value>, above: &str, found: &mut Vec<(String, Option<String>)>) {
    for (key, value) in mapping {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        let below = format!("{path}.");
        if SETTINGS.iter().any(|setting| setting.path == path) {
            continue;
        }
        match value {
            Value::Object(mapping) if SETTINGS.iter().any(|s| s.path.starts_with(&below)) => {
                look_in(mapping, &path, found);
            }
            // An empty section of ours says nothing.
            Value::Null if SETTINGS.iter().any(|s| s.path.starts_with(&below)) => {}
            _ => {
                let depth = path.matches('.').count();
                let alike = SETTINGS.iter().map(|setting| {
                    let keys = setting.path.split('.').take(depth + 1);
                    keys.collect::<Vec<_>>().join(".")
                });
                let meant = nearest(&path, alike).filter(|meant| *meant != path);
                found.push((path, meant));
            }
        }
    }
}

/// The candidate that is most like `name`, if any is like it.
pub(super) fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    if name.len() > LONGEST {
        return None;
    }
    let wanted = name.to_ascii_lowercase();
    candidates
        .map(|one| (strsim::jaro_winkler(&one.to_ascii_lowercase(), &wanted), one))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, one)| one)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_paths_in_any_case() {
        for name in
            ["logging_level", "LOGGING_LEVEL", "logging.level", "operationsapi_network_port"]
        {
            assert!(matches!(named(name), Named::Key(_)) && is_key(name), "{name}");
        }
        for name in
            ["clustering_leafServer_network_routes", "plugins", "logging-level", "logging_leve", ""]
        {
            assert!(!is_key(name), "{name}");
        }
        assert!(matches!(named("clustering_leafServer_network_routes"), Named::Routes));
        assert!(matches!(named("plugins"), Named::Plugins));
        let meant = |name| match named(name) {
            Named::Unknown(meant) => meant,
            _ => panic!("{name} is known"),
        };
        let port = Some("operationsApi_network_port".to_owned());
        assert_eq!(meant("operationsApi_network_prot"), port);
        assert_eq!(meant("zzz"), None);
        assert_eq!(meant(""), None);
    }

    #[test]
    fn unknown_keys_are_told_with_what_was_meant() {
        let document = json!({
            "rootPath": "/srv/harper",
            "operationsApi": { "network": { "prot": 1, "port": 2 }, "nework": null },
            "logging": null,
            "clustering": { "hubServer": { "cluster": { "network": { "routes": [{ "x": 1 }] } } } },
        });
        let port = "operationsApi.network.port".to_owned();
        let expected = [
            ("rootPath".to_owned(), None),
            ("operationsApi.network.prot".into(), Some(port)),
            ("operationsApi.nework".into(), Some("operationsApi.network".into())),
        ];
        assert_eq!(unknown(&document), expected);
        let document = json!({ "plugins": [
            { "name": "a", "file": "a.wasm", "grants": { "tables": { "raed": [] }, "x": 1 } },
            { "nmae": "b", "limits": { "cpu": 1, "memory": 2 } },
        ] });
        let expected = [
            (
                "plugins[0].grants.tables.raed".to_owned(),
                Some("plugins[0].grants.tables.read".into()),
            ),
            ("plugins[0].grants.x".into(), None),
            ("plugins[1].nmae".into(), Some("plugins[1].name".into())),
        ];
        assert_eq!(unknown(&document), expected);
        assert_eq!(unknown(&Value::Null), []);
    }
}
