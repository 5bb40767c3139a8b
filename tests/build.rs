//! Builds the plugins that the tests run, into components.

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    match hostile_component() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={}", error.to_string().replace('\n', "\ncargo::error="));
            ExitCode::FAILURE
        }
    }
}

fn hostile_component() -> Result<(), Box<dyn std::error::Error>> {
    // Asked for now and not when this was compiled: a target folder may be copied.
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("no CARGO_MANIFEST_DIR")?);
    let workspace = here.parent().ok_or("no workspace")?;
    let component = harper_component_build::component(
        workspace,
        "harper-hostile",
        &["tests/hostile", "wit"],
        "HARPER_HOSTILE_COMPONENT",
    )?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    fs::copy(component, out.join("hostile.wasm"))?;
    Ok(())
}
