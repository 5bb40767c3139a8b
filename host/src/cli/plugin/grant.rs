//! `plugin grant`: allows a component what it asks for.

use std::io::{Write, stderr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use harper_host::config::ConfigFile;
use harper_host::plugins::{Description, grants_to_json, is_plugin_name};
use harper_host::{Change, Config, ConfigError, Grants};
use serde_json::{Value, json};

use super::super::target::Root;
use super::super::{Usage, output, prompt, wait_for};
use super::inspect;

/// Attempts to write while others write too.
const ATTEMPTS: u32 = 10;

/// The key of the plugins in the configuration.
const PLUGINS: &str = "plugins";

/// Allow a component what it asks for, by this node's configuration
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes the file, its sha256 and the grants into harperdb-config.yaml; no other byte of it changes. To
grant less, or other limits, edit it there. A node that runs loads the plugin by 'harper-host plugin
reload NAME', others at their start. Another file in its place is not loaded.")]
pub(in crate::cli) struct Grant {
    /// The component
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What the plugin is called; without it, as the file is
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Do not ask
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    root: Root,
}

impl Grant {
    pub(super) fn run(self) -> Result<()> {
        let name = match &self.name {
            Some(name) if is_plugin_name(name) => name.clone(),
            Some(name) => super::name_of(Path::new(name))?,
            None => super::name_of(&self.file)?,
        };
        let root = self.root.folder()?;
        let Some(config) = super::configuration(&root)? else {
            bail!(
                "there is no node in {}: its first start makes one, or name another folder with \
                 --rootpath or ROOTPATH",
                root.display()
            );
        };
        let described = inspect::describe(&self.file)?;
        let asked = match &described.offer {
            Ok(offer) => offer.asked.clone(),
            Err(_) => return described.offer.map(drop).map_err(anyhow::Error::from),
        };
        asked.check_for_third_party().context("not everything that it asks for can be granted")?;
        self.confirm(&name, &described, &config)?;
        let file = written_as(&self.file, &root)?;
        let grant = Granted { name, file, sha256: described.sha256, grants: asked };
        wait_for(grant.write(&config))??;
        output::print(&output::yaml(grant.entry(Value::Null).to_string().as_bytes())?)
    }

    /// Asks whoever is at the terminal, and is an error unless they say yes.
    fn confirm(&self, name: &str, described: &Description, config: &ConfigFile) -> Result<()> {
        if self.force {
            return Ok(());
        }
        if !prompt::can_ask() {
            return Err(Usage(
                "a grant is for you to look at, and there is no terminal to ask on: see 'harper-host \
                 plugin inspect', then call it with --force"
                    .into(),
            )
            .into());
        }
        let plugins = super::configured(Some(config))?;
        let granted = inspect::granted_to(&plugins, &described.sha256);
        write!(stderr(), "{}", inspect::as_text(&self.file, described, granted))?;
        match prompt::ask(&format!("Grant '{name}' all of this? [y/N] "))?.to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => bail!("nothing was granted"),
        }
    }
}

/// Relative to the node's folder where it is in it, so that both can be moved together.
fn written_as(file: &Path, root: &Path) -> Result<String> {
    let file = file.canonicalize().with_context(|| file.display().to_string())?;
    let root = root.canonicalize()?;
    let written = file.strip_prefix(&root).unwrap_or(&file);
    written.to_str().map(str::to_owned).context("the file's path is no text")
}

struct Granted {
    name: String,
    file: String,
    sha256: String,
    grants: Grants,
}

impl Granted {
    /// The plugin as the configuration has it, on top of what was there of it: its limits stay.
    fn entry(&self, before: Value) -> Value {
        let mut entry = match before {
            Value::Object(entry) => entry,
            _ => Default::default(),
        };
        for (key, value) in [
            ("name", json!(self.name)),
            ("file", json!(self.file)),
            ("sha256", json!(self.sha256)),
            ("grants", grants_to_json(&self.grants)),
        ] {
            entry.insert(key.into(), value);
        }
        if entry.get("grants").and_then(Value::as_object).is_some_and(|grants| grants.is_empty()) {
            entry.shift_remove("grants");
        }
        Value::Object(entry)
    }

    /// The list with this plugin in it, in the place of one of its name.
    fn listed(&self, plugins: &Value) -> Result<Value> {
        let mut list = match plugins {
            Value::Null => Vec::new(),
            Value::Array(list) => list.clone(),
            _ => bail!("'{PLUGINS}' in the configuration is no list"),
        };
        match list.iter_mut().find(|plugin| plugin["name"] == self.name.as_str()) {
            Some(place) => *place = self.entry(place.take()),
            None => list.push(self.entry(Value::Null)),
        }
        Ok(list.into())
    }

    async fn write(&self, config: &ConfigFile) -> Result<()> {
        let path = || PLUGINS.parse::<harper_host::KeyPath>();
        for _ in 0..ATTEMPTS {
            let read = config.get(vec![path()?]).await?;
            let value = self.listed(read.values.first().unwrap_or(&Value::Null))?;
            let changes = vec![Change { path: path()?, value }];
            match config.set(read.revision, changes).await {
                Err(ConfigError::Conflict) => {}
                written => return Ok(written.map(drop)?),
            }
        }
        Err(ConfigError::Conflict.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_replaces_the_one_before_and_keeps_limits() {
        let mut grants = Grants::default();
        grants.nats.servers = true;
        let granted =
            Granted { name: "a".into(), file: "a.wasm".into(), sha256: "1".into(), grants };
        let entry = json!({
            "name": "a", "file": "a.wasm", "sha256": "1", "grants": { "nats": { "servers": true } },
        });
        assert_eq!(granted.listed(&Value::Null).unwrap(), json!([entry]));
        let before =
            json!([{ "name": "b" }, { "name": "a", "sha256": "0", "limits": { "cpu": 1 } }]);
        let after = granted.listed(&before).unwrap();
        assert_eq!(after[0], json!({ "name": "b" }));
        assert_eq!(after[1]["sha256"], "1");
        assert_eq!(after[1]["limits"], json!({ "cpu": 1 }));
        assert!(granted.listed(&json!({})).is_err());
    }
}
