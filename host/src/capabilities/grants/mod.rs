//! What a plugin is allowed to do, one file a capability.
//!
//! Two keys open a door: what the plugin's manifest (`wit/manifest.wit`) asks for, and what the
//! host's configuration grants. Both are written in this grammar, both are looked at in every call,
//! and what one of them does not allow is denied.
//!
//! # Grammar
//!
//! An empty list grants nothing, no kind of grant implies another, and no pattern reaches what is
//! nobody else's.
//!
//! | grant | pattern | covers |
//! | --- | --- | --- |
//! | `config.read`, `config.write` | `clustering.nodeName` | that value |
//! | | `clustering.*` | every value below it, and not the value itself |
//! | `nats.request` | `orders.eu.new` | that subject |
//! | | `orders.*.new` | any one token in the place of the `*` |
//! | | `orders.eu.>` | every subject that is longer |
//! | `nats.servers` | yes or no | who is in the network |
//! | `jetstream.inspect`, `jetstream.purge` | `node-leaf/stream` | that stream of that domain |
//! | | `node-leaf/*`, `*/stream`, `*/*` | any stream, of any domain |
//! | `tables.read`, `tables.write`, `tables.create` | `dev.dog` | that table of that database |
//! | | `dev.*` | every table of that database |
//! | | `*.*` | every table of every database but `system` |
//! | `tables.describe` | yes or no | which tables there are, `system` aside |
//! | `replication` | yes or no | streams and durable consumers: the clustering plugin alone |
//!
//! `log`, `clock` and `node` need none.
//!
//! What changes something (`config.write`, `jetstream.purge`, `tables.write`, `tables.create`) takes a
//! third key: the operation that is called must be described as one that `changes` something. Nothing
//! is written behind the audit log's back; the host's own plugin keeps to it too.
//!
//! # What nobody else is given
//!
//! Some subjects are the cluster's own machinery, `replication` too, the database `system` is the
//! node's, and who writes [`RESERVED_KEYS`] could grant itself more, or have a program run. A plugin
//! that is not the host's own is refused when one of the patterns that it is granted covers any of
//! them, by a wildcard either: see [`RESERVED_SUBJECTS`].

mod config;
mod jetstream;
mod keys;
mod listed;
mod manifest;
mod nats;
mod tables;

pub use config::{ConfigGrants, KeyPath, KeyPattern, RESERVED_KEYS};
pub use jetstream::{JetStreamGrants, StreamPattern};
pub use listed::Grant;
pub use manifest::ManifestError;
pub use nats::{NatsGrants, RESERVED_SUBJECTS, SubjectPattern};
pub use tables::{SYSTEM_DATABASE, TableGrants, TablePattern};

pub(crate) use jetstream::is_name as is_stream_name;
pub(crate) use keys::Keys;
pub(crate) use nats::is_subject;

/// Everything that one plugin asks for, or is granted. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// The configuration file.
    pub config: ConfigGrants,
    /// Other nodes.
    pub nats: NatsGrants,
    /// Streams.
    pub jetstream: JetStreamGrants,
    /// The node's records.
    pub tables: TableGrants,
    /// Streams and durable consumers, to match the records of nodes.
    pub replication: bool,
}

impl Grants {
    /// Whether anybody may be given these.
    ///
    /// # Errors
    ///
    /// The first that reaches what is nobody else's.
    pub fn check_for_third_party(&self) -> Result<(), ReservedError> {
        if self.replication {
            let (pattern, reserved) = ("replication".into(), "the flow between nodes".into());
            return Err(ReservedError { pattern, reserved });
        }
        self.config.check_for_third_party()?;
        self.nats.check_for_third_party()?;
        self.tables.check_for_third_party()
    }
}

