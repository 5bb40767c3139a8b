//! What a node of this software may be called: the one rule, which everyone here asks. Names of
//! *other* nodes may be what Harper allows, which is more.
//!
//! A name is a token of subjects, a part of the servers' names and of their configuration, a folder
//! of streams, the common name of a certificate, and it stands in logs.

/// Characters of the longest name; a certificate's common name has no more.
const LONGEST: usize = 64;

/// No node can be called so. The text names the key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'clustering.nodeName': '{0}' is no name for a node: {RULE}")]
pub struct NodeNameError(String);

pub(crate) const RULE: &str = "it has 1 to 64 characters, no whitespace, none of . , * > / \\ and \
                               quotes, no $ at its start, and neither -hub nor -leaf at its end";

/// Whether this node may be called so.
pub(crate) fn check(name: &str) -> Result<(), NodeNameError> {
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || ".,*>/\\'\"`".contains(c);
    let is_name = (1..=LONGEST).contains(&name.chars().count())
        && !name.contains(is_odd)
        // Subjects of the servers' own begin with it.
        && !name.starts_with('$')
        // `a-hub` would have the hub `a-hub-hub`, and be taken for the hub of `a`.
        && !["-hub", "-leaf"].iter().any(|end| name.ends_with(end));
    if is_name { Ok(()) } else { Err(NodeNameError(name.escape_debug().to_string())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: clustering.names.rule
    #[test]
    fn names() {
        for name in
            ["a", "7", "node-1", "Node_2", "ü", "a$", "hub", "-hubs", "a-hub-1", &"ü".repeat(64)]
        {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        let odd = [
            "", "a.b", "a,b", "a*", ">", "a/b", "a\\b", "a'b", "a\"b", "`a`", "a b", "a\u{a0}b",
            "a\t", "a\n", "\0", "a\u{7f}", "$a", "$", "a-hub", "-hub", "a-leaf", "-leaf",
        ];
        for name in odd.into_iter().chain([&*"a".repeat(65)]) {
            let error = check(name).unwrap_err().to_string();
            assert!(error.starts_with("'clustering.nodeName': "), "{error}");
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }
}
