//! `config`: values of the configuration file, read and written by key path.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf};

use crate::capabilities::{BoxFuture, Call, Capability, KeyPath, Purpose};
use crate::json;
use crate::metrics::Counters;
use crate::wit::harper::plugin::config as wit;

/// A configuration that plugins read and change.
///
/// Ours is the file `harperdb-config.yaml`; an embedder that keeps its configuration elsewhere
/// implements this trait and gives it to the [builder](crate::HostBuilder::config).
pub trait Config: Send + Sync + 'static {
    /// Reads the values at `paths`, all from one state of the configuration, in the same order. A
    /// key that is missing, or whose parent is missing or null, reads as null.
    fn get(&self, paths: Vec<KeyPath>)
    -> BoxFuture<'_, std::result::Result<Snapshot, ConfigError>>;

    /// The same, with each value as JSON text: plugins get it so. By default it is made of `get`.
    fn get_texts(
        &self,
        paths: Vec<KeyPath>,
    ) -> BoxFuture<'_, std::result::Result<Texts, ConfigError>> {
        Box::pin(async { Ok(Texts::from(self.get(paths).await?)) })
    }

    /// Reads for someone who may write: also what others are writing at this moment, so that many
    /// can write at the same time, each on top of the one before. What is shown so is not durable
    /// yet, and nobody may be told of it before the second value, where there is one, says that it
    /// is. By default this is `get`, and nothing is shown early.
    fn get_to_change(
        &self,
        paths: Vec<KeyPath>,
    ) -> BoxFuture<'_, std::result::Result<(Snapshot, Option<Durable>), ConfigError>> {
        Box::pin(async { Ok((self.get(paths).await?, None)) })
    }

    /// The same as JSON text. By default it is made of `get_to_change`.
    fn get_texts_to_change(
        &self,
        paths: Vec<KeyPath>,
    ) -> BoxFuture<'_, std::result::Result<(Texts, Option<Durable>), ConfigError>> {
        Box::pin(async {
            let (snapshot, durable) = self.get_to_change(paths).await?;
            Ok((snapshot.into(), durable))
        })
    }

    /// Writes all changes in one step, if the configuration is still at the revision `expected`,
    /// and returns its new revision. They are durable when it returns. Dropping the future leaves
    /// either all of the changes done or none.
    fn set(
        &self,
        expected: String,
        changes: Vec<Change>,
    ) -> BoxFuture<'_, std::result::Result<String, ConfigError>>;
}

/// Ends when what was shown early is durable, or with the reason why it never will be.
pub type Durable = BoxFuture<'static, std::result::Result<(), ConfigError>>;

/// Values read at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The state that they were read from; equal revisions mean equal contents.
    pub revision: String,
    /// One value for each path.
    pub values: Vec<Value>,
}

/// Values read at one moment, as JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// The state that they were read from; equal revisions mean equal contents.
    pub revision: String,
    /// One value for each path.
    pub values: Vec<Arc<str>>,
}

impl From<Snapshot> for Texts {
    fn from(snapshot: Snapshot) -> Self {
        let Snapshot { revision, values } = snapshot;
        let values = values.iter().map(|value| json::text(value).into()).collect();
        Self { revision, values }
    }
}

/// A value to be put at a path.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Where. Missing parents are made.
    pub path: KeyPath,
    /// A list, a scalar or null.
    pub value: Value,
}

/// Why the configuration was not read or written; nothing was changed. The texts are for the
/// caller: clear, without paths of the machine and without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigError {
    /// It is no longer at the revision that was expected, or others are writing it all the while.
    #[error("The configuration was changed meanwhile")]
    Conflict,
    /// It is not valid, or not in a form that can be changed safely.
    #[error("{0}")]
    InvalidFile(String),
    /// It cannot be read or written.
    #[error("{0}")]
    Unavailable(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// A configuration whose writes are counted by their outcome.
pub(crate) struct Counted {
    pub(crate) config: Arc<dyn Config>,
    pub(crate) writes: Counters<1>,
}

impl Config for Counted {
    fn get(
        &self,
        paths: Vec<KeyPath>,
    ) -> BoxFuture<'_, std::result::Result<Snapshot, ConfigError>> {
        self.config.get(paths)
    }

    fn get_texts(
        &self,
        paths: Vec<KeyPath>,
    ) -> BoxFuture<'_, std::result::Result<Texts, ConfigError>> {
        self.config.get_texts(paths)
    }

    fn get_to_change(
        &self,
        paths: Vec<KeyPath>,
    ) -> BoxFuture<'_, std::result::Result<(Snapshot, Option<Durable>), ConfigError>> {
        self.config.get_to_change(paths)
    }

    fn get_texts_to_change(
        &self,
        paths: Vec<KeyPath>,
    ) -> BoxFuture<'_, std::result::Result<(Texts, Option<Durable>), ConfigError>> {
        self.config.get_texts_to_change(paths)
    }

    fn set(
        &self,
        expected: String,
        changes: Vec<Change>,
    ) -> BoxFuture<'_, std::result::Result<String, ConfigError>> {
        Box::pin(async move {
            let written = self.config.set(expected, changes).await;
            let outcome = match &written {
                Ok(_) => "ok",
                Err(ConfigError::Conflict) => "conflict",
                Err(_) => "failed",
            };
            self.writes.get_or_create(&[("outcome", outcome.to_owned())]).inc();
            written
        })
    }
}

