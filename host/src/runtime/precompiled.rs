//! Components that were compiled before: the embedded one, and those in the cache folder.

#![allow(unsafe_code, reason = "loading machine code cannot be checked; the callers vouch for it")]

use std::path::Path;

use wasmtime::component::Component;
use wasmtime::{Engine, Result};

/// Loads a component that this crate's build script compiled. Fails when it was compiled for
/// another kind of machine.
pub(super) fn embedded(engine: &Engine, compiled: &'static [u8]) -> Result<Component> {
    // SAFETY: the bytes are part of this binary: who could change them could change anything.
    unsafe { Component::deserialize(engine, compiled) }
}

/// Loads a component from the cache folder.
pub(super) fn cached(engine: &Engine, file: &Path) -> Result<Component> {
    // SAFETY: `cache.rs` opens the folder only when it belongs to this user, who alone may write
    // to it, and it names files by what they were compiled from.
    unsafe { Component::deserialize_file(engine, file) }
}
