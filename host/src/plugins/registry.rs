//! The plugins of a node: loaded at its start, and loaded again while it runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::file::{self, Component};
use super::{PluginError, PluginSettings, grants_to_json, is_plugin_name};
use crate::capabilities::{Grant, Grants};
use crate::config::ConfigFile;
use crate::dispatch::{Dispatch, Installed};
use crate::runtime::{ComponentSource, Limits, Plugin};

/// What a node has of other people's plugins.
pub(crate) struct Plugins {
    dispatch: Arc<Dispatch>,
    /// Where relative paths begin.
    folder: PathBuf,
    /// Where it is read what is granted, whenever a plugin is loaded again.
    config: Option<ConfigFile>,
    known: Mutex<Vec<Known>>,
    /// One plugin is loaded at a time: it may take a lot of processor time.
    loading: tokio::sync::Mutex<()>,
}

/// What a plugin's file is trusted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// What the configuration grants the hash that the file has.
    Hash,
    /// For development: what the configuration grants a plugin of this name, whatever hash it has. With
    /// `true`, all that it asks for that anybody's may have.
    AnyHash(bool),
    /// It has no file: the program that the host is a part of has it.
    Program,
}

struct Known {
    name: String,
    file: PathBuf,
    trust: Trust,
    /// None when it is not loaded.
    running: Option<Running>,
    /// Why it was not loaded the last time that it should have been.
    error: Option<String>,
}

/// A plugin that runs.
struct Running {
    plugin: Arc<Plugin>,
    sha256: String,
    size: usize,
    operations: Vec<String>,
}

/// What came of loading a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoadedNow {
    pub(crate) sha256: String,
    pub(crate) operations: Vec<String>,
}

/// What came of having a plugin loaded again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reloaded {
    /// It runs, as it is now.
    Loaded(LoadedNow),
    /// The configuration names it no longer, and it has ended.
    Ended,
}

impl Plugins {
    pub(crate) fn new(
        dispatch: Arc<Dispatch>,
        folder: Option<PathBuf>,
        config: Option<ConfigFile>,
    ) -> Self {
        let folder = folder.unwrap_or_default();
        Self { dispatch, folder, config, known: Mutex::default(), loading: Default::default() }
    }

    /// Loads a plugin that the program has given.
    pub(crate) async fn load_of_program(
        &self,
        name: &str,
        source: ComponentSource,
        granted: Grants,
        limits: Limits,
    ) -> Result<(), PluginError> {
        let bytes = source.component();
        let (sha256, size) = (super::sha256(bytes), bytes.len());
        let installed = self.dispatch.load(name, source, granted, limits).await?;
        self.know(name, Path::new(""), &Trust::Program, Ok(running(installed, sha256, size)));
        Ok(())
    }

    /// Loads a plugin of the configuration, or one that was named for development. What is wrong is told
    /// in the log, and known from then on.
    pub(crate) async fn load(
        &self,
        settings: &PluginSettings,
        trust: Trust,
    ) -> Result<LoadedNow, PluginError> {
        let _alone = self.loading.lock().await;
        let loaded = self.try_load(settings, &trust).await;
        let PluginSettings { name, file, .. } = settings;
        match loaded {
            Ok(running) => {
                let loaded = LoadedNow {
                    sha256: running.sha256.clone(),
                    operations: running.operations.clone(),
                };
                tracing::info!(
                    plugin = name,
                    sha256 = running.sha256,
                    operations = running.operations.join(", "),
                    "the plugin is loaded"
                );
                tell_of_keys(&running.plugin, &trust);
                self.know(name, file, &trust, Ok(running));
                Ok(loaded)
            }
            Err(error) => {
                // Whoever took the hash away has taken all that was granted.
                if matches!(error, PluginError::NotGranted { .. }) {
                    self.end(name);
                }
                if self.know(name, file, &trust, Err(error.to_string())) {
                    tracing::warn!(plugin = name, "the plugin stays as it was: {error}");
                } else {
                    tracing::error!(plugin = name, "the plugin is not loaded: {error}");
                }
                Err(error)
            }
        }
    }

