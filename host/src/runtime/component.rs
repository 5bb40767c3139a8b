//! Components that were loaded, checked and made ready to be called.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::cache::Cache;
use super::call::State;
use super::idle::Idle;
use super::offer::Interfaces;
use super::threads::Threads;
use super::{Limits, LimitsError, Runtime, WIT_VERSION, precompiled};
use crate::capabilities::log::Volume;
use crate::capabilities::{Grants, Keys, ManifestError, ReservedError};
use crate::metrics::OfPlugin;
use crate::wit::{ExtensionPre, exports::harper::plugin::operations};

/// Where a component comes from.
#[derive(Debug, Clone)]
pub struct ComponentSource(Source);

#[derive(Debug, Clone)]
enum Source {
    Embedded {
        compiled: &'static [u8],
        component: &'static [u8],
    },
    Bytes(Arc<[u8]>),
    /// To be trusted as the embedded one is.
    Own(Arc<[u8]>),
}

impl ComponentSource {
    /// The clustering plugin that is part of this crate, compiled ahead of time.
    pub fn clustering() -> Self {
        Self(Source::Embedded {
            compiled: include_bytes!(concat!(env!("OUT_DIR"), "/clustering.cwasm")),
            component: crate::CLUSTERING_COMPONENT,
        })
    }

    /// A component as a file has it. It is compiled when it is loaded, which takes some hundred
    /// milliseconds.
    pub fn bytes(component: impl Into<Vec<u8>>) -> Self {
        Self(Source::Bytes(component.into().into()))
    }

    /// The component as a file has it.
    pub(crate) fn component(&self) -> &[u8] {
        match &self.0 {
            Source::Embedded { component, .. } => component,
            Source::Bytes(component) | Source::Own(component) => component,
        }
    }

    /// The same component, as another one of the clustering plugin: what nobody else is granted, it is.
    /// For replaying calls, which reach nothing.
    pub(crate) fn in_place_of_clustering(self) -> Self {
        match self.0 {
            Source::Bytes(component) => Self(Source::Own(component)),
            _ => self,
        }
    }
}

/// An operation, as its plugin describes it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Operation {
    /// The value of `operation` in a request.
    pub name: String,
    /// The name of the plugin that has it; none for an operation of the host's own.
    pub plugin: Option<String>,
    /// Whether only a super_user may call it.
    pub super_user: bool,
    /// Whether it may change anything: such calls stand in the audit log.
    pub changes: bool,
    /// What follows, for an operation that takes something away: whoever calls it by hand is
    /// shown this and asked.
    pub warning: Option<String>,
    /// One line for a list of operations.
    pub help: String,
    /// The JSON schema of the request body. Help on the command line shows the `description` of
    /// each property and the first of the `examples`, a whole request; a key that is not among
    /// `properties` is refused there unless `additionalProperties` allows it. One that is `deprecated`
    /// is an older name of another, and what is `writeOnly` has no place in the audit log.
    pub schema: Value,
}

impl Operation {
    /// An operation for super_users that may change something, and whose body may be any object.
    pub fn new(name: impl Into<String>, help: impl Into<String>) -> Self {
        let schema = serde_json::json!({ "type": "object" });
        let (name, help) = (name.into(), help.into());
        Self { name, plugin: None, super_user: true, changes: true, warning: None, help, schema }
    }

    /// The same, and it changes nothing.
    pub fn read_only(self) -> Self {
        Self { changes: false, ..self }
    }

    /// The same, and it takes something away: a sentence on what follows.
    pub fn with_warning(self, warning: impl Into<String>) -> Self {
        Self { warning: Some(warning.into()), ..self }
    }

    /// The same with another JSON schema of the request body.
    pub fn with_schema(self, schema: Value) -> Self {
        Self { schema, ..self }
    }
}

