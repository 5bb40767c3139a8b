//! `cert`: the certificates with which the nodes of a cluster know each other.
//!
//! They are files of a node on this machine; no node need run for it.

mod import;
mod issue;
mod show;

use std::path::Path;

use anyhow::Result;
use harper_host::config::{self, ConfigFile};
use harper_host::keys::{Summary, Wanted};
use serde_json::{Map, Value, json};

use super::{cluster, output, run};

/// Issue, import and show the certificates of a cluster's nodes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
To let a second node join: issue a bundle for it on the first, copy it there, import it there.

  first$  harper-host cert issue node2 --host 10.0.0.2 --out node2.json
  second$ harper-host cert import node2.json")]
pub(super) struct Cert {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Issue(issue::Issue),
    Import(import::Import),
    Show(show::Show),
}

impl Cert {
    pub(super) fn run(self) -> Result<()> {
        match self.command {
            Command::Issue(issue) => issue.run(),
            Command::Import(import) => import.run(),
            Command::Show(show) => show.run(),
        }
    }
}

/// The node's name and files, as its configuration has them; none when it has no configuration yet.
fn wanted(root: &Path) -> Result<Option<Wanted>> {
    let file = root.join(config::FILE_NAME);
    if !file.try_exists()? {
        return Ok(None);
    }
    let settings = ConfigFile::with_overrides(file, run::overrides()?)?.settings()?;
    Ok(Some(cluster::wanted(root, &settings.clustering)?))
}

/// Whether the operator gives the files, so that those in `keys/` are not used.
fn is_given(wanted: &Wanted) -> bool {
    wanted.certificate.is_some()
        || wanted.private_key.is_some()
        || wanted.certificate_authority.is_some()
}

/// Prints what a node has, or gets, after what `more` says.
fn print(more: Map<String, Value>, summary: &Summary) -> Result<()> {
    let mut reply = more;
    let mut add = |key: &str, value: Value| drop(reply.insert(key.into(), value));
    add("node", summary.node.as_str().into());
    add("names", summary.names.clone().into());
    add("expires", summary.expires.to_string().into());
    add("sha256", summary.fingerprint.as_str().into());
    add(
        "authority",
        json!({
            "sha256": summary.authority_fingerprint,
            "expires": summary.authority_expires.to_string(),
        }),
    );
    output::print(&output::yaml(Value::Object(reply).to_string().as_bytes())?)
}
