#!/usr/bin/env bash
# Installs what is needed beside Rust: to build, a way to compile to wasm32-unknown-unknown; to run a
# node in a cluster, nats-server; for the tests Node.js, with the npm packages of tests/peers, and
# Python, with what tests/plugins/requirements.txt names. Says what it does, and does nothing when all
# is there. Never changes an installed Rust toolchain but for adding that target, and not even that
# where RUSTUP_AUTO_INSTALL=0 asks to leave rustup alone.
set -euo pipefail
cd "$(dirname "$0")/.."

target=wasm32-unknown-unknown
debian_packages=(rustc-web cargo-web rust-web-src rust-web-llvm lld-22)

say() { printf 'setup: %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif have sudo; then sudo "$@"
    else say "this needs root: $*" >&2; exit 1
    fi
}

install_debian() {
    say "installing Debian's packages $*"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@"
}

# Homebrew's package, or Debian's after it, as far as the system has either.
provide() {
    local of_homebrew=$1
    shift
    if have apt-get; then install_debian "$@"
    elif have brew; then
        say "installing Homebrew's $of_homebrew"
        brew install --quiet "$of_homebrew"
    fi
}

has_target() {
    local libraries
    libraries=$(rustc --print target-libdir --target "$target" 2>/dev/null) && [ -d "$libraries" ]
}

has_debian_toolchain() {
    [ -x /usr/bin/cargo ] && [ -d /usr/lib/rustlib/src/rust/library ] &&
        compgen -G '/usr/lib/rustlib/*/bin/wasm-component-ld' >/dev/null
}

have cargo || { say "Rust is missing: install it from https://rustup.rs" >&2; exit 1; }

if has_target; then
    say "rustc compiles to $target: nothing to do"
elif have rustup && [ "${RUSTUP_AUTO_INSTALL:-1}" != 0 ]; then
    say "adding the target $target to the Rust toolchain in use"
    rustup target add "$target"
elif has_debian_toolchain; then
    say "Debian's rustc-web compiles to $target: nothing to do"
elif have apt-get; then
    install_debian "${debian_packages[@]}"
else
    say "nothing here compiles to $target: run 'rustup target add $target', or install it with" >&2
    say "your system's packages, and try again" >&2
    exit 1
fi

# 2.9 or later.
has_nats_server() {
    local version
    version=$(nats-server --version 2>/dev/null) || return 1
    [[ $version =~ v([0-9]+)\.([0-9]+)\. ]] &&
        ((BASH_REMATCH[1] > 2 || (BASH_REMATCH[1] == 2 && BASH_REMATCH[2] >= 9)))
}

if has_nats_server; then
    say "$(nats-server --version | tr -d :): nothing to do"
else
    provide nats-server nats-server
fi
has_nats_server || {
    say "nats-server 2.9 or later is needed on PATH: install it from https://nats.io/download" >&2
    exit 1
}

# Node.js, and npm beside it.
oldest_node=18
has_node() {
    local version
    have npm && version=$(node --version 2>/dev/null) && version=${version#v} &&
        [ "${version%%.*}" -ge "$oldest_node" ]
}

if has_node; then
    say "Node.js $(node --version) and npm are there: nothing to do"
else
    provide node nodejs npm
    has_node || {
        say "the tests need Node.js $oldest_node or later, with npm: install it from" >&2
        say "https://nodejs.org and try again" >&2
        exit 1
    }
fi

# Moves what was installed aside, in folder $1, to folder $2 as a whole: $3 is its name. So it does no
# harm when two do it at once.
put_in_place() {
    if [ -e "$2/$3" ]; then mv "$2/$3" "$1/old"; fi
    # Somebody else's may be there by now, and is as good.
    mv "$1/$3" "$2" 2>/dev/null || [ -e "$2/$3" ]
}

# The copy of the lock file says what is installed; the tests look at it too.
peers=tests/peers
if cmp -s "$peers/package-lock.json" "$peers/node_modules/installed-lock.json"; then
    say "the npm packages of $peers are there: nothing to do"
else
    say "installing the npm packages of $peers"
    aside=$(mktemp -d "$peers/.install.XXXXXX")
    trap 'rm -rf "$aside"' EXIT
    cp "$peers/package.json" "$peers/package-lock.json" "$peers/.npmrc" "$aside"
    (cd "$aside" && npm ci --silent)
    cp "$aside/package-lock.json" "$aside/node_modules/installed-lock.json"
    put_in_place "$aside" "$peers" node_modules
fi

# Python 3.10 or later, with pip: the plugin in Python is built by componentize-py.
has_python() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null &&
        python3 -m pip --version >/dev/null 2>&1
}

if has_python; then
    say "$(python3 --version) and pip are there: nothing to do"
else
    provide python python3 python3-pip
    has_python || {
        say "the tests need Python 3.10 or later, with pip: install it from" >&2
        say "https://python.org and try again" >&2
        exit 1
    }
fi

plugins=tests/plugins
if cmp -s "$plugins/requirements.txt" "$plugins/python/installed.txt"; then
    say "the Python packages of $plugins are there: nothing to do"
else
    say "installing the Python packages of $plugins"
    python_aside=$(mktemp -d "$plugins/.install.XXXXXX")
    trap 'rm -rf "${aside:-}" "$python_aside"' EXIT
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
        --target "$python_aside/python" --requirement "$plugins/requirements.txt"
    cp "$plugins/requirements.txt" "$python_aside/python/installed.txt"
    put_in_place "$python_aside" "$plugins" python
fi