impl From<ConfigError> for wit::Error {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Conflict => Self::Conflict,
            ConfigError::InvalidFile(text) => Self::InvalidFile(text),
            ConfigError::Unavailable(text) => Self::Unavailable(text),
            ConfigError::Other(text) => Self::Other(text),
        }
    }
}

/// Paths of one `get`, and changes of one `set`. Each change is an edit of the whole file, under the
/// lock that other writers wait for, and no limit of the call ends it.
const MOST_AT_ONCE: usize = 64;

type Answer<T> = Result<std::result::Result<T, wit::Error>>;

impl wit::Host for Call {}

impl<T: Send> wit::HostWithStore<T> for HasSelf<Call> {
    async fn get(accessor: &Accessor<T, Self>, paths: Vec<String>) -> Answer<wit::Snapshot> {
        let (config, purpose, granted) = accessor.with(|mut access| {
            let call = access.get();
            call.meter.host_call(Capability::Config, paths.iter().map(String::len).sum())?;
            let missing = |path: &KeyPath| call.missing(|g| g.config.may_read(path));
            let granted = few(paths.len(), "paths")
                .and_then(|()| paths.iter().map(|path| granted(path, "read", missing)).collect());
            wasmtime::error::Ok((call.capabilities.config.clone(), call.purpose, granted))
        })?;
        let granted: std::result::Result<Vec<_>, _> = granted;
        // A path that is named again costs a few bytes; its value, copied again, could cost gigabytes.
        let mut distinct: Vec<KeyPath> = Vec::new();
        let mut places = Vec::new();
        for path in match granted {
            Ok(granted) => granted,
            Err(refused) => return Ok(Err(refused)),
        } {
            let known = distinct.iter().position(|known| *known == path);
            places.push(known.unwrap_or(distinct.len()));
            if known.is_none() {
                distinct.push(path);
            }
        }
        let read = match purpose {
            Purpose::Changes => config.get_texts_to_change(distinct).await,
            _ => config.get_texts(distinct).await.map(|texts| (texts, None)),
        };
        let (Texts { revision, values }, durable) = match read {
            Ok(read) => read,
            Err(error) => return Ok(Err(error.into())),
        };
        let answered = || places.iter().filter_map(|&place| values.get(place));
        accessor.with(|mut access| {
            let call = access.get();
            call.shown_early.extend(durable);
            call.meter.bytes(answered().map(|text| text.len()).sum())
        })?;
        let values = answered().map(|text| text.as_ref().to_owned()).collect();
        Ok(Ok(wit::Snapshot { revision, values }))
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        expected: String,
        changes: Vec<wit::Change>,
    ) -> Answer<String> {
        let (config, changes) = accessor.with(|mut access| {
            let call = access.get();
            let bytes = changes.iter().map(|change| change.path.len() + change.value.len()).sum();
            call.meter.host_call(Capability::Config, bytes)?;
            call.meter
                .at_once(changes.iter().map(|c| json::built_size(c.value.as_bytes())).sum())?;
            let missing = |path: &KeyPath| call.missing_to_change(|g| g.config.may_write(path));
            let change = |change: &wit::Change| {
                let path = granted(&change.path, "write", missing)?;
                let value = serde_json::from_str(&change.value).map_err(|error| {
                    wit::Error::InvalidRequest(format!(
                        "The value for '{path}' is not JSON: {error}"
                    ))
                })?;
                Ok(Change { path, value })
            };
            let changes =
                few(changes.len(), "changes").and_then(|()| changes.iter().map(change).collect());
            wasmtime::error::Ok((call.capabilities.config.clone(), changes))
        })?;
        let changes: std::result::Result<Vec<_>, _> = changes;
        let changes = match changes {
            Ok(changes) => changes,
            Err(refused) => return Ok(Err(refused)),
        };
        let written = config.set(expected, changes).await;
        // What was shown is durable with the change on top of it; or the plugin knows that it may
        // be gone, and reads again.
        if matches!(written, Ok(_) | Err(ConfigError::Conflict)) {
            accessor.with(|mut access| access.get().shown_early.clear());
        }
        Ok(written.map_err(wit::Error::from))
    }
}

fn few(number: usize, what: &str) -> std::result::Result<(), wit::Error> {
    if number <= MOST_AT_ONCE {
        return Ok(());
    }
    let text = format!("{number} {what} in one call, and at most {MOST_AT_ONCE} are allowed");
    Err(wit::Error::InvalidRequest(text))
}

fn granted(
    path: &str,
    what: &str,
    missing: impl Fn(&KeyPath) -> Option<Cow<'static, str>>,
) -> std::result::Result<KeyPath, wit::Error> {
    let path: KeyPath =
        path.parse().map_err(|error| wit::Error::InvalidRequest(format!("{error}")))?;
    match missing(&path) {
        None => Ok(path),
        Some(refused) => Err(wit::Error::Denied(format!("{refused} {what} '{path}'"))),
    }
}
