//! Other people's plugins, as the configuration has them: one file a concern.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod budgets;
mod clashes;
mod command_line;
mod doors;
mod granted;
mod misfits;
mod openapi;
mod reload;

use std::path::Path;
use std::sync::{Arc, Mutex};

use harper_host::config::{ConfigFile, FILE_NAME};
use harper_host::{BuildError, Caller, Entry, Error, Host, HostBuilder, Log, plugins};
use harper_tests::hostile::hostile;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A node with a folder, in which its configuration and the files of plugins are.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a plugin's file, and returns its hash.
    fn component(&self, name: &str, settings: &Value) -> String {
        let bytes = hostile(settings);
        std::fs::write(self.path().join(format!("{name}.wasm")), &bytes).unwrap();
        plugins::sha256(&bytes)
    }

    /// Writes the configuration, in which these are `plugins`.
    fn configure(&self, plugins: &Value) {
        let text = serde_yaml::to_string(&json!({ "a": { "b": 1, "c": 2 }, "plugins": plugins }));
        std::fs::write(self.path().join(FILE_NAME), text.unwrap()).unwrap();
    }

    async fn host(&self) -> Node {
        self.host_with(|host| host).await
    }

    async fn host_with(&self, give: impl FnOnce(HostBuilder) -> HostBuilder) -> Node {
        self.try_host_with(give).await.unwrap()
    }

    /// A host with the plugins of the configuration.
    async fn try_host_with(
        &self,
        give: impl FnOnce(HostBuilder) -> HostBuilder,
    ) -> Result<Node, BuildError> {
        let settings = ConfigFile::open(self.path().join(FILE_NAME)).unwrap().settings().unwrap();
        let logged = Logged::default();
        let builder = Host::builder().root_path(self.path()).log(logged.clone());
        let host = give(builder).plugins(settings.plugins).build().await?;
        Ok(Node { host, logged })
    }
}

/// A host, and what its plugins have logged.
#[derive(Clone)]
struct Node {
    host: Host,
    logged: Logged,
}

impl Node {
    async fn send(&self, request: Value) -> Result<Value, Error> {
        self.host.dispatch(&Caller::super_user("admin"), request).await
    }

    /// The reply, or the error's text.
    async fn ask(&self, request: Value) -> Result<Value, String> {
        self.send(request).await.map_err(|error| error.message)
    }

    /// What the node knows of the plugin of this name.
    async fn plugin(&self, name: &str) -> Value {
        let all = self.send(json!({ "operation": "plugin_list" })).await.unwrap();
        let mut all = all.as_array().unwrap().clone().into_iter();
        all.find(|plugin| plugin["name"] == name).unwrap_or_default()
    }

    async fn reload(&self, name: &str) -> Result<Value, String> {
        self.ask(json!({ "operation": "plugin_reload", "name": name })).await
    }
}

/// What plugins log.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<String>>>);

impl Logged {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Log for Logged {
    fn write(&self, entry: &Entry<'_>) {
        self.0.lock().unwrap().push(entry.message.to_owned());
    }
}

/// A plugin `hostile` with these grants and limits, allowed by its hash.
async fn node(grants: Value, limits: Value) -> (Folder, Node) {
    let folder = Folder::new();
    let sha256 = folder.component("hostile", &json!({}));
    folder.configure(&json!([{
        "name": "hostile", "file": "hostile.wasm", "sha256": sha256, "grants": grants,
        "limits": limits,
    }]));
    let node = folder.host().await;
    (folder, node)
}
