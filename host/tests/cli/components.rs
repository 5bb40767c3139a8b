//! Components for sessions at a shell.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder with `clustering.wasm`, the clustering plugin; `older.wasm`, which wants another version of
/// the interface; `wasi.wasm`, which wants WASI; `text.wasm`, which is none.
pub fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("clustering.wasm", harper_host::CLUSTERING_COMPONENT);
    let wat = |text: &str| wat::parse_str(text).unwrap();
    write("older.wasm", &wat(r#"(component (import "harper:plugin/log@0.0.9" (instance)))"#));
    write("wasi.wasm", &wat(r#"(component (import "wasi:cli/environment@0.2.0" (instance)))"#));
    write("text.wasm", b"no component");
    folder
}

/// The folder of the workspace.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
