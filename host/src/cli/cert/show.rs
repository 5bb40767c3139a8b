//! `cert show`: what the node has.

use anyhow::Result;
use harper_host::keys::{self, Wanted};
use serde_json::{Map, Value};

use super::super::target::Root;

/// Show the node's cluster certificate and its authority
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    root: Root,
}

impl Show {
    pub(super) fn run(self) -> Result<()> {
        let root = self.root.folder()?;
        let wanted = super::wanted(&root)?.unwrap_or_else(|| Wanted::new(&root, ""));
        let summary = keys::show(&wanted)?;
        let mut more = Map::new();
        let file = summary.certificate.display().to_string();
        more.insert("certificate".into(), Value::from(file));
        more.insert("issues".into(), Value::from(summary.issues));
        super::print(more, &summary)
    }
}
