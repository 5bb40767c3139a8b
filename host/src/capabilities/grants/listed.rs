//! Grants as lists of texts, to be read by people and compared.

use std::fmt;

use super::{Grants, KeyPattern, StreamPattern, SubjectPattern, TablePattern};

/// Stands for a grant that is given or not.
const YES: &str = "yes";

/// One grant: its kind, such as `tables.read`, and its pattern, `yes` where it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The kind: one of [`Grants::KINDS`].
    pub kind: &'static str,
    /// The pattern.
    pub pattern: String,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pattern.as_str() {
            YES => f.write_str(self.kind),
            pattern => write!(f, "{} {pattern}", self.kind),
        }
    }
}

impl Grants {
    /// All kinds of grants.
    pub const KINDS: [&str; 11] = [
        "config.read",
        "config.write",
        "nats.request",
        "nats.servers",
        "jetstream.inspect",
        "jetstream.purge",
        "tables.read",
        "tables.write",
        "tables.create",
        "tables.describe",
        "replication",
    ];

    /// Each grant by itself, in the order of [`KINDS`](Self::KINDS).
    pub fn listed(&self) -> Vec<Grant> {
        fn texts<T: ToString>(patterns: &[T]) -> Vec<String> {
            patterns.iter().map(T::to_string).collect()
        }
        let flag = |granted: bool| granted.then(|| YES.to_owned()).into_iter().collect();
        let patterns = [
            texts(&self.config.read),
            texts(&self.config.write),
            texts(&self.nats.request),
            flag(self.nats.servers),
            texts(&self.jetstream.inspect),
            texts(&self.jetstream.purge),
            texts(&self.tables.read),
            texts(&self.tables.write),
            texts(&self.tables.create),
            flag(self.tables.describe),
            flag(self.replication),
        ];
        let grant = |kind| move |pattern| Grant { kind, pattern };
        let all = Self::KINDS.into_iter().zip(patterns);
        all.flat_map(|(kind, patterns)| patterns.into_iter().map(grant(kind))).collect()
    }

    /// Those of these that `other` does not wholly allow. A pattern counts as allowed when one of
    /// the other's covers all that it covers; what only several of them cover together does not.
    pub fn beyond(&self, other: &Self) -> Vec<Grant> {
        let mut all = Vec::new();
        let kinds = &mut Self::KINDS.into_iter();
        lacking(&mut all, kinds, &self.config.read, &other.config.read, KeyPattern::includes);
        lacking(&mut all, kinds, &self.config.write, &other.config.write, KeyPattern::includes);
        lacking(&mut all, kinds, &self.nats.request, &other.nats.request, SubjectPattern::includes);
        flag(&mut all, kinds, self.nats.servers, other.nats.servers);
        let (ours, theirs) = (&self.jetstream, &other.jetstream);
        lacking(&mut all, kinds, &ours.inspect, &theirs.inspect, StreamPattern::includes);
        lacking(&mut all, kinds, &ours.purge, &theirs.purge, StreamPattern::includes);
        let (ours, theirs) = (&self.tables, &other.tables);
        lacking(&mut all, kinds, &ours.read, &theirs.read, TablePattern::includes);
        lacking(&mut all, kinds, &ours.write, &theirs.write, TablePattern::includes);
        lacking(&mut all, kinds, &ours.create, &theirs.create, TablePattern::includes);
        flag(&mut all, kinds, ours.describe, theirs.describe);
        flag(&mut all, kinds, self.replication, other.replication);
        all
    }
}

fn lacking<T: ToString>(
    all: &mut Vec<Grant>,
    kinds: &mut impl Iterator<Item = &'static str>,
    ours: &[T],
    theirs: &[T],
    includes: fn(&T, &T) -> bool,
) {
    let kind = kinds.next().unwrap_or_default();
    let beyond = ours.iter().filter(|one| !theirs.iter().any(|other| includes(other, one)));
    all.extend(beyond.map(|one| Grant { kind, pattern: one.to_string() }));
}

