//! `harper-host plugin grant`, at a terminal and without one, and what it does to the configuration.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harper_host::config::FILE_NAME;
use harper_host::plugins::sha256;
use harper_tests::{CLUSTER_HEALTH, HOSTILE};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;

/// The program, which `cargo test --workspace` builds beside the tests.
fn program(root: &Path, words: &[&str]) -> Command {
    let here = std::env::current_exe().unwrap();
    let program: PathBuf = here.ancestors().nth(2).unwrap().join("harper-host");
    assert!(program.exists(), "{} is not there: cargo build --workspace", program.display());
    let mut command = Command::new(program);
    command.args(words).env("ROOTPATH", root).env("HOME", "/nonexistent").current_dir(root);
    command
}

/// What is printed, and the exit code.
fn run(root: &Path, words: &[&str]) -> (i32, String) {
    let output = program(root, words).stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// The same at a terminal, where this is typed.
fn run_at_terminal(root: &Path, words: &[&str], typed: &str) -> (i32, String) {
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let name = ptsname(&keyboard, Vec::new()).unwrap();
    let terminal = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut keyboard = File::from(keyboard);
    keyboard.write_all(typed.as_bytes()).unwrap();
    let handle = || Stdio::from(terminal.try_clone().unwrap());
    let mut child =
        program(root, words).stdin(handle()).stdout(handle()).stderr(handle()).spawn().unwrap();
    drop(terminal);
    let (mut seen, mut bytes) = (Vec::new(), [0; 4096]);
    // It fails when nobody has the terminal open any more.
    while let Ok(count @ 1..) = keyboard.read(&mut bytes) {
        seen.extend_from_slice(&bytes[..count]);
    }
    (child.wait().unwrap().code().unwrap(), String::from_utf8(seen).unwrap().replace('\r', ""))
}

/// The folder of a node with this configuration, and two components.
fn node(config: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(FILE_NAME), config).unwrap();
    fs::create_dir(root.path().join("plugins")).unwrap();
    fs::write(root.path().join("plugins/health.wasm"), CLUSTER_HEALTH).unwrap();
    fs::write(root.path().join("plugins/hostile.wasm"), HOSTILE).unwrap();
    root
}

fn config(root: &TempDir) -> String {
    fs::read_to_string(root.path().join(FILE_NAME)).unwrap()
}

const GRANT: [&str; 3] = ["plugin", "grant", "plugins/health.wasm"];

// covers: plugins.grant.file
#[test]
fn a_grant_is_written_and_no_other_byte_is_changed() {
    let before = "# Ours.\nlogging:\n  level: warn   # Not too much.\n\nplugins:\n# First of all.\n- name: other   # Keep.\n  file: 'other.wasm'\n- name: health\n  file: old.wasm\n  sha256: 0000000000000000000000000000000000000000000000000000000000000000\n  limits: { cpu: 5 }\nlast: \"kept\"\n";
    let root = node(before);
    let words = [&GRANT[..], &["--force"]].concat();
    let (code, printed) = run(root.path(), &words);
    assert_eq!(code, 0, "{printed}");
    let hash = sha256(CLUSTER_HEALTH);
    assert!(printed.contains(&hash) && printed.contains("servers: true"), "{printed}");
    let after = config(&root);
    let (kept, _) = before.split_once("- name: health").unwrap();
    assert!(after.starts_with(kept) && after.ends_with("\nlast: \"kept\"\n"), "{after}");
    let document: serde_json::Value = serde_yaml::from_str(&after).unwrap();
    let expected = serde_json::json!({
        "name": "health",
        // In the node's folder, so that both can be moved.
        "file": "plugins/health.wasm",
        "sha256": hash,
        "limits": { "cpu": 5 },
        "grants": { "nats": { "servers": true }, "tables": { "read": ["ops.nodes"] } },
    });
    assert_eq!(document["plugins"][1], expected);
    assert_eq!(document["plugins"].as_array().unwrap().len(), 2);
    // Once more changes nothing.
    assert_eq!(run(root.path(), &words).0, 0);
    assert_eq!(config(&root), after);
    let (code, shown) = run(root.path(), &["plugin", "inspect", "plugins/health.wasm"]);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("granted  as the plugin 'health'"), "{shown}");
    assert!(shown.contains("nats.servers  yes        yes       yes\n"), "{shown}");
    assert!(shown.contains("tables.read   ops.nodes  yes       ops.nodes\n"), "{shown}");
    let (code, json) = run(root.path(), &["plugin", "inspect", "plugins/health.wasm", "--json"]);
    assert_eq!(code, 0, "{json}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["plugin"], &json["sha256"]), (&"health".into(), &hash.into()));
}

// covers: plugins.grant.asks
#[test]
fn the_operator_is_asked() {
    let root = node("");
    for typed in ["n\n", "\n", "\u{4}"] {
        let (code, seen) = run_at_terminal(root.path(), &GRANT, typed);
        assert_eq!(code, 1, "{seen}");
        assert!(seen.contains("tables.read   ops.nodes"), "{seen}");
        assert!(seen.contains("Grant 'health' all of this? [y/N] "), "{seen}");
        assert!(seen.contains("nothing was granted"), "{seen}");
        assert_eq!(config(&root), "");
    }
    let (code, printed) = run(root.path(), &GRANT);
    assert_eq!(code, 2, "{printed}");
    assert!(printed.contains("there is no terminal to ask on"), "{printed}");
    assert_eq!(config(&root), "");
    let (code, seen) = run_at_terminal(root.path(), &GRANT, "y\n");
    assert_eq!(code, 0, "{seen}");
    assert!(config(&root).contains(&sha256(CLUSTER_HEALTH)));
}