/// Why a component cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Its limits are more than the host can keep.
    #[error("plugin '{plugin}': {source}")]
    Limits {
        /// The plugin's name.
        plugin: String,
        /// Which limit.
        source: LimitsError,
    },
    /// It is not a component that this host can compile.
    #[error("plugin '{plugin}' is not a WebAssembly component: {message}")]
    NotAComponent {
        /// The plugin's name.
        plugin: String,
        /// What is wrong with it.
        message: String,
    },
    /// It imports WASI, which no plugin is given.
    #[error(
        "plugin '{plugin}' imports {import}: plugins have no WASI; build it for \
         wasm32-unknown-unknown, or stub WASI away (componentize-py: -s, componentize-qjs: \
         --stub-wasi)"
    )]
    Wasi {
        /// The plugin's name.
        plugin: String,
        /// The first such import.
        import: String,
    },
    /// It was built for another version of the interface.
    #[error(
        "plugin '{plugin}' does not fit: this host has harper:plugin@{WIT_VERSION}, and the plugin \
         wants harper:plugin@{wants}; build the plugin with the WIT of this host, or run a host \
         that has {wants}"
    )]
    Version {
        /// The plugin's name.
        plugin: String,
        /// The version that it was built for.
        wants: String,
    },
    /// It imports what this host does not have, or does not export what a plugin must.
    #[error("plugin '{plugin}' does not fit harper:plugin@{WIT_VERSION}: {message}")]
    World {
        /// The plugin's name.
        plugin: String,
        /// What does not fit.
        message: String,
    },
    /// It did not say what it asks for and which operations it has.
    #[error("plugin '{plugin}' could not describe itself: {message}")]
    Describe {
        /// The plugin's name.
        plugin: String,
        /// What happened.
        message: String,
    },
    /// It asks for what there is not.
    #[error("plugin '{plugin}' has a manifest that cannot be one: {source}")]
    Manifest {
        /// The plugin's name.
        plugin: String,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// It would be given what no plugin but the host's own is.
    #[error("plugin '{plugin}' cannot have all of its grants: {source}")]
    Reserved {
        /// The plugin's name.
        plugin: String,
        /// Which grant.
        source: ReservedError,
    },
    /// It says more of its operations than a host keeps.
    #[error(
        "plugin '{plugin}' describes {operations} operations in {bytes} bytes, and at most \
         {MOST_OPERATIONS} in {MOST_DESCRIBED} bytes are taken"
    )]
    TooMuch {
        /// The plugin's name.
        plugin: String,
        /// How many operations.
        operations: usize,
        /// Bytes of their descriptions.
        bytes: usize,
    },
    /// An operation of its is there already.
    #[error(
        "plugin '{plugin}' describes the operation '{operation}', which is there already: it is \
         {owner}"
    )]
    Taken {
        /// The plugin's name.
        plugin: String,
        /// The operation's name.
        operation: String,
        /// Whose it is.
        owner: String,
    },
    /// The WebAssembly runtime does not start on this machine.
    #[error("the WebAssembly runtime does not start: {message}")]
    NoRuntime {
        /// What is wrong.
        message: String,
    },
    /// The system gives it no thread.
    #[error("plugin '{plugin}' cannot run: {message}")]
    NoThreads {
        /// The plugin's name.
        plugin: String,
        /// What the system says.
        message: String,
    },
    /// It describes an operation that cannot be one.
    #[error("plugin '{plugin}' describes the operation '{operation}', {reason}")]
    Operation {
        /// The plugin's name.
        plugin: String,
        /// The operation's name.
        operation: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Operations that one plugin may have, and bytes that all it says of them may take: both are kept
/// as long as the plugin is, and shown to people.
const MOST_OPERATIONS: usize = 200;
const MOST_DESCRIBED: usize = 1 << 20;

/// A component that is ready to be called.
pub(crate) struct Plugin {
    pub(super) name: Arc<str>,
    /// The component's hash, when calls of it are recorded.
    sha256: Option<String>,
    pub(super) prepared: ExtensionPre<State>,
    pub(super) keys: Arc<Keys>,
    pub(super) limits: Limits,
    pub(super) counted: OfPlugin,
    /// What its calls write to the log.
    pub(super) volume: Arc<Volume>,
    /// Kept between calls; none of a plugin that is not the host's own.
    pub(super) idle: Option<Idle>,
    /// Where its calls run; the host's own plugin runs where it is called...
    pub(super) threads: Option<Threads>,
    /// ...and how many of them at the same time.
    pub(super) places: Option<Arc<Semaphore>>,
}

/// A plugin, and what it says of itself.
pub(crate) struct Loaded {
    pub(crate) plugin: Plugin,
    pub(crate) operations: Vec<Operation>,
}

impl Plugin {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }
}

