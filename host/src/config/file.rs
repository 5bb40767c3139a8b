//! The configuration file: read again whenever it has changed, and written with compare-and-set.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::contents::{self, Contents, SMALL};
use super::group::{End, Groups, Leader};
use super::replace::{self, PATIENCE};
use super::{FileError, Overrides, ReadError, Settings, keys, settings};
use crate::capabilities::{BoxFuture, Change, Config, ConfigError, Durable, KeyPath, Snapshot};

/// The configuration file of a node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    overrides: Overrides,
    /// What was read last, and is durable. It is used again while the file has the same bytes.
    last: Mutex<Option<Arc<Contents>>>,
    /// Writers of this process make their changes in turn. Nobody has it who waits for a disk or
    /// for a plugin.
    turn: Arc<tokio::sync::Mutex<()>>,
    groups: Groups,
}

impl ConfigFile {
    /// The file at `path`, which must be there and valid. It reads what it finds there at each
    /// access; a symbolic link is followed.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        Self::with_overrides(path, Overrides::default())
    }

    /// The same, with values that lie over those of the file and are never written into it.
    pub fn with_overrides(
        path: impl Into<PathBuf>,
        overrides: Overrides,
    ) -> Result<Self, FileError> {
        let inner = Inner {
            path: path.into(),
            overrides,
            last: Mutex::default(),
            turn: Arc::default(),
            groups: Groups::default(),
        };
        inner.read()?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The whole document, with the overrides over it.
    pub fn document(&self) -> Result<Value, FileError> {
        let mut document = self.inner.read()?.document.json().clone();
        self.inner.overrides.apply(&mut document);
        Ok(document)
    }

    /// What it means; a value that cannot be is said to be where it stands, here or in the
    /// environment.
    ///
    /// # Errors
    /// It cannot be read, or says what it should not.
    pub fn settings(&self) -> Result<Settings, ReadError> {
        let variable = |path: &str| Some(self.variable(&path.parse().ok()?)?.to_owned());
        Ok(Settings::read_with(&self.document()?, variable)?)
    }

    /// The same, and for keys that neither says the defaults.
    pub(crate) fn effective(&self) -> Result<Value, FileError> {
        let mut document = self.document()?;
        settings::put_defaults(&mut document);
        Ok(document)
    }

    /// The environment variable that overrides the value at `path`.
    pub(crate) fn variable(&self, path: &KeyPath) -> Option<&str> {
        self.inner.overrides.variable(path)
    }

    /// Keys of the file that this host does not know, each perhaps with the one that was meant.
    pub fn unknown_keys(&self) -> Result<Vec<(String, Option<String>)>, FileError> {
        Ok(keys::unknown(self.inner.read()?.document.json()))
    }
}

impl Config for ConfigFile {
    fn get(&self, paths: Vec<KeyPath>) -> BoxFuture<'_, Result<Snapshot, ConfigError>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            match inner.look() {
                Some(contents) => Ok(inner.snapshot(&contents, &paths)),
                None => off_the_runtime(move || Ok(inner.snapshot(&*inner.read()?, &paths))).await,
            }
        })
    }

    fn get_to_change(
        &self,
        paths: Vec<KeyPath>,
    ) -> BoxFuture<'_, Result<(Snapshot, Option<Durable>), ConfigError>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            let Some((contents, end)) = inner.groups.newest() else {
                return Ok((self.get(paths).await?, None));
            };
            let snapshot = match contents.text().len() {
                ..=SMALL => inner.snapshot(&contents, &paths),
                _ => off_the_runtime(move || Ok(inner.snapshot(&contents, &paths))).await?,
            };
            Ok((snapshot, Some(Box::pin(end.wait()) as Durable)))
        })
    }

    fn set(
        &self,
        expected: String,
        changes: Vec<Change>,
    ) -> BoxFuture<'_, Result<String, ConfigError>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            let deadline = Instant::now() + PATIENCE;
            let turn = timeout_at(deadline.into(), inner.turn.clone().lock_owned())
                .await
                .map_err(|_| FileError::Locked { name: replace::name(&inner.path) })?;
            if inner.groups.newest().is_some_and(|(newest, _)| newest.revision != expected) {
                return Err(ConfigError::Conflict);
            }
            let (tell, told) = oneshot::channel();
            // To its end, whoever gives up waiting.
            tokio::task::spawn_blocking(move || {
                let pending = inner.change(&expected, &changes, deadline);
                drop(turn);
                match pending {
                    Ok((revision, end, leader)) => {
                        let _ = tell.send(Ok((revision, end)));
                        if let Some(leader) = leader {
                            leader.lead(|before, after, deadline| {
                                Ok(inner.replace(before, after, deadline)?)
                            });
                        }
                    }
                    Err(error) => {
                        let _ = tell.send(Err(ConfigError::from(error)));
                    }
                }
            });
            let (revision, end) = told.await.map_err(|_| not_handled())??;
            match end {
                Some(end) => end.wait().await.map(|()| revision),
                None => Ok(revision),
            }
        })
    }
}

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, ConfigError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(ConfigError::from),
        Err(error) => {
            tracing::error!("the configuration file was not handled: {error}");
            Err(not_handled())
        }
    }
}

