//! Builds a plugin crate of this workspace into a WebAssembly component, from a build script.
//!
//! The component's target is `wasm32-unknown-unknown` and not `wasm32-wasip2`, so that it imports
//! nothing but what its WIT world says. Two toolchains can make it (`make setup` installs one):
//! the `rustc` that builds the host, when it has the target; else Debian's `rustc-web`, which
//! builds the standard library from source.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TARGET: &str = "wasm32-unknown-unknown";

/// The profile of the workspace's Cargo.toml that components are built with.
const PROFILE: &str = "component";

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable that cargo sets for build scripts is missing.
    #[error("{0} is not set: call this from a build script")]
    NotABuildScript(&'static str),
    /// Neither toolchain is there.
    #[error(
        "no Rust toolchain here can compile to {TARGET}: run `make setup`, or `rustup target add {TARGET}`"
    )]
    NoToolchain,
    /// The inner cargo failed; its standard error.
    #[error("cargo could not build the component of {package}:\n{stderr}")]
    Cargo {
        /// The package that was being built.
        package: String,
        /// What cargo printed.
        stderr: String,
    },
    /// A file or a command could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What went wrong.
        source: io::Error,
    },
}

/// Builds `package` of the workspace in `workspace` and returns the component's path.
///
/// When the variable `ready` holds an absolute path, that component is taken instead and nothing
/// is built: packagers build it once, elsewhere. Cargo is told to run the build script again when
/// the variable, the workspace's manifests or anything in `sources` changes.
pub fn component(
    workspace: &Path,
    package: &str,
    sources: &[&str],
    ready: &str,
) -> Result<PathBuf, Error> {
    println!("cargo::rerun-if-env-changed={ready}");
    if let Some(path) = env::var_os(ready).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        println!("cargo::rerun-if-changed={}", path.display());
        return path.metadata().map(|_| path.clone()).map_err(|source| Error::Io {
            what: format!("{ready} names {}", path.display()),
            source,
        });
    }
    for source in sources.iter().chain(&["Cargo.toml", "Cargo.lock"]) {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let target_dir = target_dir()?;
    let toolchain = Toolchain::find()?;
    let output = run(toolchain.command(workspace, &target_dir, package))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Cargo { package: package.into(), stderr });
    }
    let file = format!("{}.wasm", package.replace('-', "_"));
    Ok(target_dir.join(TARGET).join(PROFILE).join(file))
}

/// A folder of the inner cargo's own, since the outer one holds the lock of its target folder;
/// always the same one, so that the standard library is compiled once.
fn target_dir() -> Result<PathBuf, Error> {
    let out = PathBuf::from(cargo_variable("OUT_DIR")?);
    // <target>/[<triple>/]<profile>/build/<package>/out; the tag marks <target>.
    let target = out.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    Ok(target.unwrap_or(&out).join(PROFILE))
}

enum Toolchain {
    /// It has the target: its standard library comes compiled.
    WithTarget { rustc: OsString, cargo: OsString, linker: PathBuf },
    /// Debian's packages rustc-web, cargo-web and rust-web-src.
    Debian { linker: PathBuf },
}

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

impl Toolchain {
    fn find() -> Result<Self, Error> {
        let host = cargo_variable("HOST")?.to_string_lossy().into_owned();
        let (rustc, cargo) = (cargo_variable("RUSTC")?, cargo_variable("CARGO")?);
        if let Some(linker) = linker(&rustc, &host)
            && print(&rustc, &["--target", TARGET, "--print", "target-libdir"])
                .is_some_and(|libraries| Path::new(&libraries).is_dir())
        {
            return Ok(Self::WithTarget { rustc, cargo, linker });
        }
        let debian = OsString::from(DEBIAN_RUSTC);
        match linker(&debian, &host) {
            Some(linker) if Path::new(DEBIAN_CARGO).exists() => Ok(Self::Debian { linker }),
            _ => Err(Error::NoToolchain),
        }
    }

    fn command(&self, workspace: &Path, target_dir: &Path, package: &str) -> Command {
        let (cargo, rustc, linker) = match self {
            Self::WithTarget { rustc, cargo, linker } => (cargo.clone(), rustc.clone(), linker),
            Self::Debian { linker } => (DEBIAN_CARGO.into(), DEBIAN_RUSTC.into(), linker),
        };
        let mut command = Command::new(cargo);
        // What the outer cargo sets for its build scripts would lead the inner one astray.
        for (name, _) in env::vars_os() {
            if !is_for_the_inner_cargo(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        command
            .current_dir(workspace)
            .env("RUSTC", rustc)
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
            // No path of the building machine in what is shipped.
            .env("CARGO_ENCODED_RUSTFLAGS", remap(workspace))
            .args(["build", "--package", package, "--lib", "--profile", PROFILE])
            .args(["--target", TARGET, "--target-dir"])
            .arg(target_dir);
        if matches!(self, Self::Debian { .. }) {
            // `-Z build-std` is for nightly; Debian's is a release that can do it all the same.
            command.env("RUSTC_BOOTSTRAP", "1").args(["-Z", "build-std=std,panic_abort"]);
        }
        command
    }
}

fn remap(workspace: &Path) -> OsString {
    let mut flags = OsString::from("--remap-path-prefix=");
    flags.push(workspace);
    flags.push("=.");
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    if let Some(home) = home {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(home);
        flags.push("=cargo");
    }
    flags
}

fn is_for_the_inner_cargo(name: &str) -> bool {
    let kept = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_TERM_"];
    let dropped = ["CARGO", "RUSTC", "RUSTDOC", "DEP_", "RUSTFLAGS", "RUSTUP_TOOLCHAIN"];
    let dropped_names = [
        "LD_LIBRARY_PATH",
        "MAKEFLAGS",
        "MFLAGS",
        "MAKELEVEL",
        "TARGET",
        "HOST",
        "OUT_DIR",
        "PROFILE",
        "OPT_LEVEL",
        "DEBUG",
        "NUM_JOBS",
    ];
    kept.iter().any(|prefix| name.starts_with(prefix))
        || !(dropped.iter().any(|prefix| name.starts_with(prefix)) || dropped_names.contains(&name))
}

/// The linker that yields a component; it comes with Rust, next to `rust-lld`.
fn linker(rustc: &OsString, host: &str) -> Option<PathBuf> {
    let sysroot = print(rustc, &["--print", "sysroot"])?;
    let linker = Path::new(&sysroot).join("lib/rustlib").join(host).join("bin/wasm-component-ld");
    linker.exists().then_some(linker)
}

fn print(rustc: &OsString, arguments: &[&str]) -> Option<String> {
    let output = Command::new(rustc).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn run(mut command: Command) -> Result<Output, Error> {
    command.output().map_err(|source| Error::Io { what: format!("running {command:?}"), source })
}

fn cargo_variable(name: &'static str) -> Result<OsString, Error> {
    env::var_os(name).ok_or(Error::NotABuildScript(name))
}
