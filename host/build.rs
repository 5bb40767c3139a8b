//! Builds the clustering plugin into a component and compiles that ahead of time, so that the
//! host starts in milliseconds.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

#[path = "src/runtime/engine.rs"]
mod engine;

fn main() -> ExitCode {
    match embed_component() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={}", error.to_string().replace('\n', "\ncargo::error="));
            ExitCode::FAILURE
        }
    }
}

fn embed_component() -> Result<(), Box<dyn Error>> {
    // Asked for now and not when this was compiled: a target folder may be copied.
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("no CARGO_MANIFEST_DIR")?);
    let workspace = here.parent().ok_or("no workspace")?;
    let component = harper_component_build::component(
        workspace,
        "harper-clustering",
        &["plugin/src", "plugin/Cargo.toml", "plugin/wire/src", "plugin/wire/Cargo.toml", "wit"],
        "HARPER_CLUSTERING_COMPONENT",
    )?;
    println!("cargo::rerun-if-changed=src/runtime/engine.rs");
    let component = fs::read(component)?;
    let compiled = engine::precompile(&component, &env::var("TARGET")?)?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    fs::write(out.join("clustering.wasm"), component)?;
    fs::write(out.join("clustering.cwasm"), compiled)?;
    Ok(())
}
