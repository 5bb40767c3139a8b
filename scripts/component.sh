#!/usr/bin/env bash
# Writes the component and its WIT to target/dist, for hosts in any language.
set -euo pipefail
cd "$(dirname "$0")/.."

dist=target/dist
rm -rf "$dist"
mkdir -p "$dist/wit"
cargo run --quiet --example component -- "$dist/clustering.wasm"
cp wit/*.wit "$dist/wit/"
cp LICENSE "$dist/"
printf 'The component and its WIT are in %s:\n' "$dist"
(cd "$dist" && sha256sum clustering.wasm && ls wit)
