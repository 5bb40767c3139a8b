//! `plugin list` and `plugin reload`: operations on a node that runs.

use anyhow::{Context, Result};
use harper_host::Operation;

use super::super::call::{self, Options};

/// List the plugins of a running node
#[derive(Debug, clap::Args)]
#[command(mut_arg("force", |force| force.hide(true)))]
pub(in crate::cli) struct List {
    #[command(flatten)]
    options: Options,
}

/// Load a plugin of a running node again, as its file and the configuration are now
#[derive(Debug, clap::Args)]
#[command(after_help = "\
New calls go to the new component once it has said what it is; calls that run end on the old one.
When it cannot be loaded, everything stays as it was. One that is in the configuration no longer, or is
granted nothing there, ends.")]
#[command(mut_arg("force", |force| force.hide(true)))]
pub(in crate::cli) struct Reload {
    /// Its name among plugins in harperdb-config.yaml
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    options: Options,
}

impl List {
    pub(super) fn run(self, operations: &[Operation]) -> Result<()> {
        call::call(named(operations, "plugin_list")?, self.options).map(drop)
    }
}

impl Reload {
    pub(super) fn run(mut self, operations: &[Operation]) -> Result<()> {
        self.options.words.push(format!("name={}", self.name));
        call::call(named(operations, "plugin_reload")?, self.options).map(drop)
    }
}

fn named<'o>(operations: &'o [Operation], name: &str) -> Result<&'o Operation> {
    operations.iter().find(|operation| operation.name == name).context("the operation is missing")
}