impl Runtime {
    /// Loads a component, and asks it what it asks for and which operations it has. It runs for the
    /// first time then, with nothing granted.
    pub(crate) async fn load(
        &self,
        name: &str,
        source: ComponentSource,
        granted: Grants,
        limits: Limits,
    ) -> Result<Loaded, LoadError> {
        let (component, interfaces) = self.open(name, source).await?;
        self.load_opened(name, component, &interfaces, granted, limits).await
    }

    /// Loads a component that was opened.
    pub(crate) async fn load_opened(
        &self,
        name: &str,
        component: Opened,
        interfaces: &Interfaces,
        granted: Grants,
        limits: Limits,
    ) -> Result<Loaded, LoadError> {
        let plugin = || name.to_owned();
        let Opened { component, is_own, sha256 } = component;
        if !is_own {
            let refused = granted.check_for_third_party();
            refused.map_err(|source| LoadError::Reserved { plugin: plugin(), source })?;
        }
        limits.check().map_err(|source| LoadError::Limits { plugin: plugin(), source })?;
        interfaces.check(name)?;
        let prepared =
            self.linker.instantiate_pre(&component).and_then(ExtensionPre::new).map_err(
                |error| LoadError::World { plugin: plugin(), message: format!("{error:#}") },
            )?;
        let no_threads = |error: std::io::Error| {
            let message = format!("the system gives it no thread: {error}");
            LoadError::NoThreads { plugin: plugin(), message }
        };
        let most_calls = limits.concurrent_calls.min(Semaphore::MAX_PERMITS);
        let mut loaded = Plugin {
            name: name.into(),
            sha256,
            prepared,
            keys: Arc::default(),
            limits,
            counted: OfPlugin::new(name),
            volume: Arc::default(),
            idle: is_own.then(Idle::default),
            threads: if is_own { None } else { Some(Threads::start(name).map_err(no_threads)?) },
            places: (!is_own).then(|| Arc::new(Semaphore::new(most_calls))),
        };
        let (asks, operations) = match self.describe(&loaded).await {
            Ok(described) => described,
            Err(error) => {
                tracing::error!(plugin = name, "the plugin did not describe itself: {error}");
                let message = error.for_caller("describe");
                return Err(LoadError::Describe { plugin: plugin(), message });
            }
        };
        let asked = Grants::asked_by(asks)
            .map_err(|source| LoadError::Manifest { plugin: plugin(), source })?;
        loaded.keys = Arc::new(Keys { asked, granted });
        let operations = check_all(operations, name)?;
        Ok(Loaded { plugin: loaded, operations })
    }

