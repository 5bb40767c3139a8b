//! What the file says: its text, read in one piece, and what that means.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::FileError;
use super::edit::{Document, EditError};
use super::group::{Failed, Group};
use super::seen::Seen;
use crate::capabilities::{Change, ConfigError, KeyPath};
use crate::files::{self, OpenError};
use crate::json;

/// A configuration file is a few kilobytes; with 10,000 routes, half a megabyte.
pub(super) const MOST_BYTES: u64 = 32 << 20;

/// What is so small is handled where it is asked for: another thread would take longer to wake up.
const SMALL: usize = 64 << 10;
/// The longest list that is.
const FEW: usize = 500;

/// One version of the file.
#[derive(Debug, Clone)]
pub(super) struct Contents {
    document: Arc<Document>,
    pub(super) state: Arc<State>,
}

/// What a version says, on the disk or on its way there.
#[derive(Debug)]
pub(super) struct State {
    pub(super) json: Arc<Value>,
    pub(super) revision: String,
    /// It has no text yet.
    pub(super) is_pending: bool,
    pub(super) is_small: bool,
    texts: Texts,
}

/// Values as JSON text, by their paths: a plugin asks for the same ones again and again.
#[derive(Debug, Default)]
struct Texts(RwLock<Vec<(KeyPath, Arc<str>)>>);

/// How many are kept, of a version that is small.
const MOST_TEXTS: usize = 16;

impl Contents {
    /// What the bytes of the file of this name mean.
    pub(super) fn parse(name: &str, bytes: Vec<u8>) -> Result<Self, FileError> {
        let name = || name.to_owned();
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = error.as_bytes().get(..error.utf8_error().valid_up_to());
            let lines = valid.unwrap_or_default().iter().filter(|byte| **byte == b'\n');
            FileError::NotText { name: name(), line: lines.count() + 1 }
        })?;
        let document =
            Document::read(text).map_err(|source| FileError::Yaml { name: name(), source })?;
        let hash = Sha256::digest(document.text());
        let revision = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self::new(document.into(), revision))
    }

    fn new(document: Arc<Document>, revision: String) -> Self {
        let (json, is_small) = (document.shared_json(), document.text().len() <= SMALL);
        let (is_pending, texts) = (false, Texts::default());
        Self { document, state: Arc::new(State { json, revision, is_pending, is_small, texts }) }
    }

    pub(super) fn text(&self) -> &str {
        self.document.text()
    }

    /// The line where what is at a path stands.
    pub(super) fn line(&self, path: &str) -> Option<usize> {
        self.document.line(path)
    }

    /// The version that a group's changes make of this one; it keeps the revision that its writers
    /// know. `name` is the file's.
    pub(super) fn with(&self, name: &str, group: &Group) -> Result<Self, Failed> {
        let whole = |error: FileError| Failed::Group(error.into());
        let yaml = |source| FileError::Yaml { name: name.to_owned(), source };
        let mut document = self.document.clone();
        // Changes that undo each other make no version.
        if self.state.json != group.after.json {
            for Change { path, value } in &group.changes {
                let keys: Vec<_> = path.keys().collect();
                match document.set(&keys, value) {
                    Ok(Some(changed)) => document = changed.into(),
                    Ok(None) => {}
                    Err(error) if group.is_of_one() => return Err(whole(yaml(error))),
                    Err(_) => return Err(Failed::Changes(self.refused(name, &group.changes))),
                }
            }
            if *document.json() != *group.after.json {
                return Err(Failed::Group(ConfigError::Conflict));
            }
        }
        if document.text().len() as u64 > MOST_BYTES {
            return Err(whole(FileError::TooLarge { name: name.to_owned() }));
        }
        Ok(Self::new(document, group.after.revision.clone()))
    }

    /// Those of the changes that cannot be made, and why.
    fn refused(&self, name: &str, changes: &[Change]) -> Vec<(KeyPath, ConfigError)> {
        let refused = |change: &Change| {
            let error = self.refusal(change)?;
            let error = FileError::Yaml { name: name.to_owned(), source: error };
            Some((change.path.clone(), error.into()))
        };
        changes.iter().filter_map(refused).collect()
    }

    /// Why a change cannot be made, if it cannot.
    pub(super) fn refusal(&self, change: &Change) -> Option<EditError> {
        let keys: Vec<_> = change.path.keys().collect();
        self.document.set(&keys, &change.value).err()
    }
}

impl State {
    /// What stands at a path; nothing where a value stands in the way.
    pub(super) fn at(&self, path: &KeyPath) -> Option<&Value> {
        at(&self.json, path.keys())
    }

