//! `plugin test`: a component against cases that are folders.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use harper_host::files;
use harper_host::plugins::Description;
use harper_host::testing::{Case, Tested};

use super::super::{output, wait_for};

/// Run a component against test cases, on a node that is not there
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A case is a folder with request.json, what must come of it in reply.json, and, where it matters,
what the node is like in cluster.yaml and what is asked of it in calls.json. Nothing is started,
and time does not really pass. The plugin is granted all that it asks for.")]
pub(in crate::cli) struct Test {
    /// The cases: each folder in it with a request.json
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The component
    #[arg(long, value_name = "FILE")]
    component: PathBuf,
    /// Write what comes as what must come, instead of comparing; look at the difference then
    #[arg(long)]
    write: bool,
}

impl Test {
    pub(super) fn run(self) -> Result<()> {
        let cases = Case::all_in(&self.folder)?;
        if cases.is_empty() {
            bail!("there are no cases in {}: none has a request.json", self.folder.display());
        }
        let component =
            files::read(&self.component).with_context(|| self.component.display().to_string())?;
        let name = super::name_of(&self.component).unwrap_or_else(|_| "plugin".into());
        wait_for(async {
            let offer = Description::of_bytes(component.clone()).await.offer?;
            let plugin = Tested::new(name, component, offer.asked)?;
            match self.write {
                true => self.write(&cases, &plugin).await,
                false => self.compare(&cases, &plugin).await,
            }
        })?
    }

    async fn compare(&self, cases: &[Case], plugin: &Tested) -> Result<()> {
        let mut failed = 0;
        for case in cases {
            let wrong = case.run(plugin).await?;
            failed += usize::from(!wrong.is_empty());
            let what = if wrong.is_empty() { "ok" } else { "FAILED" };
            output::print(&format!("{what:8}{}\n", self.name_of(case)))?;
            for text in wrong {
                output::print(&format!("{}\n", indented(&text)))?;
            }
        }
        match failed {
            0 => output::print(&format!("{} passed\n", cases.len())),
            _ => bail!("{failed} of {} failed", cases.len()),
        }
    }

    async fn write(&self, cases: &[Case], plugin: &Tested) -> Result<()> {
        for case in cases {
            let written = case.write(plugin).await?;
            if !written.is_empty() {
                output::print(&format!(
                    "wrote {} of {}\n",
                    written.join(", "),
                    self.name_of(case)
                ))?;
            }
        }
        Ok(())
    }

    fn name_of(&self, case: &Case) -> String {
        let name = case.folder().strip_prefix(&self.folder).unwrap_or(case.folder());
        output::printable(&name.display().to_string())
    }
}

/// Below the line that names the case; what a plugin says does not move the cursor.
fn indented(text: &str) -> String {
    let lines: Vec<_> =
        text.lines().map(|line| format!("        {}", output::printable(line))).collect();
    lines.join("\n")
}