impl Grants {
    /// Those of these that anybody may be given.
    pub(crate) fn allowed_to_anybody(&self) -> Self {
        let mut allowed = Self { replication: false, ..self.clone() };
        let is_allowed = |of: &dyn Fn(&mut Self)| {
            let mut one = Self::default();
            of(&mut one);
            one.check_for_third_party().is_ok()
        };
        let Self { config, nats, tables, .. } = &mut allowed;
        config.write.retain(|p| is_allowed(&|one| one.config.write.push(p.clone())));
        nats.request.retain(|p| is_allowed(&|one| one.nats.request.push(p.clone())));
        for list in [&mut tables.read, &mut tables.write, &mut tables.create] {
            list.retain(|p| is_allowed(&|one| one.tables.read.push(p.clone())));
        }
        allowed
    }
}

/// A grant that no added plugin is given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the grant '{pattern}' reaches '{reserved}', which is the cluster's own")]
pub struct ReservedError {
    pattern: String,
    reserved: String,
}

/// A text is not in the form of a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is not {form}", text.escape_debug())]
pub struct GrantError {
    text: String,
    form: &'static str,
}

impl GrantError {
    fn new(text: &str, form: &'static str) -> Self {
        Self { text: text.chars().take(200).collect(), form }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(pattern: &str) -> Grants {
        let mut grants = Grants::default();
        grants.nats.request.push(pattern.parse().unwrap());
        grants
    }

    fn table(pattern: &str, write: bool) -> Grants {
        let mut grants = Grants::default();
        let list = if write { &mut grants.tables.write } else { &mut grants.tables.read };
        list.push(pattern.parse().unwrap());
        grants
    }

    #[test]
    fn what_is_for_nobody_else_is_left_out() {
        let mut asked = Grants { replication: true, ..Grants::default() };
        asked.config.read.extend(["plugins", "a.*"].map(|text| text.parse().unwrap()));
        asked.config.write.extend(["plugins", "a.*"].map(|text| text.parse().unwrap()));
        asked.nats.request.extend(["*.>", "orders.new"].map(|text| text.parse().unwrap()));
        asked.tables.write.extend(["system.*", "*.*"].map(|text| text.parse().unwrap()));
        let allowed = asked.allowed_to_anybody();
        assert_eq!(allowed.check_for_third_party(), Ok(()));
        let left: Vec<_> = allowed.listed().iter().map(Grant::to_string).collect();
        let expected = [
            "config.read plugins",
            "config.read a.*",
            "config.write a.*",
            "nats.request orders.new",
            "tables.write *.*",
        ];
        assert_eq!(left, expected);
    }

    // covers: grants.reserved
    #[test]
    fn what_reaches_the_machinery_is_for_nobody_else() {
        let reaching = [
            "$JS.API.INFO",
            "$JS.>",
            "$SYS.REQ.SERVER.PING",
            "_INBOX.x",
            "txn.dev.dog.a-leaf",
            "txn.>",
            "node-b.__request__",
            "*.__request__",
            "orders.*",
            "orders.>",
            "*.x",
            "*.x.y",
            "*.>",
        ];
        for pattern in reaching {
            let refused = requests(pattern).check_for_third_party().unwrap_err().to_string();
            assert!(refused.starts_with(&format!("the grant '{pattern}' reaches '")), "{refused}");
        }
        for pattern in ["orders.new", "orders", "orders.eu.>", "orders.*.new", "a.__request__.b"] {
            assert_eq!(requests(pattern).check_for_third_party(), Ok(()), "{pattern}");
        }
        let writes = |pattern: &str| {
            let mut grants = Grants::default();
            grants.config.write.push(pattern.parse().unwrap());
            grants.check_for_third_party()
        };
        for pattern in ["plugins", "clustering.natsServer", "clustering.*"] {
            let refused = writes(pattern).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("the grant '{pattern}' reaches '")), "{refused}");
        }
        assert_eq!(writes("clustering.hubServer.*"), Ok(()));
        for write in [false, true] {
            for pattern in ["system.hdb_nodes", "system.*"] {
                let refused = table(pattern, write).check_for_third_party().unwrap_err();
                let text =
                    format!("the grant '{pattern}' reaches 'system.*', which is the cluster's own");
                assert_eq!(refused.to_string(), text);
            }
            assert_eq!(table("dev.*", write).check_for_third_party(), Ok(()));
        }
    }
}
