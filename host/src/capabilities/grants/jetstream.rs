//! `jetstream`, by domain and stream.

use std::fmt;
use std::str::FromStr;

use super::GrantError;

/// Longest name of a domain or a stream, in bytes.
const LONGEST: usize = 128;

/// Which streams a plugin may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JetStreamGrants {
    /// What it may look at.
    pub inspect: Vec<StreamPattern>,
    /// What it may remove messages from.
    pub purge: Vec<StreamPattern>,
}

impl JetStreamGrants {
    pub(crate) fn may_inspect(&self, domain: &str, stream: &str) -> bool {
        self.inspect.iter().any(|pattern| pattern.covers(domain, stream))
    }

    pub(crate) fn may_purge(&self, domain: &str, stream: &str) -> bool {
        self.purge.iter().any(|pattern| pattern.covers(domain, stream))
    }
}

/// Some streams; the module's documentation has the grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPattern {
    domain: String,
    stream: String,
}

impl StreamPattern {
    /// Whether the pattern allows this stream to be used. What is no name, it does not.
    pub fn covers(&self, domain: &str, stream: &str) -> bool {
        let covers = |pattern: &str, name: &str| pattern == "*" || pattern == name;
        is_name(domain)
            && is_name(stream)
            && covers(&self.domain, domain)
            && covers(&self.stream, stream)
    }

    /// Whether it covers all that `other` covers.
    pub(super) fn includes(&self, other: &Self) -> bool {
        let includes = |ours: &str, theirs: &str| ours == "*" || ours == theirs;
        includes(&self.domain, &other.domain) && includes(&self.stream, &other.stream)
    }
}

impl FromStr for StreamPattern {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let is_part = |part: &str| part == "*" || is_name(part);
        match text.split_once('/') {
            Some((domain, stream)) if is_part(domain) && is_part(stream) => {
                Ok(Self { domain: domain.into(), stream: stream.into() })
            }
            _ => Err(GrantError::new(text, "domain/stream, in which * is any domain or stream")),
        }
    }
}

impl fmt::Display for StreamPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.stream)
    }
}

/// Whether a domain or a stream can have this name: it becomes one token of a subject.
pub(crate) fn is_name(name: &str) -> bool {
    let is_plain = |c: char| {
        !c.is_whitespace() && !c.is_control() && !matches!(c, '.' | '*' | '>' | '/' | '\\')
    };
    (1..=LONGEST).contains(&name.len()) && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, domain: &str, stream: &str) -> bool {
        pattern.parse::<StreamPattern>().unwrap().covers(domain, stream)
    }

    #[test]
    fn a_pattern_covers_what_it_says_and_no_more() {
        assert!(covers("a-leaf/s", "a-leaf", "s"));
        assert!(!covers("a-leaf/s", "a-leaf", "t") && !covers("a-leaf/s", "b-leaf", "s"));
        assert!(covers("a-leaf/*", "a-leaf", "t") && !covers("a-leaf/*", "b-leaf", "t"));
        assert!(covers("*/s", "b-leaf", "s") && !covers("*/s", "b-leaf", "t"));
        assert!(covers("*/*", "b-leaf", "t"));
        for name in ["", "*", ">", "a.b", "a b", "a\n", "a/b", &"a".repeat(129)] {
            assert!(!covers("*/*", name, "s") && !covers("*/*", "d", name), "{name:?}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "*", "a", "/", "a/", "/b", "a/b/c", "a.b/c", "a*/b", "a/>", "a /b"] {
            assert!(text.parse::<StreamPattern>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn looking_and_purging_are_apart() {
        let all = || vec!["*/*".parse().unwrap()];
        let looks = JetStreamGrants { inspect: all(), ..JetStreamGrants::default() };
        assert!(looks.may_inspect("d", "s") && !looks.may_purge("d", "s"));
        let purges = JetStreamGrants { purge: all(), ..JetStreamGrants::default() };
        assert!(!purges.may_inspect("d", "s") && purges.may_purge("d", "s"));
    }
}
