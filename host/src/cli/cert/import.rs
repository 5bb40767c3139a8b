//! `cert import`: taking a bundle that another node issued.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::Result;
use harper_host::{api, keys};
use serde_json::Map;

use super::super::output;
use super::super::target::Root;

/// Take a bundle, to join the cluster of the node that issued it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Best before the node's first start with clustering, which makes a cluster of its own. A node that
runs uses what was imported from its next start on.")]
pub(in crate::cli) struct Import {
    /// The bundle
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Leave the cluster that the node belongs to
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    root: Root,
}

impl Import {
    pub(super) fn run(self) -> Result<()> {
        let root = self.root.folder()?;
        let wanted = super::wanted(&root)?;
        let imported = keys::import(&root, &self.file, self.force)?;
        if let Some(wanted) = wanted {
            if super::is_given(&wanted) {
                output::warn(
                    "the node does not use it for as long as clustering.tls names other \
                     certificates in its configuration",
                );
            } else if !wanted.node_name.is_empty() && wanted.node_name != imported.node {
                output::warn(&format!(
                    "the bundle is for {}, and clustering.nodeName is {}",
                    output::printable(&imported.node),
                    output::printable(&wanted.node_name)
                ));
            }
        }
        if UnixStream::connect(root.join(api::SOCKET_NAME)).is_ok() {
            output::warn("the node runs: it uses what was imported when it is started again");
        }
        if self.file.metadata().is_ok_and(|file| file.permissions().mode() & 0o077 != 0) {
            output::warn(&format!(
                "others on this machine can read {}, and join with it: remove it",
                self.file.display()
            ));
        }
        super::print(Map::new(), &imported.summary)
    }
}
