//! Keeps what was compiled on this machine, so that it is compiled once.

use std::fs::{self, DirBuilder, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Engine, Result};

use super::precompiled;

/// Compiled components that are kept: each reload of a plugin may bring a new one. What is loaded from
/// the folder works on when its file goes.
const MOST: usize = 16;

/// A folder of compiled components.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Loads `component` from the cache, or compiles it and keeps it there. A cache that cannot be
    /// used is told in the log; the component is compiled all the same.
    pub(super) fn load(&self, engine: &Engine, component: &[u8]) -> Result<Component> {
        let file = self.folder.join(file_name(engine, component));
        match open_folder(&self.folder).and_then(|()| owned_by_us(&fs::symlink_metadata(&file)?)) {
            Ok(()) => match precompiled::cached(engine, &file) {
                Ok(cached) => return Ok(cached),
                Err(error) => tracing::warn!("a compiled component cannot be used: {error:#}"),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!("the folder of compiled components is not used: {error}");
                return Component::from_binary(engine, component);
            }
        }
        let compiled = engine.precompile_component(component)?;
        if let Err(error) = write(&file, &compiled) {
            tracing::warn!("a compiled component could not be kept: {error}");
            return Component::from_binary(engine, component);
        }
        if let Err(error) = remove_oldest(&self.folder) {
            tracing::warn!("old compiled components could not be removed: {error}");
        }
        precompiled::cached(engine, &file)
    }
}

/// Removes the oldest until there are few enough.
fn remove_oldest(folder: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "cwasm") {
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    files.sort();
    let surplus = files.len().saturating_sub(MOST);
    files.iter().take(surplus).try_for_each(|(_, file)| fs::remove_file(file))
}

/// Names what was compiled, and everything that what came of it depends on.
fn file_name(engine: &Engine, component: &[u8]) -> String {
    let mut settings = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut settings);
    let component: String = Sha256::digest(component).iter().map(|b| format!("{b:02x}")).collect();
    format!("{component}-{:016x}.cwasm", settings.finish())
}

/// Makes the folder, for this user alone, or checks that it is one.
fn open_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    owned_by_us(&fs::symlink_metadata(folder)?)
}

/// Machine code is loaded only from where nobody else can write.
fn owned_by_us(metadata: &Metadata) -> io::Result<()> {
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if ours && metadata.mode() & 0o022 == 0 && !metadata.is_symlink() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "it must belong to the host's own user, and nobody else may write to it",
    ))
}

fn write(file: &Path, compiled: &[u8]) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(compiled)?;
    temporary.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::CLUSTERING_COMPONENT;

    fn files(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn a_component_is_compiled_once() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path().join("components"));
        let engine = Engine::new(&super::super::engine::config()).unwrap();
        cache.load(&engine, CLUSTERING_COMPONENT).unwrap();
        let kept = files(&cache.folder);
        assert_eq!(kept.len(), 1);
        let written = fs::metadata(&kept[0]).unwrap().modified().unwrap();
        cache.load(&engine, CLUSTERING_COMPONENT).unwrap();
        assert_eq!(fs::metadata(&kept[0]).unwrap().modified().unwrap(), written);
    }

    #[test]
    fn few_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path().join("components"));
        let engine = Engine::new(&super::super::engine::config()).unwrap();
        open_folder(&cache.folder).unwrap();
        for n in 0..MOST {
            fs::write(cache.folder.join(format!("{n}.cwasm")), "").unwrap();
        }
        cache.load(&engine, CLUSTERING_COMPONENT).unwrap();
        let kept = files(&cache.folder);
        assert_eq!(kept.len(), MOST);
        let file = cache.folder.join(file_name(&engine, CLUSTERING_COMPONENT));
        assert!(kept.contains(&file), "the newest is among them");
    }

    #[test]
    fn what_another_user_could_have_written_is_not_loaded() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path().join("components"));
        let engine = Engine::new(&super::super::engine::config()).unwrap();
        fs::create_dir(&cache.folder).unwrap();
        fs::set_permissions(&cache.folder, Permissions::from_mode(0o777)).unwrap();
        cache.load(&engine, CLUSTERING_COMPONENT).unwrap();
        assert_eq!(files(&cache.folder), [] as [PathBuf; 0]);
    }

    #[test]
    fn a_damaged_file_is_compiled_anew() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path().join("components"));
        let engine = Engine::new(&super::super::engine::config()).unwrap();
        cache.load(&engine, CLUSTERING_COMPONENT).unwrap();
        let kept = files(&cache.folder);
        fs::write(&kept[0], "not machine code").unwrap();
        cache.load(&engine, CLUSTERING_COMPONENT).unwrap();
        assert!(fs::metadata(&kept[0]).unwrap().len() > 1000);
    }
}
