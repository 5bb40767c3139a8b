//! What a component is, asks for and has, read off its file without a node.

use std::path::Path;

use super::file::{self, FileError};
use super::is_plugin_name;
use crate::capabilities::Grants;
use crate::describe;
use crate::runtime::{ComponentSource, Interface, Limits, LoadError, Operation};

/// What a component without a name is called in errors.
const UNNAMED: &str = "plugin";

/// A component as it presents itself.
#[derive(Debug)]
#[non_exhaustive]
pub struct Description {
    /// The file's SHA-256, in lower-case hex: what grants are bound to.
    pub sha256: String,
    /// The file's bytes.
    pub size: usize,
    /// The version of `harper:plugin` that it was built for; none when it has nothing of it.
    pub wit_version: Option<String>,
    /// What it imports.
    pub imports: Vec<Interface>,
    /// What it exports.
    pub exports: Vec<Interface>,
    /// What it says of itself; or why this host cannot run it.
    pub offer: Result<Offer, LoadError>,
}

/// What a plugin says of itself.
#[derive(Debug)]
#[non_exhaustive]
pub struct Offer {
    /// Its operations.
    pub operations: Vec<Operation>,
    /// What it asks for.
    pub asked: Grants,
}

/// A kind of grant: what is asked for, whether the component could use it, and what is granted. It may
/// do what stands in all three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// The kind: one of [`Grants::KINDS`].
    pub kind: &'static str,
    /// The patterns that the plugin asks for; `yes` for what has none.
    pub asked: Vec<String>,
    /// Whether it imports a function that needs this.
    pub imported: bool,
    /// The patterns that it is granted; `yes` for what has none.
    pub granted: Vec<String>,
}

impl Description {
    /// Reads a file. The component runs in a sandbox with nothing granted, to say what it is.
    ///
    /// # Errors
    ///
    /// The file cannot be read. That it is no component is said in [`offer`](Self::offer).
    pub async fn of(path: &Path) -> Result<Self, FileError> {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let name = stem.filter(|stem| is_plugin_name(stem)).unwrap_or(UNNAMED);
        Ok(Self::of_component(name, file::read(path).await?).await)
    }

    /// The same of a file's bytes.
    pub async fn of_bytes(bytes: Vec<u8>) -> Self {
        let sha256 = super::sha256(&bytes);
        Self::of_component(UNNAMED, file::Component { bytes, sha256 }).await
    }

    async fn of_component(name: &str, component: file::Component) -> Self {
        let file::Component { bytes, sha256 } = component;
        let mut description = Self {
            sha256,
            size: bytes.len(),
            wit_version: None,
            imports: Vec::new(),
            exports: Vec::new(),
            offer: Ok(Offer { operations: Vec::new(), asked: Grants::default() }),
        };
        description.offer = description.read(name, bytes).await;
        description
    }

    async fn read(&mut self, name: &str, bytes: Vec<u8>) -> Result<Offer, LoadError> {
        let host = describe::host()
            .await
            .map_err(|error| LoadError::NoRuntime { message: error.to_string() })?;
        let runtime = host.runtime();
        let source = ComponentSource::bytes(bytes);
        let (component, interfaces) = runtime.open(name, source).await?;
        self.wit_version = interfaces.version().map(str::to_owned);
        self.imports = interfaces.imports.clone();
        self.exports = interfaces.exports.clone();
        let (grants, limits) = (Grants::default(), Limits::default());
        let loaded = runtime.load_opened(name, component, &interfaces, grants, limits).await?;
        let asked = loaded.plugin.keys().asked.clone();
        Ok(Offer { operations: loaded.operations, asked })
    }

    /// For each kind of grant what is asked for, what is imported, and what of it is granted.
    pub fn doors(&self, granted: &Grants) -> Vec<Door> {
        let asked = self.offer.as_ref().map(|offer| offer.asked.listed()).unwrap_or_default();
        let granted = granted.listed();
        let door = |kind: &'static str| {
            let of = |grants: &[crate::capabilities::Grant]| {
                let of_kind = grants.iter().filter(|grant| grant.kind == kind);
                of_kind.map(|grant| grant.pattern.clone()).collect()
            };
            Door {
                kind,
                asked: of(&asked),
                imported: self.imports_for(kind),
                granted: of(&granted),
            }
        };
        Grants::KINDS.into_iter().map(door).collect()
    }

    fn imports_for(&self, kind: &str) -> bool {
        let (interface, functions): (&str, &[&str]) = match kind {
            "config.read" => ("config", &["get"]),
            "config.write" => ("config", &["set"]),
            "nats.request" => ("nats", &["request"]),
            "nats.servers" => ("nats", &["servers"]),
            "jetstream.inspect" => ("jetstream", &["inspect"]),
            "jetstream.purge" => ("jetstream", &["purge"]),
            "tables.read" => ("tables", &["get", "list"]),
            "tables.write" => ("tables", &["put", "delete"]),
            "tables.create" => ("tables", &["create", "create-all"]),
            "tables.describe" => ("tables", &["describe"]),
            _ => ("replication", &["ensure-streams", "settle"]),
        };
        let name = format!("harper:plugin/{interface}@");
        let imported = self.imports.iter().filter(|import| import.name.starts_with(&name));
        imported.flat_map(|import| &import.functions).any(|one| functions.contains(&one.as_str()))
    }
}