    /// The same as JSON text.
    pub(super) fn text_at(&self, path: &KeyPath) -> Option<Arc<str>> {
        let texts = self.texts.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, text)) = texts.iter().find(|(known, _)| known == path) {
            return Some(text.clone());
        }
        drop(texts);
        let text: Arc<str> = json::text(self.at(path)?).into();
        let mut texts = self.texts.0.write().unwrap_or_else(PoisonError::into_inner);
        if self.is_small && texts.len() < MOST_TEXTS {
            texts.push((path.clone(), text.clone()));
        }
        Some(text)
    }

    /// What it says with changes: itself, when that is nothing new; and nothing where a value stands
    /// in the way of a key below it.
    pub(super) fn with(self: &Arc<Self>, changes: &[Change]) -> Option<Arc<Self>> {
        let is_there = |json: &Value, change: &Change| {
            at(json, change.path.keys()).is_some_and(|value| is_same(value, &change.value))
        };
        if changes.iter().all(|change| is_there(&self.json, change)) {
            return Some(self.clone());
        }
        let new = changes.iter().filter(|change| !is_there(&self.json, change));
        let new: Vec<Vec<_>> = new.map(|change| change.path.keys().collect()).collect();
        let mut json = copy_without(&self.json, &new.iter().map(Vec::as_slice).collect::<Vec<_>>());
        for change in changes {
            if is_there(&json, change) {
                continue;
            }
            let Change { path, value } = change;
            let mut place = &mut json;
            for key in path.keys() {
                if place.is_null() {
                    *place = Value::Object(Map::new());
                }
                place = place.as_object_mut()?.entry(key).or_insert(Value::Null);
            }
            // An empty list is written as null.
            *place = if is_same(value, &Value::Null) { Value::Null } else { value.clone() };
        }
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let revision = format!("pending {}", NUMBER.fetch_add(1, Relaxed));
        let is_small = self.is_small && changes.iter().all(is_short);
        let (json, is_pending, texts) = (json.into(), true, Texts::default());
        Some(Arc::new(Self { json, revision, is_pending, is_small, texts }))
    }
}

/// A copy with null at these paths: what stands there is about to be replaced, and may be long.
fn copy_without(json: &Value, paths: &[&[&str]]) -> Value {
    if paths.iter().any(|path| path.is_empty()) {
        return Value::Null;
    }
    match json {
        Value::Object(object) if !paths.is_empty() => {
            let copy = |(key, value): (&String, &Value)| {
                let below = paths.iter().filter_map(|path| path.strip_prefix(&[key.as_str()]));
                (key.clone(), copy_without(value, &below.collect::<Vec<_>>()))
            };
            object.iter().map(copy).collect()
        }
        json => json.clone(),
    }
}

/// What stands at a path: null when nothing does, and nothing where a parent is something else than a
/// mapping.
pub(crate) fn at<'v, 'k>(
    json: &'v Value,
    keys: impl IntoIterator<Item = &'k str>,
) -> Option<&'v Value> {
    keys.into_iter().try_fold(json, |value, key| match value {
        Value::Object(mapping) => Some(mapping.get(key).unwrap_or(&Value::Null)),
        Value::Null => Some(value),
        _ => None,
    })
}

/// Whether a change is made sooner here than elsewhere.
pub(super) fn is_short(change: &Change) -> bool {
    change.value.as_array().is_none_or(|list| list.len() <= FEW)
}

/// An empty list, null and nothing are the same.
fn is_same(one: &Value, other: &Value) -> bool {
    let is_nothing =
        |value: &Value| value.is_null() || value.as_array().is_some_and(|list| list.is_empty());
    one == other || is_nothing(one) && is_nothing(other)
}

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let name = || super::replace::name(path);
    let read = |source| FileError::Read { name: name(), source };
    let file = files::open(path).map_err(|error| match error {
        OpenError::Read(error) => read(error),
        OpenError::NotAFile => FileError::NotAFile { name: name() },
    })?;
    // One more than it has, so that one read finds the end.
    let size = file.metadata().map_err(read)?.len();
    let mut bytes = Vec::with_capacity(size.min(MOST_BYTES) as usize + 1);
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(FileError::NotAFile { name: name() });
    }
    Ok(bytes)
}

/// Reads a small file if that needs no wait: all of it is in memory, and the kernel says so. Nothing
/// otherwise, and on systems that cannot say. With it comes what tells for a while that it is still
/// the same.
#[cfg(target_os = "linux")]
pub(super) fn look(path: &Path) -> Option<(Vec<u8>, Option<Seen>)> {
    use std::fs::File;
    use std::io::IoSliceMut;

    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
    use rustix::io::{ReadWriteFlags, preadv2};

    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file: File = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED).ok()?.into();
    let file = Arc::new(file);
    let metadata = file.metadata().ok().filter(|metadata| metadata.is_file())?;
    let seen = Seen::before_reading(&file, &metadata);
    let mut bytes =
        vec![0; usize::try_from(metadata.len()).ok().filter(|size| *size <= SMALL)? + 1];
    let read = preadv2(&*file, &mut [IoSliceMut::new(&mut bytes)], 0, ReadWriteFlags::NOWAIT);
    // Shorter than it was: somebody is at it. Longer likewise.
    let read = read.ok().filter(|read| read + 1 == bytes.len())?;
    bytes.truncate(read);
    Some((bytes, seen))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn look(_: &Path) -> Option<(Vec<u8>, Option<Seen>)> {
    None
}