    /// Compiles a component, and looks what it imports and exports. Nothing of it runs.
    pub(crate) async fn open(
        &self,
        name: &str,
        source: ComponentSource,
    ) -> Result<(Opened, Interfaces), LoadError> {
        // Ours by where it is from, not by what it is called.
        let is_own = matches!(source.0, Source::Embedded { .. } | Source::Own(_));
        let sha256 = self.recorder.as_ref().map(|_| crate::plugins::sha256(source.component()));
        let (engine, cache) = (self.engine.clone(), self.cache.clone());
        // It takes long enough to be kept off the threads that serve requests.
        let component =
            tokio::task::spawn_blocking(move || compile(&engine, source, cache.as_ref()))
                .await
                .map_err(|error| error.to_string())
                .and_then(|compiled| compiled.map_err(|error| format!("{error:#}")))
                .map_err(|text| {
                    // The parser shows bytes with a line each.
                    let message = text.split_whitespace().collect::<Vec<_>>().join(" ");
                    LoadError::NotAComponent { plugin: name.to_owned(), message }
                })?;
        let interfaces = Interfaces::of(&component, &self.engine);
        Ok((Opened { component, is_own, sha256 }, interfaces))
    }
}

/// A component that was compiled.
pub(crate) struct Opened {
    component: Component,
    is_own: bool,
    sha256: Option<String>,
}

fn check_all(
    operations: Vec<operations::Operation>,
    plugin: &str,
) -> Result<Vec<Operation>, LoadError> {
    let size = |operation: &operations::Operation| {
        let operations::Operation { name, warning, help, schema, .. } = operation;
        name.len() + warning.as_ref().map_or(0, String::len) + help.len() + schema.len()
    };
    let bytes = operations.iter().map(size).sum();
    if operations.len() > MOST_OPERATIONS || bytes > MOST_DESCRIBED {
        let operations = operations.len();
        return Err(LoadError::TooMuch { plugin: plugin.to_owned(), operations, bytes });
    }
    operations.into_iter().map(|operation| check(operation, plugin)).collect()
}

fn compile(
    engine: &Engine,
    source: ComponentSource,
    cache: Option<&Cache>,
) -> wasmtime::Result<Component> {
    let component: &[u8] = match &source.0 {
        Source::Bytes(component) | Source::Own(component) => component,
        Source::Embedded { compiled, component } => match precompiled::embedded(engine, compiled) {
            Ok(embedded) => return Ok(embedded),
            Err(error) => {
                tracing::info!("the embedded component is compiled for this machine: {error:#}");
                component
            }
        },
    };
    match cache {
        Some(cache) => cache.load(engine, component),
        None => Component::from_binary(engine, component),
    }
}

fn check(operation: operations::Operation, plugin: &str) -> Result<Operation, LoadError> {
    let operations::Operation { name, super_user, changes, warning, help, schema } = operation;
    let is_name = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let schema = serde_json::from_str::<Value>(&schema).ok().filter(Value::is_object);
    let reason = match &schema {
        _ if !is_name => "whose name is not 1 to 64 lower-case letters, digits and _",
        None => "whose schema is not a JSON object",
        Some(_) => "",
    };
    match schema {
        Some(schema) if reason.is_empty() => {
            let plugin = Some(plugin.to_owned());
            Ok(Operation { name, plugin, super_user, changes, warning, help, schema })
        }
        _ => Err(LoadError::Operation {
            plugin: plugin.into(),
            operation: crate::capabilities::log::one_line(&name),
            reason,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As on a machine of another kind than the one that built this.
    #[test]
    fn what_was_compiled_for_another_machine_is_compiled_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("components"));
        let engine = Engine::new(&super::super::engine::config()).unwrap();
        let foreign =
            Source::Embedded { compiled: b"foreign", component: crate::CLUSTERING_COMPONENT };
        compile(&engine, ComponentSource(foreign.clone()), Some(&cache)).unwrap();
        assert_eq!(std::fs::read_dir(folder.path().join("components")).unwrap().count(), 1);
        compile(&engine, ComponentSource(foreign), None).unwrap();
    }

    #[test]
    fn what_this_build_compiled_fits_this_machine() {
        let engine = Engine::new(&super::super::engine::config()).unwrap();
        let Source::Embedded { compiled, .. } = ComponentSource::clustering().0 else {
            panic!("the clustering component is embedded");
        };
        precompiled::embedded(&engine, compiled).unwrap();
    }
}
