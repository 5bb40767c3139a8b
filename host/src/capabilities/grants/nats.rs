//! `nats`, by subject.

use std::fmt;
use std::str::FromStr;

use super::{GrantError, ReservedError};

/// Subjects that no added plugin is given: the servers' own, the answers to others' requests, the
/// tables' transactions, and the requests between nodes.
pub const RESERVED_SUBJECTS: [&str; 5] = ["$JS.>", "$SYS.>", "_INBOX.>", "txn.>", "*.__request__"];

/// Longest subject, in bytes. A node's is its name and eleven more.
const LONGEST: usize = 256;

/// Whom a plugin may ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NatsGrants {
    /// Subjects that it may send requests to.
    pub request: Vec<SubjectPattern>,
    /// Whether it may know who is in the network.
    pub servers: bool,
}

impl NatsGrants {
    /// `subject` is one: see `is_subject`.
    pub(crate) fn may_request(&self, subject: &str) -> bool {
        self.request.iter().any(|pattern| pattern.covers(subject))
    }

    pub(super) fn check_for_third_party(&self) -> Result<(), ReservedError> {
        for pattern in &self.request {
            for reserved in RESERVED_SUBJECTS {
                if meet(&pattern.0, reserved) {
                    let (pattern, reserved) = (pattern.0.clone(), reserved.to_owned());
                    return Err(ReservedError { pattern, reserved });
                }
            }
        }
        Ok(())
    }
}

/// Some subjects; the module's documentation has the grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectPattern(String);

impl SubjectPattern {
    /// Whether the pattern allows a request to this subject. What is no subject, it does not.
    pub fn covers(&self, subject: &str) -> bool {
        is_subject(subject) && meet(&self.0, subject)
    }

    /// Whether it covers all that `other` covers.
    pub(super) fn includes(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (self.0.split('.'), other.0.split('.'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) | (Some(">"), Some(_)) => return true,
                (Some("*"), Some(token)) if token != ">" => {}
                (Some(one), Some(other)) if one == other => {}
                _ => return false,
            }
        }
    }
}

impl FromStr for SubjectPattern {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let tokens: Vec<_> = text.split('.').collect();
        let last = tokens.len() - 1;
        let is_pattern = |(i, token): (usize, &&str)| {
            is_token(token) || *token == "*" || (*token == ">" && i == last && i > 0)
        };
        if text.len() <= LONGEST && text != "*" && tokens.iter().enumerate().all(is_pattern) {
            Ok(Self(text.into()))
        } else {
            let form = "a subject such as orders.eu.new, in which * is any one token and > at the \
                        end one or more";
            Err(GrantError::new(text, form))
        }
    }
}

impl fmt::Display for SubjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a request can be sent to this: tokens joined with dots, none of them empty or a wildcard,
/// no blanks.
pub(crate) fn is_subject(subject: &str) -> bool {
    subject.len() <= LONGEST && subject.split('.').all(is_token)
}

fn is_token(token: &str) -> bool {
    // The subject is a word of a line: a blank or a control character would be another word, or
    // another line.
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '*' && c != '>';
    !token.is_empty() && token.chars().all(is_plain)
}

/// Whether there is a subject that both patterns cover.
fn meet(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, subject: &str) -> bool {
        pattern.parse::<SubjectPattern>().unwrap().covers(subject)
    }

    #[test]
    fn a_pattern_covers_what_it_says_and_no_more() {
        assert!(covers("a.b", "a.b"));
        for subject in ["a", "a.b.c", "a.B", "b.a", "a.bc"] {
            assert!(!covers("a.b", subject), "{subject}");
        }
        assert!(covers("*.__request__", "node-b.__request__"));
        for subject in ["__request__", "a.b.__request__", "a.__request__.b", ".__request__"] {
            assert!(!covers("*.__request__", subject), "{subject}");
        }
        assert!(covers("a.>", "a.b") && covers("a.>", "a.b.c"));
        assert!(!covers("a.>", "a") && !covers("a.>", "b.a"));
    }

    #[test]
    fn a_request_goes_to_one_subject() {
        for subject in ["", ".", "a.", ".a", "a..b", "a.*", "a.>", "*", ">", "a b", "a\r\n", "a\0"]
        {
            assert!(!is_subject(subject), "{subject:?}");
            assert!(!covers("a.>", subject) && !covers("*.>", subject), "{subject:?}");
        }
        assert!(!is_subject(&"a".repeat(257)));
        assert!(is_subject("knoten-ä.__request__"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "*", ">", ".", "a.", "a..b", "a*", "a.>.b", "a.b>", "a b", "a\n"] {
            assert!(text.parse::<SubjectPattern>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn nothing_is_the_default() {
        assert!(!NatsGrants::default().may_request("a") && !NatsGrants::default().servers);
    }
}