    /// Loads a plugin again, as its file and the configuration are now. New calls go to it once it has
    /// said what it is; calls that run end with the one before. When anything is wrong, that one
    /// stays. One that the configuration names no longer, or grants nothing, ends.
    pub(crate) async fn reload(&self, name: &str) -> Result<Reloaded, PluginError> {
        let unknown = || PluginError::Unknown(name.to_owned());
        let known = self.known().iter().find(|known| known.name == name).map(|known| {
            (PluginSettings::new(known.name.clone(), known.file.clone()), known.trust.clone())
        });
        let (found, trust) = match known {
            Some((_, Trust::Program)) => return Err(PluginError::OfTheProgram(name.to_owned())),
            Some((settings, trust)) => (Some(settings), trust),
            None => (None, Trust::Hash),
        };
        let configured = self.configured(name).await?;
        let settings = match (&trust, configured, found) {
            (Trust::Hash, Some(configured), _) => configured,
            (Trust::Hash, None, Some(_)) if self.config.is_some() => {
                let _alone = self.loading.lock().await;
                let ran = self.end(name);
                self.known().retain(|known| known.name != name);
                self.count();
                if !ran {
                    return Err(unknown());
                }
                tracing::info!(plugin = name, "the plugin has ended: it is configured no longer");
                return Ok(Reloaded::Ended);
            }
            (Trust::Hash, None, _) => return Err(unknown()),
            (_, Some(configured), Some(found)) => PluginSettings { file: found.file, ..configured },
            (_, None, found) => found.ok_or_else(unknown)?,
            (_, Some(_), None) => return Err(unknown()),
        };
        Ok(Reloaded::Loaded(self.load(&settings, trust).await?))
    }

    /// New calls of a plugin find none from now on; those that run end on it. Returns whether it ran.
    fn end(&self, name: &str) -> bool {
        self.dispatch.unload(name);
        let mut known = self.known();
        let known = known.iter_mut().find(|known| known.name == name);
        known.and_then(|known| known.running.take()).is_some()
    }

    /// A plugin's file that is named for development: its name is the file's, and what it is granted and
    /// may use is as the configuration has it for a plugin of that name.
    pub(crate) async fn in_development(&self, file: &Path) -> Result<PluginSettings, PluginError> {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !is_plugin_name(&stem) {
            return Err(PluginError::Name(stem));
        }
        let configured = self.configured(&stem).await?;
        let settings = configured.unwrap_or_else(|| PluginSettings::new(stem, ""));
        // Below the folder where it is named, and not below the node's.
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        Ok(PluginSettings { file, ..settings })
    }

    /// What the configuration has of a plugin, now.
    async fn configured(&self, name: &str) -> Result<Option<PluginSettings>, PluginError> {
        Ok(self.all_configured().await?.into_iter().find(|plugin| plugin.name == name))
    }

    /// The plugins of the configuration, now; without a file there are none.
    async fn all_configured(&self) -> Result<Vec<PluginSettings>, PluginError> {
        let Some(config) = self.config.clone() else { return Ok(Vec::new()) };
        let settings = tokio::task::spawn_blocking(move || config.settings()).await;
        Ok(settings.map_err(|_| PluginError::Lost)??.plugins)
    }

    async fn try_load(
        &self,
        settings: &PluginSettings,
        trust: &Trust,
    ) -> Result<Running, PluginError> {
        let PluginSettings { name, file, grants, limits, .. } = settings;
        let of_file = |source| PluginError::File { plugin: name.clone(), source };
        let component = file::read(&self.folder.join(file)).await.map_err(of_file)?;
        if *trust == Trust::Hash {
            check_hash(settings, &component)?;
        }
        let Component { bytes, sha256 } = component;
        let size = bytes.len();
        let source = ComponentSource::bytes(bytes);
        let grants = match trust {
            Trust::AnyHash(true) => {
                let runtime = self.dispatch.runtime();
                let looked = runtime.load(name, source.clone(), Grants::default(), *limits);
                looked.await?.plugin.keys().asked.allowed_to_anybody()
            }
            _ => grants.clone(),
        };
        let installed = self.dispatch.load(name, source, grants, *limits).await?;
        Ok(running(installed, sha256, size))
    }

    /// Keeps what is known of a plugin now. Returns whether one of its name runs.
    fn know(
        &self,
        name: &str,
        file: &Path,
        trust: &Trust,
        loaded: Result<Running, String>,
    ) -> bool {
        let mut known = self.known();
        let (file, trust) = (file.to_owned(), trust.clone());
        let place = match known.iter().position(|known| known.name == name) {
            Some(place) => place,
            None => {
                let name = name.to_owned();
                let (file, trust) = (file.clone(), trust.clone());
                known.push(Known { name, file, trust, running: None, error: None });
                known.len() - 1
            }
        };
        let Some(entry) = known.get_mut(place) else { return false };
        (entry.file, entry.trust) = (file, trust);
        match loaded {
            Ok(running) => (entry.running, entry.error) = (Some(running), None),
            Err(error) => entry.error = Some(error),
        }
        let is_running = entry.running.is_some();
        drop(known);
        self.count();
        is_running
    }

