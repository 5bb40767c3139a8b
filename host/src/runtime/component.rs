//! Components that were loaded, checked and made ready to be called.

use std::sync::Arc;

use serde_json::Value;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::cache::Cache;
use super::call::State;
use super::idle::Idle;
use super::{Limits, LimitsError, Runtime, precompiled};
use crate::capabilities::Grants;
use crate::metrics::OfPlugin;
use crate::wit::{ExtensionPre, exports::harper::plugin::operations};

/// Where a component comes from.
#[derive(Debug, Clone)]
pub struct ComponentSource(Source);

#[derive(Debug, Clone)]
enum Source {
    Embedded { compiled: &'static [u8], component: &'static [u8] },
    Bytes(Vec<u8>),
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
        Self(Source::Bytes(component.into()))
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
    /// It imports what this host does not have, or does not export what a plugin must.
    #[error("plugin '{plugin}' does not fit harper:plugin@0.1.0: {message}")]
    World {
        /// The plugin's name.
        plugin: String,
        /// What does not fit.
        message: String,
    },
    /// It did not say which operations it has.
    #[error("plugin '{plugin}' could not describe its operations: {message}")]
    Describe {
        /// The plugin's name.
        plugin: String,
        /// What happened.
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

/// A component that is ready to be called.
pub(crate) struct Plugin {
    pub(super) name: Arc<str>,
    pub(super) prepared: ExtensionPre<State>,
    pub(super) grants: Arc<Grants>,
    pub(super) limits: Limits,
    pub(super) counted: OfPlugin,
    /// Kept between calls; none of a plugin that is not the host's own.
    pub(super) idle: Option<Idle>,
}

impl Plugin {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Runtime {
    /// Loads a component and asks it for its operations.
    pub(crate) async fn load(
        &self,
        name: &str,
        source: ComponentSource,
        grants: Grants,
        limits: Limits,
    ) -> Result<(Plugin, Vec<Operation>), LoadError> {
        let plugin = || name.to_owned();
        // Ours by where it is from, not by what it is called.
        let idle = matches!(source.0, Source::Embedded { .. }).then(Idle::default);
        limits.check().map_err(|source| LoadError::Limits { plugin: plugin(), source })?;
        let (engine, cache) = (self.engine.clone(), self.cache.clone());
        // Compiling takes long enough to be kept off the threads that serve requests.
        let component =
            tokio::task::spawn_blocking(move || compile(&engine, source, cache.as_ref()))
                .await
                .map_err(|error| error.to_string())
                .and_then(|compiled| compiled.map_err(|error| format!("{error:#}")))
                .map_err(|message| LoadError::NotAComponent { plugin: plugin(), message })?;

        let kind = component.component_type();
        if let Some((import, _)) =
            kind.imports(&self.engine).find(|(name, _)| name.starts_with("wasi:"))
        {
            return Err(LoadError::Wasi { plugin: plugin(), import: import.to_owned() });
        }
        let prepared =
            self.linker.instantiate_pre(&component).and_then(ExtensionPre::new).map_err(
                |error| LoadError::World { plugin: plugin(), message: format!("{error:#}") },
            )?;
        let (counted, grants) = (OfPlugin::new(name), grants.into());
        let loaded = Plugin { name: name.into(), prepared, grants, limits, counted, idle };
        let operations = match self.describe(&loaded).await {
            Ok(operations) => operations,
            Err(error) => {
                tracing::error!(
                    plugin = name,
                    "the plugin did not describe its operations: {error}"
                );
                let message = error.for_caller("describe");
                return Err(LoadError::Describe { plugin: plugin(), message });
            }
        };
        let operations = operations
            .into_iter()
            .map(|operation| check(operation, name))
            .collect::<Result<_, _>>()?;
        Ok((loaded, operations))
    }
}

fn compile(
    engine: &Engine,
    source: ComponentSource,
    cache: Option<&Cache>,
) -> wasmtime::Result<Component> {
    let component: &[u8] = match &source.0 {
        Source::Bytes(component) => component,
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