fn flag(
    all: &mut Vec<Grant>,
    kinds: &mut impl Iterator<Item = &'static str>,
    ours: bool,
    theirs: bool,
) {
    let kind = kinds.next().unwrap_or_default();
    all.extend((ours && !theirs).then(|| Grant { kind, pattern: YES.into() }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(change: impl FnOnce(&mut Grants)) -> Grants {
        let mut grants = Grants::default();
        change(&mut grants);
        grants
    }

    fn texts(grants: Vec<Grant>) -> Vec<String> {
        grants.iter().map(Grant::to_string).collect()
    }

    #[test]
    fn every_grant_is_listed_and_found_to_be_beyond_nothing() {
        let all = grants(|all| {
            all.config.read.push("a.b".parse().unwrap());
            all.config.write.push("a.*".parse().unwrap());
            all.nats.request.push("orders.>".parse().unwrap());
            all.nats.servers = true;
            all.jetstream.inspect.push("d/*".parse().unwrap());
            all.jetstream.purge.push("d/s".parse().unwrap());
            all.tables.read.push("*.*".parse().unwrap());
            all.tables.write.push("dev.dog".parse().unwrap());
            all.tables.create.push("dev.*".parse().unwrap());
            all.tables.describe = true;
            all.replication = true;
        });
        let expected = [
            "config.read a.b",
            "config.write a.*",
            "nats.request orders.>",
            "nats.servers",
            "jetstream.inspect d/*",
            "jetstream.purge d/s",
            "tables.read *.*",
            "tables.write dev.dog",
            "tables.create dev.*",
            "tables.describe",
            "replication",
        ];
        assert_eq!(texts(all.listed()), expected);
        assert_eq!(texts(all.beyond(&Grants::default())), expected);
        assert_eq!(texts(all.beyond(&all)), [""; 0]);
        assert_eq!(texts(Grants::default().beyond(&all)), [""; 0]);
    }

    #[test]
    fn a_wider_pattern_allows_a_narrower_one() {
        let request = |text: &str| grants(|g| g.nats.request.push(text.parse().unwrap()));
        let narrow = [("a.b", "a.*"), ("a.b.c", "a.>"), ("a.*.c", "a.>"), ("a.>", "a.>")];
        for (one, other) in narrow {
            assert!(request(one).beyond(&request(other)).is_empty(), "{one} {other}");
        }
        for (one, other) in [("a.*", "a.b"), ("a.>", "a.*"), ("a", "a.>"), ("a.b", "b.>")] {
            assert!(!request(one).beyond(&request(other)).is_empty(), "{one} {other}");
        }
        let key = |text: &str| grants(|g| g.config.read.push(text.parse().unwrap()));
        for (one, other) in [("a.b", "a.*"), ("a.b.*", "a.*"), ("a.*", "a.*"), ("a", "a")] {
            assert!(key(one).beyond(&key(other)).is_empty(), "{one} {other}");
        }
        for (one, other) in [("a", "a.*"), ("a.*", "a"), ("a.*", "a.b"), ("b.c", "a.*")] {
            assert!(!key(one).beyond(&key(other)).is_empty(), "{one} {other}");
        }
        let table = |text: &str| grants(|g| g.tables.read.push(text.parse().unwrap()));
        for (one, other) in [("a.b", "a.*"), ("a.*", "*.*"), ("a.b", "*.*")] {
            assert!(table(one).beyond(&table(other)).is_empty(), "{one} {other}");
        }
        for (one, other) in [("a.*", "a.b"), ("*.*", "a.*"), ("system.*", "*.*")] {
            assert!(!table(one).beyond(&table(other)).is_empty(), "{one} {other}");
        }
        let stream = |text: &str| grants(|g| g.jetstream.purge.push(text.parse().unwrap()));
        assert!(stream("a/b").beyond(&stream("*/b")).is_empty());
        assert!(!stream("*/b").beyond(&stream("a/*")).is_empty());
    }
}
