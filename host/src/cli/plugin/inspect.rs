//! `plugin inspect`: what a component is, asks for and may do.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use harper_host::plugins::{Description, Door, PluginSettings};
use harper_host::{Grant, Grants, LoadError};
use serde_json::{Value, json};

use super::super::output::printable;
use super::super::target::Root;
use super::super::{output, wait_for};

/// Show what a component is, asks for and may do
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The component is asked in a sandbox, with nothing granted. It may do what stands in all three columns
of the table: what it asks for, what it imports, and what the configuration of the node in DIR grants
exactly this file.")]
pub(in crate::cli) struct Inspect {
    /// The component
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Show it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    root: Root,
}

impl Inspect {
    pub(super) fn run(self) -> Result<()> {
        let description = describe(&self.file)?;
        // Of what is no component there is nothing to show.
        if let Err(error @ LoadError::NotAComponent { .. }) = description.offer {
            return Err(error.into());
        }
        let file = super::configuration(&self.root.folder()?)?;
        let plugins = super::configured(file.as_ref())?;
        let granted = granted_to(&plugins, &description.sha256);
        if self.json {
            let text = serde_json::to_string_pretty(&as_json(&description, granted))?;
            output::print(&format!("{text}\n"))?;
        } else {
            output::print(&as_text(&self.file, &description, granted))?;
        }
        description.offer.map(drop).map_err(anyhow::Error::from)
    }
}

/// What the component in a file is.
pub(super) fn describe(file: &Path) -> Result<Description> {
    wait_for(Description::of(file))?.with_context(|| file.display().to_string())
}

/// The plugin that has these very bytes.
pub(super) fn granted_to<'p>(
    plugins: &'p [PluginSettings],
    sha256: &str,
) -> Option<&'p PluginSettings> {
    plugins.iter().find(|plugin| plugin.sha256.as_deref() == Some(sha256))
}

/// Everything, for people.
pub(super) fn as_text(
    file: &Path,
    description: &Description,
    plugin: Option<&PluginSettings>,
) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "{key:8} {}", printable(value));
    };
    line("file", &file.display().to_string());
    line("size", &format!("{} bytes", description.size));
    line("sha256", &description.sha256);
    line(
        "wit",
        &match &description.wit_version {
            Some(version) => format!("harper:plugin@{version}"),
            None => "none of harper:plugin".into(),
        },
    );
    line(
        "granted",
        &match plugin {
            Some(plugin) => format!("as the plugin '{}'", plugin.name),
            None => "nothing: the configuration does not name this sha256".into(),
        },
    );
    for (title, interfaces) in
        [("imports", &description.imports), ("exports", &description.exports)]
    {
        let _ = writeln!(text, "\n{title}");
        for interface in interfaces {
            let name = printable(&interface.name);
            let _ = match interface.functions.as_slice() {
                // It has types and nothing to call.
                [] => writeln!(text, "  {name}"),
                functions => writeln!(text, "  {name}: {}", printable(&functions.join(", "))),
            };
        }
        if interfaces.is_empty() {
            text += "  nothing\n";
        }
    }
    let Ok(offer) = &description.offer else { return text };
    text += "\noperations\n";
    for operation in &offer.operations {
        let who = if operation.super_user { "super_user" } else { "any role" };
        let what = if operation.changes { "changes" } else { "reads" };
        let help = printable(&operation.help);
        let _ = writeln!(text, "  {} ({who}, {what}): {help}", operation.name);
    }
    let nothing = Grants::default();
    let granted = plugin.map_or(&nothing, |plugin| &plugin.grants);
    text += &table(&description.doors(granted));
    text += &keys(&offer.asked, granted);
    text
}

/// The three keys, a row for each kind of grant of which at least one is there.
fn table(doors: &[Door]) -> String {
    let some = |door: &&Door| !door.asked.is_empty() || door.imported || !door.granted.is_empty();
    let list = |patterns: &[String]| match patterns {
        [] => "-".to_owned(),
        patterns => printable(&patterns.join(", ")),
    };
    let imported = |door: &Door| if door.imported { "yes" } else { "-" }.to_owned();
    let heading = ["", "asked", "imported", "granted"].map(str::to_owned);
    let rows = doors
        .iter()
        .filter(some)
        .map(|door| [door.kind.to_owned(), list(&door.asked), imported(door), list(&door.granted)]);
    let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut text = String::from("\n");
    for [kind, asked, imported, granted] in &rows {
        let [first, second, third] = widths;
        let line = format!("{kind:first$}  {asked:second$}  {imported:third$}  {granted}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let none: Vec<_> = doors.iter().filter(|door| !some(door)).map(|door| door.kind).collect();
    if !none.is_empty() {
        let _ = writeln!(text, "\nnothing at all of {}", none.join(", "));
    }
    text
}

/// Where the two keys do not fit each other.
fn keys(asked: &Grants, granted: &Grants) -> String {
    let texts = |grants: Vec<Grant>| {
        grants.iter().map(|grant| printable(&grant.to_string())).collect::<Vec<_>>().join(", ")
    };
    let mut text = String::new();
    let mut line = |what: &str, grants: String| {
        if !grants.is_empty() {
            let _ = writeln!(text, "{what}: {grants}");
        }
    };
    // Where nothing is, the table says it.
    if *granted != Grants::default() {
        line("asked for and not granted", texts(asked.beyond(granted)));
    }
    line("granted and not asked for", texts(granted.beyond(asked)));
    if let Err(error) = asked.check_for_third_party() {
        line("never granted", printable(&error.to_string()));
    }
    text
}

fn as_json(description: &Description, plugin: Option<&PluginSettings>) -> Value {
    let interfaces = |interfaces: &[harper_host::Interface]| -> Value {
        let shown =
            |one: &harper_host::Interface| json!({ "name": one.name, "functions": one.functions });
        interfaces.iter().map(shown).collect()
    };
    let nothing = Grants::default();
    let granted = plugin.map_or(&nothing, |plugin| &plugin.grants);
    let doors: Vec<_> = description
        .doors(granted)
        .iter()
        .map(|door| {
            json!({
                "kind": door.kind,
                "asked": door.asked,
                "imported": door.imported,
                "granted": door.granted,
            })
        })
        .collect();
    let operations: Vec<_> = description
        .offer
        .iter()
        .flat_map(|offer| &offer.operations)
        .map(|operation| {
            json!({
                "name": operation.name,
                "super_user": operation.super_user,
                "changes": operation.changes,
                "warning": operation.warning,
                "help": operation.help,
                "schema": operation.schema,
            })
        })
        .collect();
    json!({
        "sha256": description.sha256,
        "size": description.size,
        "wit": description.wit_version,
        "plugin": plugin.map(|plugin| plugin.name.as_str()),
        "imports": interfaces(&description.imports),
        "exports": interfaces(&description.exports),
        "operations": operations,
        "grants": doors,
    })
}
