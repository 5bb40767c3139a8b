//! A node, and the program that calls it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::clustered::CLUSTERED;

/// Nothing here takes longer.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// The password of the user `admin`.
pub const PASSWORD: &str = "s3cret-of-the-test";

/// A running node with the user `admin`, killed when the test is over.
pub struct Node {
    process: Child,
    pub folder: TempDir,
    /// Where it listens, such as `http://127.0.0.1:40123`.
    pub url: String,
}

impl Node {
    /// With plain HTTP.
    pub fn start() -> Self {
        Self::with(&[("OPERATIONSAPI_NETWORK_PORT", "0")])
    }

    /// With plain HTTP, and each call of a plugin is recorded in this file.
    pub fn start_recording(file: &Path) -> Self {
        let mut program = program();
        program.arg("run").arg("--record").arg(file);
        Self::by(program, &[("OPERATIONSAPI_NETWORK_PORT", "0")])
    }

    /// With HTTPS, and a certificate of its own making.
    pub fn start_with_tls() -> Self {
        let ports =
            [("OPERATIONSAPI_NETWORK_PORT", "null"), ("OPERATIONSAPI_NETWORK_SECUREPORT", "0")];
        Self::with(&ports)
    }

    /// With plain HTTP, in a cluster of its own.
    pub fn start_in_a_cluster() -> Self {
        Self::with(&CLUSTERED)
    }

    fn with(settings: &[(&str, &str)]) -> Self {
        let mut program = program();
        program.arg("run");
        Self::by(program, settings)
    }

    fn by(mut program: Command, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = program
            .arg("--rootpath")
            .arg(folder.path())
            .env("HDB_ADMIN_USERNAME", "admin")
            .env("HDB_ADMIN_PASSWORD", PASSWORD)
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("harper-host is ready at ");
        let url = url.unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Self { process, folder, url }
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// The program, without what the environment of whoever runs the tests would tell it.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_harper-host"));
    without_settings(&mut command);
    command
}

/// A shell that finds the program.
pub fn shell(line: &str) -> Command {
    let folder = Path::new(env!("CARGO_BIN_EXE_harper-host")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let python = crate::components::repository().join("tests/plugins/python");
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    command.env("PATH", format!("{}:{}:{path}", folder.display(), python.join("bin").display()));
    without_settings(&mut command);
    // componentize-py, as `make setup` installs it.
    command.env("PYTHONPATH", python);
    command
}

fn without_settings(command: &mut Command) {
    for name in [
        "ROOTPATH",
        "CLI_TARGET",
        "CLI_TARGET_USERNAME",
        "CLI_TARGET_PASSWORD",
        "HDB_ADMIN_USERNAME",
        "HDB_ADMIN_PASSWORD",
        "CLUSTERING_PASSWORD",
        "CLUSTERING_PASSWORD_FILE",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ] {
        command.env_remove(name);
    }
    // What cargo sets for the tests would lead another cargo astray.
    let of_cargo = |name: &str| {
        let prefixes =
            ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH"];
        prefixes.iter().any(|prefix| name.starts_with(prefix))
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(of_cargo) {
            command.env_remove(name);
        }
    }
    // Which are below the home that is taken away.
    for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        let given = std::env::var_os(name).map(std::path::PathBuf::from);
        let default = std::env::home_dir().map(|home| home.join(folder));
        command.envs(given.or(default).map(|folder| (name, folder)));
    }
    // The standard library is built once for all, where it has to be, and nothing is optimised.
    command.env("CARGO_TARGET_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/plugins"));
    for (setting, value) in [("OPT_LEVEL", "1"), ("LTO", "off"), ("CODEGEN_UNITS", "16")] {
        command.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
    // No test may find a node that a developer runs.
    command.env("HOME", "/nonexistent");
}
