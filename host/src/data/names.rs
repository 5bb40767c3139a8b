//! What databases, tables and attributes may be called.
//!
//! The names of a table become two tokens of a NATS subject and part of a stream's name, stand in
//! files and log lines, and are keys of objects in JavaScript peers.

use super::limits::MAX_NAME;
use crate::capabilities::SYSTEM_DATABASE;

/// What is wrong with a name. The text follows what the name is of, as in `'table' must not be
/// empty`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has no character.
    #[error("must not be empty")]
    Empty,
    /// It is longer than [`MAX_NAME`].
    #[error("must have at most {MAX_NAME} bytes")]
    Long,
    /// A NATS subject, a file name or a log line could not hold it.
    #[error(
        "must not contain whitespace, control or invisible characters, or any of . * > / \\ ' \" `"
    )]
    Character,
    /// It is an attribute's, and could not be shown.
    #[error("must not contain control characters")]
    Control,
    /// It would look like one of NATS's own.
    #[error("must not begin with $")]
    Dollar,
    /// It means something else.
    #[error("must not be '{0}'")]
    Reserved(&'static str),
}

/// Names that objects of JavaScript give a meaning to.
const OF_JAVASCRIPT: [&str; 3] = ["__proto__", "constructor", "prototype"];

/// Fails for what cannot be a database's name.
///
/// # Errors
/// What is wrong with it.
pub fn check_database(name: &str) -> Result<(), NameError> {
    check_table(name)?;
    if name.eq_ignore_ascii_case(SYSTEM_DATABASE) {
        return Err(NameError::Reserved(SYSTEM_DATABASE));
    }
    Ok(())
}

/// Fails for what cannot be a table's name.
///
/// # Errors
/// What is wrong with it.
pub fn check_table(name: &str) -> Result<(), NameError> {
    check_any(name)?;
    if name.starts_with('$') {
        return Err(NameError::Dollar);
    }
    if name.chars().any(|c| !is_plain(c)) { Err(NameError::Character) } else { Ok(()) }
}

/// Fails for what cannot be an attribute's name.
///
/// # Errors
/// What is wrong with it.
pub fn check_attribute(name: &str) -> Result<(), NameError> {
    check_any(name)?;
    match name {
        // In requests it stands for all attributes.
        "*" => Err(NameError::Reserved("*")),
        _ if name.contains(char::is_control) => Err(NameError::Control),
        _ => Ok(()),
    }
}

fn check_any(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME {
        return Err(NameError::Long);
    }
    match OF_JAVASCRIPT.into_iter().find(|reserved| *reserved == name) {
        Some(reserved) => Err(NameError::Reserved(reserved)),
        None => Ok(()),
    }
}

fn is_plain(c: char) -> bool {
    let is_invisible = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    let means_something = matches!(c, '.' | '*' | '>' | '/' | '\\' | '\'' | '"' | '`');
    !(is_invisible || means_something || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_subject_and_a_file_can_hold_is_a_name() {
        for name in ["dev", "a_b-c", "Ünïcode", "犬", "1", "a,b", "a$", &"x".repeat(250)] {
            assert_eq!(check_database(name), Ok(()), "{name}");
            assert_eq!(check_table(name), Ok(()), "{name}");
        }
        assert_eq!(check_table("system"), Ok(()));
    }

    // covers: layer.names
    #[test]
    fn everything_else_is_refused() {
        let bad = [
            "a.b",
            "a*",
            "*",
            ">",
            "a>",
            "a/b",
            "a\\b",
            "a b",
            "a\tb",
            "a\nb",
            "a\0",
            "\u{7f}",
            "a\u{2028}b",
            "a\u{a0}",
            "a'b",
            "a\"b",
            "a`b",
            "\u{202e}x",
            "x\u{200b}",
            "x\u{61c}",
            "x\u{180e}",
            "x\u{3164}",
            "x\u{fe0f}",
            "x\u{e0041}",
            "..",
        ];
        for name in bad {
            assert_eq!(check_table(name), Err(NameError::Character), "{name:?}");
            assert_eq!(check_database(name), Err(NameError::Character), "{name:?}");
        }
        for name in ["$SYS", "$JS"] {
            assert_eq!(check_table(name), Err(NameError::Dollar));
        }
        for name in OF_JAVASCRIPT {
            assert_eq!(check_table(name), Err(NameError::Reserved(name)));
            assert_eq!(check_attribute(name), Err(NameError::Reserved(name)));
        }
        for name in ["system", "SYSTEM", "System"] {
            assert_eq!(check_database(name), Err(NameError::Reserved(SYSTEM_DATABASE)));
        }
        let long = "é".repeat(126);
        for check in [check_database, check_table, check_attribute] {
            assert_eq!(check(""), Err(NameError::Empty));
            assert_eq!(check(&long), Err(NameError::Long));
        }
    }

    // covers: layer.names.attributes
    #[test]
    fn attributes_may_hold_more() {
        for name in ["a.b", "first name", "$ref", "a/b", "a*", "system", "犬"] {
            assert_eq!(check_attribute(name), Ok(()), "{name}");
        }
        assert_eq!(check_attribute("a\nb"), Err(NameError::Control));
        assert_eq!(check_attribute("*"), Err(NameError::Reserved("*")));
    }
}
