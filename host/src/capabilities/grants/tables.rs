//! `tables`, by database and table.

use std::fmt;
use std::str::FromStr;

use super::{GrantError, ReservedError};

/// The node's own database: users, and who is in the cluster.
pub const SYSTEM_DATABASE: &str = "system";

/// Longest name of a database or a table, in bytes.
const LONGEST: usize = 250;

/// Which records a plugin may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableGrants {
    /// Tables that it may read.
    pub read: Vec<TablePattern>,
    /// Tables whose records it may write and delete.
    pub write: Vec<TablePattern>,
    /// Tables that it may make, and whose attributes it may add to. None of `system`, whatever the
    /// pattern.
    pub create: Vec<TablePattern>,
    /// Whether it may know which tables there are.
    pub describe: bool,
}

impl TableGrants {
    pub(crate) fn may_read(&self, database: &str, table: &str) -> bool {
        self.read.iter().any(|pattern| pattern.covers(database, table))
    }

    pub(crate) fn may_write(&self, database: &str, table: &str) -> bool {
        self.write.iter().any(|pattern| pattern.covers(database, table))
    }

    pub(crate) fn may_create(&self, database: &str, table: &str) -> bool {
        database != SYSTEM_DATABASE && self.create.iter().any(|p| p.covers(database, table))
    }

    pub(super) fn check_for_third_party(&self) -> Result<(), ReservedError> {
        let mut all = self.read.iter().chain(&self.write).chain(&self.create);
        match all.find(|p| p.database.as_deref() == Some(SYSTEM_DATABASE)) {
            None => Ok(()),
            Some(pattern) => {
                let reserved = format!("{SYSTEM_DATABASE}.*");
                Err(ReservedError { pattern: pattern.to_string(), reserved })
            }
        }
    }
}

/// Some tables; the module's documentation has the grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePattern {
    /// None stands for all but `system`.
    database: Option<String>,
    /// None stands for all.
    table: Option<String>,
}

impl TablePattern {
    /// Whether the pattern allows the records of this table to be used.
    pub fn covers(&self, database: &str, table: &str) -> bool {
        let is_covered = match &self.database {
            Some(granted) => granted == database,
            None => database != SYSTEM_DATABASE && is_name(database),
        };
        is_covered && is_name(table) && self.table.as_ref().is_none_or(|granted| granted == table)
    }

    /// Whether it covers all that `other` covers.
    pub(super) fn includes(&self, other: &Self) -> bool {
        let database = match (&self.database, &other.database) {
            (None, Some(theirs)) => theirs != SYSTEM_DATABASE,
            (ours, theirs) => ours == theirs,
        };
        database && (self.table.is_none() || self.table == other.table)
    }
}

impl FromStr for TablePattern {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        match text.split_once('.') {
            Some(("*", "*")) => Ok(Self { database: None, table: None }),
            Some((database, "*")) if is_name(database) => {
                Ok(Self { database: Some(database.into()), table: None })
            }
            Some((database, table)) if is_name(database) && is_name(table) => {
                Ok(Self { database: Some(database.into()), table: Some(table.into()) })
            }
            _ => Err(GrantError::new(
                text,
                "database.table, or database.* for all of its tables, or *.*",
            )),
        }
    }
}

impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "*".into());
        write!(f, "{}.{}", part(&self.database), part(&self.table))
    }
}

/// Whether a database or a table can have this name.
fn is_name(name: &str) -> bool {
    let is_plain = |c: char| {
        !c.is_whitespace() && !c.is_control() && !matches!(c, '.' | '*' | '>' | '/' | '`')
    };
    (1..=LONGEST).contains(&name.len()) && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, database: &str, table: &str) -> bool {
        pattern.parse::<TablePattern>().unwrap().covers(database, table)
    }

    #[test]
    fn a_pattern_covers_what_it_says_and_no_more() {
        assert!(covers("dev.dog", "dev", "dog"));
        assert!(!covers("dev.dog", "dev", "dogs") && !covers("dev.dog", "prod", "dog"));
        assert!(covers("dev.*", "dev", "cat") && !covers("dev.*", "prod", "cat"));
        assert!(covers("*.*", "prod", "cat") && !covers("*.*", "", "cat"));
        assert!(!covers("*.*", SYSTEM_DATABASE, "hdb_nodes") && !covers("*.*", "a b", "cat"));
        assert!(!covers("dev.*", "dev", "") && !covers("dev.*", "dev", "a.b"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "*", "*.dog", "dev", "dev.", ".dog", "dev.a.b", "d*.a", "d e.a"] {
            assert!(text.parse::<TablePattern>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn reading_and_writing_are_apart() {
        let dog = || vec!["dev.dog".parse().unwrap()];
        let reads = TableGrants { read: dog(), ..TableGrants::default() };
        assert!(reads.may_read("dev", "dog") && !reads.may_write("dev", "dog"));
        let writes = TableGrants { write: dog(), ..TableGrants::default() };
        assert!(!writes.may_read("dev", "dog") && writes.may_write("dev", "dog"));
        assert!(!reads.may_create("dev", "dog") && !writes.may_create("dev", "dog"));
        assert!(!reads.describe && !writes.describe);
    }

    #[test]
    fn nobody_creates_tables_of_system() {
        let create = ["system.*", "system.x", "*.*"].map(|text| text.parse().unwrap()).into();
        let creates = TableGrants { create, ..TableGrants::default() };
        assert!(creates.may_create("dev", "dog") && !creates.may_read("dev", "dog"));
        assert!(!creates.may_create(SYSTEM_DATABASE, "x"));
    }
}
