#!/usr/bin/env bash
# Builds {{name}}.wasm. This needs a Rust that compiles to wasm32-unknown-unknown.
set -euo pipefail
cd "$(dirname "$0")"
target=wasm32-unknown-unknown

# The linker that yields a component; it comes with Rust.
linker() { compgen -G "$("$1" --print sysroot)/lib/rustlib/*/bin/wasm-component-ld" | head -n 1; }

if libraries=$(rustc --print target-libdir --target "$target" 2>/dev/null) && [ -d "$libraries" ]; then
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$(linker rustc) \
        cargo build --quiet --release --target "$target"
elif [ -x /usr/bin/cargo ] && [ -d /usr/lib/rustlib/src/rust/library ]; then
    # Debian's packages rustc-web cargo-web rust-web-src rust-web-llvm lld-22.
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$(linker /usr/bin/rustc) \
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
        /usr/bin/cargo build --quiet --release -Z build-std=std,panic_abort --target "$target"
else
    echo "Rust cannot compile to $target here: run 'rustup target add $target'" >&2
    exit 1
fi
cp "${CARGO_TARGET_DIR:-target}/$target/release/{{crate}}.wasm" "{{name}}.wasm"
