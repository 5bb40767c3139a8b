# What to type. The README explains.
#
# No target selects packages with -p: cargo would see other features, and build wasmtime once more.
.PHONY: setup build run test soak lint fuzz component bench

# What a build and the tests need beside Rust; does nothing when it is there.
setup:
	@scripts/setup.sh

build: setup
	cargo build

# A node, and the document's requests played against it. Serves on until Ctrl-C on a terminal.
run: build
	@cargo run --quiet --example tour

# Most tests wait for servers most of the time: more of them at once than there are processors.
test: export RUST_TEST_THREADS ?= 4
test: setup
	cargo test --workspace
	cargo run --quiet --example embed

# The tests that find more the longer they run: a node is killed 200 times while it writes, and a
# table has a million rows, and rows flow between nodes to which everything happens.
soak: setup
	HARPER_FLOW_SEEDS=5000 cargo test --workspace --lib flow::simulation -- --nocapture
	HARPER_CRASH_ROUNDS=200 HARPER_ROWS=1000000 \
		cargo test --workspace --test crash --test many_rows --test rows -- --nocapture

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

# Each fuzz target for a minute. Needs a nightly toolchain and cargo-fuzz, and says how to get them.
fuzz:
	@scripts/fuzz.sh

# The component and its WIT, for hosts of your own: target/dist/.
component: setup
	@scripts/component.sh

# What the host costs, against bare versions of the same, as a table. CHECK=1 fails when a floor is
# missed; ONLY="dispatch start" measures only these. The first one takes some ten minutes: nothing
# is built in the release profile yet. For figures that can be compared nothing else should run.
bench: setup
	cargo build --release
	cargo bench --workspace --bench bench -- $(if $(CHECK),--check) $(ONLY)
