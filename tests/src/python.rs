//! The plugin in Python, `tests/plugins/count_rows`, built into a component by componentize-py, which
//! `make setup` installs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// The component. It is built once for a state of its sources, and kept in `target`.
///
/// # Errors
///
/// When Python or componentize-py are missing, or another one than `requirements.txt` names; with
/// what to do about it. And when it does not build.
pub fn count_rows() -> anyhow::Result<Vec<u8>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let plugins = tests.join("plugins");
    let (folder, wit) = (plugins.join("count_rows"), tests.join("../wit"));
    let wanted = fs::read(plugins.join("requirements.txt"))?;
    // scripts/setup.sh leaves a copy of what it has installed.
    let tools = plugins.join("python");
    let installed = fs::read(tools.join("installed.txt"))
        .context("componentize-py is missing: run `make setup`")?;
    ensure!(wanted == installed, "componentize-py is another version: run `make setup`");

    let built = target()?.join("count_rows.wasm");
    let sources = [vec![folder.join("app.py"), plugins.join("requirements.txt")], files(&wit)?];
    if is_newer(&built, &sources.concat())? {
        return Ok(fs::read(built)?);
    }
    // Aside, and moved into place whole: another test may build it too.
    let aside = tempfile::Builder::new().suffix(".wasm").tempfile_in(target()?)?.into_temp_path();
    let output = Command::new(tools.join("bin/componentize-py"))
        .env("PYTHONPATH", &tools)
        .arg("--wit-path")
        .arg(&wit)
        .args(["--world", "extension", "componentize", "--stub-wasi", "--python-path"])
        .arg(&folder)
        .arg("--output")
        .arg(&aside)
        .arg("app")
        .output()
        .context("Python is missing: install Python 3.10 or later, and run `make setup`")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    aside.persist(&built)?;
    Ok(fs::read(built)?)
}

/// The folder that cargo builds into: programs of tests are in `<target>/<profile>/deps`.
fn target() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(3).context("the tests are not in a target folder")?.to_owned())
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    Ok(fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?)
}

fn is_newer(built: &Path, sources: &[PathBuf]) -> anyhow::Result<bool> {
    let Ok(built) = fs::metadata(built) else { return Ok(false) };
    let built = built.modified()?;
    for source in sources {
        if fs::metadata(source)?.modified()? >= built {
            return Ok(false);
        }
    }
    Ok(true)
}
