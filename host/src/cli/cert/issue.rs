//! `cert issue`: a bundle for another node.

use std::path::PathBuf;

use anyhow::{Result, bail};
use harper_host::keys;
use serde_json::{Map, Value};

use super::super::output;
use super::super::target::Root;

/// Make a bundle with which another node joins this one's cluster
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The bundle holds a private key and the cluster's password: whoever has it can join. Remove it once
it has been imported.

Where the cluster's password comes from CLUSTERING_PASSWORD or CLUSTERING_PASSWORD_FILE, set it for
this command too.")]
pub(in crate::cli) struct Issue {
    /// The other node's name, its clustering.nodeName
    #[arg(value_name = "NODE")]
    node: String,
    /// A host name or IP address by which nodes reach it; may be given several times
    #[arg(long = "host", value_name = "NAME_OR_IP")]
    hosts: Vec<String>,
    /// Where to write the bundle; without it NODE.json in the current folder
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    root: Root,
}

impl Issue {
    pub(super) fn run(self) -> Result<()> {
        let root = self.root.folder()?;
        let Some(wanted) = super::wanted(&root)? else {
            bail!(
                "there is no node in {}: its first start makes one, or name another folder with \
                 --rootpath or ROOTPATH",
                root.display()
            );
        };
        if super::is_given(&wanted) {
            bail!(
                "this node has the certificates that clustering.tls names in its configuration: \
                 have one issued for {} where these came from",
                output::printable(&self.node)
            );
        }
        let out = self.out.unwrap_or_else(|| format!("{}.json", self.node).into());
        if out.try_exists()? {
            // Before a key is made for nothing.
            return Err(keys::Error::Exists { path: out }.into());
        }
        let issued = keys::issue(&root, &self.node, &self.hosts, &wanted.password)?;
        issued.write(&out)?;
        if self.hosts.is_empty() {
            output::warn(&format!(
                "without --host other nodes take it by the name {} alone, and not by an address",
                self.node
            ));
        }
        let mut more = Map::new();
        more.insert("bundle".into(), Value::from(out.display().to_string()));
        super::print(more, &issued.summary())
    }
}
