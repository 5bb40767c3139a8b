//! The scripts in `tests/peers`, which speak as a Harper node does with the npm packages that one
//! uses. `make setup` installs these, so that tests need no network and none waits for another.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

/// A command that runs a script of `tests/peers`.
///
/// # Errors
///
/// When Node.js or the packages are missing, or others than `package-lock.json` names; with what
/// to do about it.
pub fn command(script: &str) -> anyhow::Result<Command> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let wanted = std::fs::read(folder.join("package-lock.json"))?;
    // scripts/setup.sh leaves a copy of what it has installed.
    let installed = std::fs::read(folder.join("node_modules/installed-lock.json"))
        .context("the npm packages of tests/peers are missing: run `make setup`")?;
    ensure!(wanted == installed, "the npm packages of tests/peers are old: run `make setup`");

    let mut command = Command::new("node");
    let version = Command::new("node").arg("--version").output();
    version
        .context("Node.js is missing: run `make setup`, or install it from https://nodejs.org")?;
    command.arg(folder.join(script)).current_dir(folder);
    Ok(command)
}
