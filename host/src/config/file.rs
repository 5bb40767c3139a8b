//! The configuration file: read again whenever it has changed, and written with compare-and-set.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use serde_json::Value;
use tokio::sync::watch;

use super::contents::{self, Contents, State};
use super::group::{End, Failed, Group, Groups};
use super::replace::{self, PATIENCE};
use super::seen::Seen;
use super::settings::Place;
use super::{FileError, Overrides, ReadError, Settings, keys, settings};
use crate::capabilities::{
    BoxFuture, Change, Config, ConfigError, Durable, KeyPath, Snapshot, Texts,
};
use crate::json;

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
    last: RwLock<Option<Last>>,
    groups: Groups,
    /// Tells of each version that was written here.
    written: watch::Sender<()>,
}

#[derive(Debug, Clone)]
struct Last {
    contents: Arc<Contents>,
    /// How the file looks that has them.
    seen: Option<Seen>,
}

impl From<Arc<Contents>> for Last {
    fn from(contents: Arc<Contents>) -> Self {
        Self { contents, seen: None }
    }
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
            last: RwLock::default(),
            groups: Groups::default(),
            written: watch::Sender::default(),
        };
        inner.read()?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The whole document, with the overrides over it.
    pub fn document(&self) -> Result<Value, FileError> {
        let mut document = Value::clone(&self.inner.read()?.state.json);
        self.inner.overrides.apply(&mut document);
        Ok(document)
    }

    /// The whole document as the file alone has it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn without_overrides(&self) -> Result<Value, FileError> {
        Ok(Value::clone(&self.inner.read()?.state.json))
    }

    /// What it means; a value that cannot be is said to be where it stands, here or in the
    /// environment.
    ///
    /// # Errors
    /// It cannot be read, or says what it should not.
    pub fn settings(&self) -> Result<Settings, ReadError> {
        let contents = self.inner.read()?;
        let mut document = Value::clone(&contents.state.json);
        self.inner.overrides.apply(&mut document);
        let place = |path: &str| match path.parse().ok().and_then(|path| self.variable(&path)) {
            Some(variable) => Place::Variable(variable.to_owned()),
            None => Place::Line(contents.line(path)),
        };
        Ok(Settings::read_with(&document, place)?)
    }

    /// The same, and for keys that neither says the defaults.
    pub(crate) fn effective(&self) -> Result<Value, FileError> {
        let mut document = self.document()?;
        settings::put_defaults(&mut document);
        Ok(document)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Changes whenever a version was written through this file or a clone of it, durably. Edits by
    /// others do not show.
    pub fn written(&self) -> watch::Receiver<()> {
        self.inner.written.subscribe()
    }

    /// The environment variable that overrides the value at `path`.
    pub(crate) fn variable(&self, path: &KeyPath) -> Option<&str> {
        self.inner.overrides.variable(path)
    }

    /// Keys of the file that this host does not know, each perhaps with the one that was meant.
    pub fn unknown_keys(&self) -> Result<Vec<(String, Option<String>)>, FileError> {
        Ok(keys::unknown(&self.inner.read()?.state.json))
    }
}

impl Config for ConfigFile {
    fn get(&self, paths: Vec<KeyPath>) -> BoxFuture<'_, Result<Snapshot, ConfigError>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            match inner.look() {
                Some(contents) => Ok(inner.snapshot(&contents.state, &paths)?),
                None => off_the_runtime(move || inner.snapshot(&inner.read()?.state, &paths)).await,
            }
        })
    }

    fn get_texts(&self, paths: Vec<KeyPath>) -> BoxFuture<'_, Result<Texts, ConfigError>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            match inner.look() {
                Some(contents) => Ok(inner.texts(&contents.state, &paths)?),
                None => off_the_runtime(move || inner.texts(&inner.read()?.state, &paths)).await,
            }
        })
    }

    fn get_to_change(
        &self,
        paths: Vec<KeyPath>,
    ) -> BoxFuture<'_, Result<(Snapshot, Option<Durable>), ConfigError>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            let Some((state, end)) = inner.groups.newest() else {
                return Ok((self.get(paths).await?, None));
            };
            let snapshot = match state.is_small {
                true => inner.snapshot(&state, &paths)?,
                false => off_the_runtime(move || inner.snapshot(&state, &paths)).await?,
            };
            Ok((snapshot, Some(Box::pin(end.wait()) as Durable)))
        })
    }

    fn get_texts_to_change(
        &self,
        paths: Vec<KeyPath>,
    ) -> BoxFuture<'_, Result<(Texts, Option<Durable>), ConfigError>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            let Some((state, end)) = inner.groups.newest() else {
                return Ok((self.get_texts(paths).await?, None));
            };
            let texts = match state.is_small {
                true => inner.texts(&state, &paths)?,
                false => off_the_runtime(move || inner.texts(&state, &paths)).await?,
            };
            Ok((texts, Some(Box::pin(end.wait()) as Durable)))
        })
    }

    fn set(
        &self,
        expected: String,
        changes: Vec<Change>,
    ) -> BoxFuture<'_, Result<String, ConfigError>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            let base = inner.pending().or_else(|| inner.look().map(Base::Durable));
            let (revision, end) = match base {
                Some(base) if base.state().is_small && changes.iter().all(contents::is_short) => {
                    inner.change(base, &expected, changes)?
                }
                base => {
                    off_the_runtime(move || {
                        let base = match base {
                            Some(base) => base,
                            None => Base::Durable(inner.read()?),
                        };
                        inner.change(base, &expected, changes)
                    })
                    .await?
                }
            };
            match end {
                Some(end) => end.wait().await.map(|()| revision),
                None => Ok(revision),
            }
        })
    }
}

