//! Nodes with other people's plugins: a folder with a configuration and with plugins' files, of which
//! hosts are made.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use harper_host::config::{ConfigFile, FILE_NAME};
use harper_host::{BuildError, Caller, Entry, Error, Host, HostBuilder, Log, plugins};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hostile::hostile;

/// A node's folder, in which its configuration and the files of plugins are. Hosts of one folder
/// share what was compiled.
pub struct Folder(TempDir);

impl Folder {
    /// An empty one.
    pub fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes the file of a hostile plugin with these settings, and returns its hash.
    pub fn component(&self, name: &str, settings: &Value) -> Result<String> {
        let bytes = hostile(settings);
        std::fs::write(self.path().join(format!("{name}.wasm")), &bytes)?;
        Ok(plugins::sha256(&bytes))
    }

    /// Writes the configuration, in which these are `plugins`.
    pub fn configure(&self, plugins: &Value) -> Result<()> {
        let document = json!({ "a": { "b": 1, "c": 2 }, "plugins": plugins });
        std::fs::write(self.path().join(FILE_NAME), serde_yaml::to_string(&document)?)?;
        Ok(())
    }

    /// A host with the plugins of the configuration.
    pub async fn host(&self) -> Result<PluginNode> {
        Ok(self.host_with(|host| host).await?)
    }

    /// The same, which is given more.
    pub async fn host_with(
        &self,
        give: impl FnOnce(HostBuilder) -> HostBuilder,
    ) -> Result<PluginNode, BuildError> {
        let file = ConfigFile::open(self.path().join(FILE_NAME))?;
        // What is wrong with it the host says when it is asked.
        let plugins = file.settings().map(|settings| settings.plugins).unwrap_or_default();
        let logged = Logged::default();
        let builder = Host::builder().root_path(self.path()).log(logged.clone());
        let host = give(builder).plugins(plugins).build().await?;
        Ok(PluginNode { host, logged })
    }
}

/// A host, and what its plugins have logged.
#[derive(Clone)]
pub struct PluginNode {
    /// The host.
    pub host: Host,
    /// What its plugins have logged.
    pub logged: Logged,
}

impl PluginNode {
    /// Sends a request as a super_user.
    pub async fn send(&self, request: Value) -> Result<Value, Error> {
        self.host.dispatch(&Caller::super_user("admin"), request).await
    }

    /// The same: the reply, or the error's text.
    pub async fn ask(&self, request: Value) -> Result<Value, String> {
        self.send(request).await.map_err(|error| error.message)
    }

    /// What the node knows of the plugin of this name; null when it knows of none.
    pub async fn plugin(&self, name: &str) -> Value {
        let all = self.send(json!({ "operation": "plugin_list" })).await.unwrap_or_default();
        let mut all = all.as_array().into_iter().flatten();
        all.find(|plugin| plugin["name"] == name).cloned().unwrap_or_default()
    }

    /// Has the plugin of this name loaded again.
    pub async fn reload(&self, name: &str) -> Result<Value, String> {
        self.ask(json!({ "operation": "plugin_reload", "name": name })).await
    }
}

/// What plugins log.
#[derive(Clone, Default)]
pub struct Logged(Arc<Mutex<Vec<String>>>);

impl Logged {
    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Log for Logged {
    fn write(&self, entry: &Entry<'_>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(entry.message.to_owned());
    }
}
