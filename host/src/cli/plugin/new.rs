//! `plugin new`: a plugin to begin with.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use harper_host::Operation;

use super::super::of_node::is_command;
use super::super::{Usage, output};

/// Make a folder with a plugin to begin with: one operation, in Rust, with tests
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The folder has all that is needed but Rust: './build.sh' builds the component, and 'harper-host
plugin test tests --component NAME.wasm' tests it.")]
pub(in crate::cli) struct New {
    /// What the plugin, its folder and its operation are called
    #[arg(value_name = "NAME")]
    name: String,
    /// Where to make it, instead of NAME in the current folder
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

macro_rules! case {
    ($file:literal) => {
        (concat!("tests/", $file), include_str!(concat!("template/tests/", $file)))
    };
}

macro_rules! wit {
    ($file:literal) => {
        (concat!("wit/", $file), include_str!(concat!("../../../../wit/", $file)))
    };
}

/// Each file of the folder, and what is in it.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("template/Cargo.toml.txt")),
    ("README.md", include_str!("template/README.md")),
    (".gitignore", include_str!("template/gitignore.txt")),
    ("build.sh", include_str!("template/build.sh")),
    ("src/lib.rs", include_str!("template/lib.rs.txt")),
    case!("in-another-language/request.json"),
    case!("in-another-language/cluster.yaml"),
    case!("in-another-language/reply.json"),
    case!("in-another-language/calls.json"),
    case!("unknown-language/request.json"),
    case!("unknown-language/reply.json"),
    case!("unknown-language/calls.json"),
    wit!("world.wit"),
    wit!("types.wit"),
    wit!("manifest.wit"),
    wit!("operations.wit"),
    wit!("config.wit"),
    wit!("node.wit"),
    wit!("nats.wit"),
    wit!("jetstream.wit"),
    wit!("tables.wit"),
    wit!("log.wit"),
    wit!("clock.wit"),
    // Which no other plugin exports or imports; the package is not whole without.
    wit!("peer.wit"),
    wit!("recovery.wit"),
    wit!("replication.wit"),
];

impl New {
    pub(super) fn run(self, operations: &[Operation]) -> Result<()> {
        let name = &self.name;
        if !is_crate_name(name) {
            return Err(Usage(format!(
                "'{}' is no name for a plugin: take up to 60 lower-case letters, digits, - and _, \
                 a letter first",
                output::printable(name)
            ))
            .into());
        }
        // Its one operation would be taken from nobody: the plugin would not load, or not be called.
        let word = name.replace('-', "_");
        let owner = if operations.iter().any(|operation| operation.name == word) {
            Some("an operation that every node has")
        } else {
            is_command(&word).then_some("a command of this program")
        };
        if let Some(owner) = owner {
            return Err(Usage(format!(
                "'{word}' is {owner}, and the plugin's operation would be called so: take another name"
            ))
            .into());
        }
        let folder = self.folder.clone().unwrap_or_else(|| name.into());
        if folder.exists() {
            bail!("{} exists already, and is left as it is", folder.display());
        }
        for (file, text) in FILES {
            write(&folder.join(file), &filled(text, name))
                .with_context(|| format!("{} cannot be written", folder.join(file).display()))?;
        }
        let script = folder.join("build.sh");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        output::print(&format!(
            "made {folder}: build it with {folder}/build.sh\n",
            folder = folder.display()
        ))
    }
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, text)
}

fn filled(text: &str, name: &str) -> String {
    let word = name.replace('-', "_");
    text.replace("{{name}}", name).replace("{{operation}}", &word).replace("{{crate}}", &word)
}

fn is_crate_name(name: &str) -> bool {
    harper_host::plugins::is_plugin_name(name)
        && name.len() <= 60
        && name.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_interface_is_in_the_folder() {
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
        for entry in fs::read_dir(wit).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(FILES.iter().any(|(file, _)| *file == format!("wit/{name}")), "{name}");
        }
    }
}