/// A bug of ours, or the host's end.
pub(super) fn not_handled() -> ConfigError {
    ConfigError::Other("The configuration file could not be handled".into())
}

impl Inner {
    /// The file as it is now, durable.
    fn read(&self) -> Result<Arc<Contents>, FileError> {
        let bytes = contents::read(&self.path)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // A few kilobytes are compared sooner than any time stamp could be trusted.
        if let Some(last) = last.as_ref().filter(|last| last.text().as_bytes() == bytes) {
            return Ok(last.clone());
        }
        let contents = Arc::new(Contents::parse(&replace::name(&self.path), bytes)?);
        replace::settle(&self.path);
        *last = Some(contents.clone());
        Ok(contents)
    }

    /// The same, if that needs no wait.
    fn look(&self) -> Option<Arc<Contents>> {
        let bytes = contents::look(&self.path)?;
        let last = self.last.try_lock().ok()?;
        last.as_ref().filter(|last| last.text().as_bytes() == bytes).cloned()
    }

    fn snapshot(&self, contents: &Contents, paths: &[KeyPath]) -> Snapshot {
        let value = |path: &KeyPath| match self.overrides.get(path) {
            Some(value) => value.clone(),
            None => contents.at(path),
        };
        Snapshot { revision: contents.revision.clone(), values: paths.iter().map(value).collect() }
    }

    /// Makes a change on top of what is pending. Returns the new revision, how it ends unless it is
    /// durable already, and whether it is now ours to write what is pending.
    fn change(
        &self,
        expected: &str,
        changes: &[Change],
        deadline: Instant,
    ) -> Result<(String, Option<End>, Option<Leader<'_>>), FileError> {
        let (before, end) = match self.groups.newest() {
            Some((newest, end)) => (newest, Some(end)),
            None => (self.read()?, None),
        };
        if before.revision != expected {
            return Err(FileError::Conflict);
        }
        let name = || replace::name(&self.path);
        let mut after = None;
        for Change { path, value } in changes {
            if let Some(variable) = self.overrides.variable(path) {
                return Err(FileError::Overridden { key: path.clone(), variable: variable.into() });
            }
            let keys: Vec<_> = path.keys().collect();
            let document = after.as_ref().unwrap_or(&before.document);
            let changed = document
                .set(&keys, value)
                .map_err(|source| FileError::Yaml { name: name(), source })?;
            after = changed.or(after);
        }
        let Some(after) = after.filter(|after| after.text() != before.text()) else {
            return Ok((before.revision.clone(), end, None));
        };
        if after.text().len() as u64 > contents::MOST_BYTES {
            return Err(FileError::TooLarge { name: name() });
        }
        let after = Arc::new(Contents::new(after));
        let revision = after.revision.clone();
        let (end, leader) = self.groups.join((before, end), after, deadline)?;
        Ok((revision, Some(end), leader))
    }

    fn replace(
        &self,
        before: &Contents,
        after: &Arc<Contents>,
        deadline: Instant,
    ) -> Result<(), FileError> {
        replace::replace(&self.path, before.text(), after.text(), deadline)?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(after.clone());
        Ok(())
    }
}
