//! A node as users run it: the program in a process of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use harper_host::config::FILE_NAME;
use tempfile::TempDir;

use crate::client::Target;

const PASSWORD: &str = "a password for benchmarks";

/// The program. This one is in the folder `deps` beside it.
pub(crate) fn program() -> Result<PathBuf> {
    let program =
        std::env::current_exe()?.ancestors().nth(2).context("a target folder")?.to_owned();
    let program = program.join("harper-host");
    ensure!(program.exists(), "{} is not there: cargo build --release", program.display());
    Ok(program)
}

/// A folder for a node, on the disk that builds are on and not in memory. It goes when it is
/// dropped.
pub(crate) fn folder() -> Result<TempDir> {
    Ok(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}

/// A node that runs. It is killed when it is dropped.
pub(crate) struct Node {
    process: Child,
    /// Where it is, and who asks it.
    pub(crate) target: Target,
}

impl Node {
    /// Starts a node in `root`, and waits until it says that it is ready.
    pub(crate) fn start(root: &Path) -> Result<Self> {
        let mut process = Command::new(program()?)
            .args(["run", "--rootpath"])
            .arg(root)
            .env("HDB_ADMIN_USERNAME", "admin")
            .env("HDB_ADMIN_PASSWORD", PASSWORD)
            .env("OPERATIONSAPI_NETWORK_PORT", "0")
            .stdout(Stdio::piped())
            .stderr(File::create(root.join("node.log"))?)
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().context("its output")?).read_line(&mut line)?;
        let address = line.trim().rsplit('/').next().and_then(|address| address.parse().ok());
        let address = address.with_context(|| log(root))?;
        Ok(Self { process, target: Target { address, password: PASSWORD.into() } })
    }

    /// Bytes of memory that it has in use, as the kernel counts them.
    pub(crate) fn memory(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024.0)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn log(root: &Path) -> String {
    fs::read_to_string(root.join("node.log")).unwrap_or_default()
}

/// Bytes of a node's configuration file.
pub(crate) fn config_size(root: &Path) -> Result<usize> {
    Ok(fs::metadata(root.join(FILE_NAME))?.len().try_into()?)
}