/// What a change is made on top of.
enum Base {
    Pending(Arc<State>, End),
    Durable(Arc<Contents>),
}

impl Base {
    fn state(&self) -> &Arc<State> {
        match self {
            Base::Pending(state, _) => state,
            Base::Durable(contents) => &contents.state,
        }
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
        let mut last = self.last.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(Last { contents, .. }) = &*last
            && contents.text().as_bytes() == bytes
        {
            return Ok(contents.clone());
        }
        let contents = Arc::new(Contents::parse(&replace::name(&self.path), bytes)?);
        replace::settle(&self.path);
        *last = Some(contents.clone().into());
        Ok(contents)
    }

    /// The same, if that needs no wait.
    fn look(&self) -> Option<Arc<Contents>> {
        let Last { contents, seen } = self.last.try_read().ok()?.clone()?;
        if seen.is_some_and(|seen| seen.is_still_at(&self.path)) {
            return Some(contents);
        }
        let (bytes, seen) = contents::look(&self.path)?;
        if contents.text().as_bytes() != bytes {
            return None;
        }
        if let Ok(mut last) = self.last.try_write()
            && let Some(last) = &mut *last
            && Arc::ptr_eq(&last.contents, &contents)
        {
            last.seen = seen;
        }
        Some(contents)
    }

    fn snapshot(&self, state: &State, paths: &[KeyPath]) -> Result<Snapshot, FileError> {
        let value = |path: &KeyPath| match self.overrides.get(path) {
            Some(value) => Ok(value.clone()),
            None => state.at(path).cloned().ok_or_else(|| self.no_mapping(path)),
        };
        let values = paths.iter().map(value).collect::<Result<_, _>>()?;
        Ok(Snapshot { revision: state.revision.clone(), values })
    }

    /// Why nothing can stand at a path, as whoever writes it is told.
    fn no_mapping(&self, path: &KeyPath) -> FileError {
        let change = Change { path: path.clone(), value: Value::Bool(true) };
        self.refusal(&[change]).unwrap_or(FileError::Conflict)
    }

    fn texts(&self, state: &State, paths: &[KeyPath]) -> Result<Texts, FileError> {
        let text = |path: &KeyPath| match self.overrides.get(path) {
            Some(value) => Ok(json::text(value).into()),
            None => state.text_at(path).ok_or_else(|| self.no_mapping(path)),
        };
        let values = paths.iter().map(text).collect::<Result<_, _>>()?;
        Ok(Texts { revision: state.revision.clone(), values })
    }

    fn pending(&self) -> Option<Base> {
        self.groups.newest().map(|(state, end)| Base::Pending(state, end))
    }

    /// Makes changes. Returns the new revision, and how it ends unless it is durable already. It is
    /// written to its end, whoever gives up waiting.
    fn change(
        self: &Arc<Self>,
        base: Base,
        expected: &str,
        changes: Vec<Change>,
    ) -> Result<(String, Option<End>), FileError> {
        let before = base.state();
        if before.revision != expected {
            return Err(FileError::Conflict);
        }
        let overridden = |change: &Change| {
            let variable = self.overrides.variable(&change.path)?.into();
            Some(FileError::Overridden { key: change.path.clone(), variable })
        };
        if let Some(refused) = changes.iter().find_map(overridden) {
            return Err(refused);
        }
        let Some(after) = before.with(&changes) else {
            return Err(self.refusal(&changes).unwrap_or(FileError::Conflict));
        };
        if after.revision == before.revision {
            let end = match base {
                Base::Pending(_, end) => Some(end),
                Base::Durable(_) => None,
            };
            return Ok((after.revision.clone(), end));
        }
        let revision = after.revision.clone();
        let (end, leader) = self.groups.join(before, changes, after, Instant::now() + PATIENCE)?;
        if let (Some(leader), Base::Durable(contents)) = (leader, base) {
            let inner = self.clone();
            tokio::task::spawn_blocking(move || {
                leader.lead(contents, |before, group| inner.write(before, group));
            });
        }
        Ok((revision, Some(end)))
    }

    /// Where a value stands in the way of a key below it: as the file's text shows it.
    fn refusal(&self, changes: &[Change]) -> Option<FileError> {
        let contents = self.read().ok()?;
        let source = changes.iter().find_map(|change| contents.refusal(change))?;
        Some(FileError::Yaml { name: replace::name(&self.path), source })
    }

    /// Writes a version with the changes of a group.
    fn write(&self, before: &Contents, group: &Group) -> Result<Arc<Contents>, Failed> {
        let after = Arc::new(before.with(&replace::name(&self.path), group)?);
        if after.text() != before.text() {
            replace::replace(&self.path, before.text(), after.text(), group.deadline)
                .map_err(|error| Failed::Group(error.into()))?;
        }
        let last = Some(after.clone().into());
        *self.last.write().unwrap_or_else(PoisonError::into_inner) = last;
        self.written.send_replace(());
        Ok(after)
    }
}
