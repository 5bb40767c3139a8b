//! What a plugin's manifest asks for.

use std::str::FromStr;

use super::{ConfigGrants, GrantError, Grants, JetStreamGrants, NatsGrants, TableGrants};
use crate::wit::exports::harper::plugin::manifest as wit;

/// Patterns of one manifest. Each is looked at in every call.
const MOST: usize = 1000;

/// A manifest that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// A pattern is not in the form of its kind of grant.
    #[error("{kind}: {source}")]
    Pattern {
        /// The kind of grant.
        kind: &'static str,
        /// What is wrong with it.
        source: GrantError,
    },
    /// It asks for more than can be looked at in every call.
    #[error("it has {0} patterns, and at most {MOST} are taken")]
    TooMany(usize),
}

impl Grants {
    /// What a manifest asks for.
    pub(crate) fn asked_by(asks: wit::Grants) -> Result<Self, ManifestError> {
        let lists = [
            &asks.config_read,
            &asks.config_write,
            &asks.nats_request,
            &asks.jetstream_inspect,
            &asks.jetstream_purge,
            &asks.tables_read,
            &asks.tables_write,
            &asks.tables_create,
        ];
        let number = lists.iter().map(|list| list.len()).sum();
        if number > MOST {
            return Err(ManifestError::TooMany(number));
        }
        Ok(Self {
            config: ConfigGrants {
                read: patterns("config.read", &asks.config_read)?,
                write: patterns("config.write", &asks.config_write)?,
            },
            nats: NatsGrants {
                request: patterns("nats.request", &asks.nats_request)?,
                servers: asks.nats_servers,
            },
            jetstream: JetStreamGrants {
                inspect: patterns("jetstream.inspect", &asks.jetstream_inspect)?,
                purge: patterns("jetstream.purge", &asks.jetstream_purge)?,
            },
            tables: TableGrants {
                read: patterns("tables.read", &asks.tables_read)?,
                write: patterns("tables.write", &asks.tables_write)?,
                create: patterns("tables.create", &asks.tables_create)?,
                describe: asks.tables_describe,
            },
            replication: asks.replication,
        })
    }
}

fn patterns<T: FromStr<Err = GrantError>>(
    kind: &'static str,
    texts: &[String],
) -> Result<Vec<T>, ManifestError> {
    let pattern = |text: &String| text.parse();
    texts
        .iter()
        .map(pattern)
        .collect::<Result<_, _>>()
        .map_err(|source| ManifestError::Pattern { kind, source })
}
