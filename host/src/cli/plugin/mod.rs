//! `plugin`: the plugins of others, for those who write them and for those who run them.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `new.rs`, `template/` | `new`: a plugin to begin with |
//! | `test.rs` | `test`: a component against cases that are folders |
//! | `inspect.rs` | `inspect`: what a component is, asks for and may do |
//! | `grant.rs` | `grant`: allows a component what it asks for |
//! | `running.rs` | `list` and `reload`: the plugins of a node that runs |

mod grant;
mod inspect;
mod new;
mod running;
mod test;

use std::path::Path;

use anyhow::{Context, Result};
use harper_host::Operation;
use harper_host::config::{self, ConfigFile};
use harper_host::plugins::{PluginSettings, is_plugin_name};

use super::{Usage, run};

/// Make, test, look at and grant plugins
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A new plugin, from nothing to a running node:

  harper-host plugin new greeter && cd greeter && ./build.sh
  harper-host plugin test tests --component greeter.wasm
  harper-host plugin inspect greeter.wasm
  harper-host plugin grant greeter.wasm
  harper-host plugin reload greeter")]
pub(super) struct Plugin {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    New(new::New),
    Test(test::Test),
    Inspect(inspect::Inspect),
    Grant(grant::Grant),
    List(running::List),
    Reload(running::Reload),
}

impl Plugin {
    /// `operations` are those that this program's nodes have.
    pub(super) fn run(self, operations: &[Operation]) -> Result<()> {
        match self.command {
            Command::New(new) => new.run(operations),
            Command::Test(test) => test.run(),
            Command::Inspect(inspect) => inspect.run(),
            Command::Grant(grant) => grant.run(),
            Command::List(list) => list.run(operations),
            Command::Reload(reload) => reload.run(operations),
        }
    }
}

/// What a component is called: by its file.
fn name_of(file: &Path) -> Result<String> {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if is_plugin_name(stem) {
        return Ok(stem.to_owned());
    }
    Err(Usage(format!(
        "'{}' is no name for a plugin: give one of 1 to 64 lower-case letters, digits, - and _ \
         with --name",
        super::output::printable(stem)
    ))
    .into())
}

/// The configuration of the node in this folder; none where there is no node.
fn configuration(root: &Path) -> Result<Option<ConfigFile>> {
    let file = root.join(config::FILE_NAME);
    if !file.try_exists().context("the node's folder cannot be read")? {
        return Ok(None);
    }
    Ok(Some(ConfigFile::with_overrides(file, run::overrides()?)?))
}

/// The plugins of a node's configuration.
fn configured(file: Option<&ConfigFile>) -> Result<Vec<PluginSettings>> {
    Ok(file
        .map(ConfigFile::settings)
        .transpose()?
        .map(|settings| settings.plugins)
        .unwrap_or_default())
}
