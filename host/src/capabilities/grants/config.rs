//! `config`, by key path.

use std::fmt;
use std::str::FromStr;

use super::{GrantError, ReservedError};

/// Values that no plugin but the host's own may write: what plugins are granted, and which program
/// is run as nats-server.
pub const RESERVED_KEYS: [&str; 2] = ["plugins", "clustering.natsServer"];

/// Which values of the configuration file a plugin may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigGrants {
    /// What may be read.
    pub read: Vec<KeyPattern>,
    /// What may be written.
    pub write: Vec<KeyPattern>,
}

impl ConfigGrants {
    pub(crate) fn may_read(&self, path: &KeyPath) -> bool {
        self.read.iter().any(|pattern| pattern.covers(path))
    }

    pub(crate) fn may_write(&self, path: &KeyPath) -> bool {
        self.write.iter().any(|pattern| pattern.covers(path))
    }

    pub(super) fn check_for_third_party(&self) -> Result<(), ReservedError> {
        for reserved in RESERVED_KEYS {
            let Ok(path) = reserved.parse() else { continue };
            if let Some(pattern) = self.write.iter().find(|pattern| pattern.covers(&path)) {
                let (pattern, reserved) = (pattern.to_string(), reserved.to_owned());
                return Err(ReservedError { pattern, reserved });
            }
        }
        Ok(())
    }
}

/// Mapping keys from the root of the configuration to a value, for example
/// `clustering.hubServer.cluster.network.routes`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPath(Vec<String>);

/// The longest key path; ours have five keys.
const MAX_KEYS: usize = 16;

impl KeyPath {
    /// The keys, from the root.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl FromStr for KeyPath {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let is_key = |key: &str| {
            (1..=64).contains(&key.len())
                && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        let keys: Vec<_> = text.split('.').take(MAX_KEYS + 1).collect();
        if keys.len() <= MAX_KEYS && keys.iter().all(|key| is_key(key)) {
            Ok(Self(keys.into_iter().map(String::from).collect()))
        } else {
            Err(GrantError::new(text, FORM))
        }
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// What a key path or a pattern of one must be.
const FORM: &str = "a key path such as clustering.nodeName, or one followed by .*: at most 16 keys \
                    of at most 64 letters, digits, - and _";

/// Some key paths; the module's documentation has the grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPattern {
    path: KeyPath,
    below: bool,
}

impl KeyPattern {
    /// Whether the pattern allows the value at `path` to be used.
    pub fn covers(&self, path: &KeyPath) -> bool {
        if self.below {
            path.0.len() > self.path.0.len() && path.0.starts_with(&self.path.0)
        } else {
            *path == self.path
        }
    }

    /// Whether it covers all that `other` covers.
    pub(super) fn includes(&self, other: &Self) -> bool {
        self == other || self.below && self.covers(&other.path)
    }
}

impl FromStr for KeyPattern {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let (path, below) = match text.strip_suffix(".*") {
            Some(path) => (path, true),
            None => (text, false),
        };
        Ok(Self { path: path.parse()?, below })
    }
}

impl fmt::Display for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.path, if self.below { ".*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, path: &str) -> bool {
        pattern.parse::<KeyPattern>().unwrap().covers(&path.parse().unwrap())
    }

    #[test]
    fn a_pattern_covers_what_it_says_and_no_more() {
        assert!(covers("a.b", "a.b"));
        assert!(!covers("a.b", "a"));
        assert!(!covers("a.b", "a.b.c"));
        assert!(!covers("a.b", "a.bc"));
        assert!(covers("a.*", "a.b"));
        assert!(covers("a.*", "a.b.c"));
        assert!(!covers("a.*", "a"));
        assert!(!covers("a.*", "ab.c"));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in
            ["", ".", "a.", ".a", "a..b", "*", "a.*.b", "*.a", "a*", "a b", "a\n", "ä", "../x"]
        {
            assert!(text.parse::<KeyPattern>().is_err(), "{text:?}");
        }
        assert!(["a"; 17].join(".").parse::<KeyPath>().is_err());
        assert!("a".repeat(65).parse::<KeyPath>().is_err());
    }

    #[test]
    fn nothing_is_the_default() {
        let path = "a.b".parse().unwrap();
        assert!(!ConfigGrants::default().may_read(&path));
        assert!(!ConfigGrants::default().may_write(&path));
    }
}