    fn count(&self) {
        let known = self.known();
        let running = known.iter().filter(|known| known.running.is_some()).count();
        self.dispatch.metrics().plugins(running, known.len() - running);
    }

    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All plugins, for whoever operates the node: those that are known, and those that the
    /// configuration has got since. Where the two do not agree, `hint` says so.
    pub(crate) async fn shown(&self) -> Value {
        // Without a readable file nothing is known of it, and whoever changes it is told why.
        let configured = match self.config {
            Some(_) => self.all_configured().await.ok(),
            None => None,
        };
        let known = self.known();
        let shown = known.iter().map(|known| {
            let of_it = |all: &Vec<PluginSettings>| {
                all.iter().find(|settings| settings.name == known.name).cloned()
            };
            let mut shown = known.shown();
            if let Some(hint) = configured.as_ref().and_then(|all| known.hint(of_it(all).as_ref()))
            {
                shown["hint"] = json!(hint);
            }
            shown
        });
        let is_new =
            |settings: &&PluginSettings| known.iter().all(|known| known.name != settings.name);
        let new = configured.iter().flatten().filter(is_new).map(|settings| {
            json!({
                "name": settings.name,
                "loaded": false,
                "file": settings.file.to_string_lossy(),
                "hint": not_loaded(settings, "loads it"),
            })
        });
        shown.chain(new).collect()
    }
}

/// What to do to have a plugin of the configuration loaded.
fn not_loaded(settings: &PluginSettings, what: &str) -> String {
    let PluginSettings { name, file, sha256, .. } = settings;
    match sha256 {
        Some(_) => {
            format!("it is granted and not loaded: 'harper-host plugin reload {name}' {what}")
        }
        None => format!(
            "nothing is granted to it: 'harper-host plugin grant {}' does that",
            file.display()
        ),
    }
}

impl Known {
    /// Where this is not what the configuration has of it now, and what to do.
    fn hint(&self, configured: Option<&PluginSettings>) -> Option<String> {
        if self.trust != Trust::Hash {
            return None;
        }
        let reload = format!("'harper-host plugin reload {}'", self.name);
        match (configured, &self.running) {
            (None, Some(_)) => {
                Some(format!("it runs, and is in harperdb-config.yaml no longer: {reload} ends it"))
            }
            (None, None) => None,
            (Some(settings), None) => Some(not_loaded(settings, "tries again")),
            (Some(PluginSettings { sha256: None, .. }), Some(_)) => {
                Some(format!("it runs, and nothing is granted to it any more: {reload} ends it"))
            }
            (Some(settings), Some(Running { plugin, sha256, .. })) => {
                let is_same = settings.sha256.as_ref() == Some(sha256)
                    && settings.grants == plugin.keys().granted
                    && settings.limits == plugin.limits();
                let differs =
                    || format!("it runs as it was granted before: {reload} loads it as it is now");
                (!is_same).then(differs)
            }
        }
    }

    fn shown(&self) -> Value {
        let mut shown = json!({
            "name": self.name,
            "loaded": self.running.is_some(),
        });
        if let Some(error) = &self.error {
            shown["error"] = json!(error);
        }
        if self.trust != Trust::Program {
            shown["file"] = json!(self.file.to_string_lossy());
        }
        if let Some(Running { plugin, sha256, size, operations }) = &self.running {
            let keys = plugin.keys();
            shown["sha256"] = json!(sha256);
            shown["size"] = json!(size);
            shown["operations"] = json!(operations);
            shown["asked"] = grants_to_json(&keys.asked);
            shown["granted"] = grants_to_json(&keys.granted);
        }
        shown
    }
}

fn running(installed: Installed, sha256: String, size: usize) -> Running {
    let Installed { plugin, operations } = installed;
    Running { plugin, sha256, size, operations }
}

/// Whether the file is the one that was granted.
fn check_hash(settings: &PluginSettings, component: &Component) -> Result<(), PluginError> {
    let (plugin, have) = (settings.name.clone(), component.sha256.clone());
    let file = settings.file.to_string_lossy().into_owned();
    match &settings.sha256 {
        None => Err(PluginError::NotGranted { plugin, have, file }),
        Some(want) if *want != have => {
            Err(PluginError::Changed { plugin, have, want: want.clone(), file })
        }
        Some(_) => Ok(()),
    }
}

/// Tells in the log where the two keys do not fit each other.
fn tell_of_keys(plugin: &Plugin, trust: &Trust) {
    let keys = plugin.keys();
    let texts =
        |grants: &[Grant]| grants.iter().map(Grant::to_string).collect::<Vec<_>>().join(", ");
    let not_granted = keys.asked.beyond(&keys.granted);
    if !not_granted.is_empty() {
        let what = texts(&not_granted);
        let how = match trust {
            Trust::AnyHash(false) => {
                "; 'run' grants it with --grant-asked, but for what is the cluster's own"
            }
            _ => "",
        };
        tracing::warn!(
            plugin = plugin.name(),
            "the plugin asks for what it is not granted: {what}{how}"
        );
    }
    let not_asked = keys.granted.beyond(&keys.asked);
    if !not_asked.is_empty() {
        let what = texts(&not_asked);
        tracing::warn!(
            plugin = plugin.name(),
            "the plugin is granted more than it asks for: {what}"
        );
    }
}
