//! How wasmtime is set up. The build script includes this file too: a component that was compiled
//! with other settings is refused when it is loaded.

use wasmtime::{Config, Engine, Result};

/// The settings that compiled code depends on.
pub(crate) fn config() -> Config {
    let mut config = Config::new();
    // A guest that loops is interrupted, and yields to other calls before that (`call.rs`).
    config.epoch_interruption(true);
    // A trap's backtrace names the guest's functions in the log.
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(16));
    // What no plugin needs is no way in.
    config.wasm_memory64(false);
    config.wasm_relaxed_simd(false);
    // What wasmtime makes to join the parts of a component, such as stubs of WASI, has the memories of
    // both; without this it panics on such a component.
    config.wasm_multi_memory(true);
    config
}

/// Compiles a component ahead of time, to be embedded, for any machine of the target's kind: the
/// building machine's own processor features are not used.
#[allow(dead_code, reason = "for the build script")]
pub(crate) fn precompile(component: &[u8], target: &str) -> Result<Vec<u8>> {
    Engine::new(config().target(target)?)?.precompile_component(component)
}
