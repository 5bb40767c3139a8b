#!/usr/bin/env bash
# Runs each fuzz target for a minute, or for as many seconds as SECONDS_EACH says. Needs a nightly
# Rust toolchain and cargo-fuzz, and installs neither. Inputs that lead somewhere new stay in a target's
# corpus; one that breaks it ends the run, and stays in artifacts/.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${SECONDS_EACH:-60}
nightly=${NIGHTLY:-nightly}

say() { printf 'fuzz: %s\n' "$*"; }

cargo "+$nightly" --version >/dev/null 2>&1 || {
    say "a nightly Rust toolchain is missing: rustup toolchain install nightly" >&2
    exit 1
}
cargo fuzz --version >/dev/null 2>&1 || {
    say "cargo-fuzz is missing: cargo install cargo-fuzz --locked" >&2
    exit 1
}

for folder in plugin/wire/fuzz host/fuzz; do
    for target in "$folder"/fuzz_targets/*.rs; do
        target=$(basename "$target" .rs)
        corpus=$folder/corpus/$target
        mkdir -p "$corpus"
        # Messages that msgpackr has written, to begin with.
        if [ -z "$(ls "$corpus")" ]; then
            grep -oE '"(records|plain)":"[0-9a-f]*"' plugin/wire/tests/vectors.json |
                sed -E 's/.*:"(.*)"/\1/' | sort -u | while read -r hex; do
                printf '%b' "$(sed 's/../\\x&/g' <<<"$hex")" >"$corpus/vector-$(cksum <<<"$hex" | cut -d ' ' -f 1)"
            done
        fi
        # And what is made for this target.
        seeds=()
        if [ -d "$folder/seeds/$target" ]; then seeds=("$folder/seeds/$target"); fi
        say "$folder: $target, $seconds s"
        cargo "+$nightly" fuzz run --fuzz-dir "$folder" "$target" "$corpus" ${seeds[@]+"${seeds[@]}"} -- \
            -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=1024 -malloc_limit_mb=64 \
            -timeout=10 -print_final_stats=1
    done
done
