//! Builds the plugins that the tests run, into components.

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    match components() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={}", error.to_string().replace('\n', "\ncargo::error="));
            ExitCode::FAILURE
        }
    }
}

/// Each crate, its folder, and the variable that may name a component that is built already.
const PLUGINS: [(&str, &str, &str); 2] = [
    ("harper-hostile", "tests/hostile", "HARPER_HOSTILE_COMPONENT"),
    ("harper-cluster-health", "tests/plugins/cluster_health", "HARPER_CLUSTER_HEALTH_COMPONENT"),
];

fn components() -> Result<(), Box<dyn std::error::Error>> {
    // Asked for now and not when this was compiled: a target folder may be copied.
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("no CARGO_MANIFEST_DIR")?);
    let workspace = here.parent().ok_or("no workspace")?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    for (package, folder, ready) in PLUGINS {
        let component =
            harper_component_build::component(workspace, package, &[folder, "wit"], ready)?;
        fs::copy(component, out.join(format!("{package}.wasm")))?;
    }
    Ok(())
}
