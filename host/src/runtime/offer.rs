//! What a component imports and exports, before anything of it runs.

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::LoadError;

/// The version of the package `harper:plugin` that this host has.
pub(crate) const WIT_VERSION: &str = "0.1.0";

/// The package, in front of an interface's name.
const PACKAGE: &str = "harper:plugin/";

/// An interface that a component imports or exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name, such as `harper:plugin/config@0.1.0`.
    pub name: String,
    /// Its functions, as far as the component uses them or has them.
    pub functions: Vec<String>,
}

/// What a component imports, and what it exports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Interfaces {
    pub(crate) imports: Vec<Interface>,
    pub(crate) exports: Vec<Interface>,
}

impl Interfaces {
    pub(super) fn of(component: &Component, engine: &Engine) -> Self {
        let kind = component.component_type();
        let interface = |name: &str, item: ComponentItem| {
            let functions = match item {
                ComponentItem::ComponentInstance(instance) => instance
                    .exports(engine)
                    .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
                    .map(|(function, _)| function.to_owned())
                    .collect(),
                _ => Vec::new(),
            };
            Interface { name: name.to_owned(), functions }
        };
        Self {
            imports: kind.imports(engine).map(|(name, item)| interface(name, item.ty)).collect(),
            exports: kind.exports(engine).map(|(name, item)| interface(name, item.ty)).collect(),
        }
    }

    /// The version of `harper:plugin` that it was built for: the first that is not this host's, if
    /// there is one.
    pub(crate) fn version(&self) -> Option<&str> {
        let all = self.imports.iter().chain(&self.exports);
        let versions = || all.clone().filter_map(|interface| version(&interface.name));
        versions().find(|version| !fits(version)).or_else(|| versions().next())
    }

    /// Whether this host can run it, as far as this shows it.
    pub(super) fn check(&self, plugin: &str) -> Result<(), LoadError> {
        let plugin = || plugin.to_owned();
        if let Some(import) = self.imports.iter().find(|import| import.name.starts_with("wasi:")) {
            return Err(LoadError::Wasi { plugin: plugin(), import: import.name.clone() });
        }
        match self.version() {
            Some(wanted) if !fits(wanted) => {
                Err(LoadError::Version { plugin: plugin(), wants: wanted.to_owned() })
            }
            _ => Ok(()),
        }
    }
}

fn version(interface: &str) -> Option<&str> {
    interface.strip_prefix(PACKAGE)?.split_once('@').map(|(_, version)| version)
}

/// Before 1.0 a new minor version is another interface, and a patch is none.
fn fits(version: &str) -> bool {
    fn track(version: &str) -> Option<(&str, &str)> {
        let (major, rest) = version.split_once('.')?;
        let (minor, patch) = rest.split_once('.')?;
        (!patch.contains('-')).then_some((major, minor))
    }
    track(version).is_some_and(|wanted| Some(wanted) == track(WIT_VERSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_fit_and_other_versions_do_not() {
        for version in [WIT_VERSION, "0.1.7"] {
            assert!(fits(version), "{version}");
        }
        for version in ["0.2.0", "1.1.0", "0.1", "", "0.1.0-rc.1"] {
            assert!(!fits(version), "{version}");
        }
    }
}
