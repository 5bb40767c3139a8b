//! The program: a node with plugins, and a command line that learns of their operations from it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use harper_tests::plugins::Folder;
use serde_json::json;

const PASSWORD: &str = "s3cret-of-the-test";

/// The program, which `cargo test --workspace` builds beside the tests.
fn program() -> Command {
    let here = std::env::current_exe().unwrap();
    let program: PathBuf = here.ancestors().nth(2).unwrap().join("harper-host");
    assert!(program.exists(), "{} is not there: cargo build --workspace", program.display());
    let mut command = Command::new(program);
    for name in ["ROOTPATH", "CLI_TARGET", "CLI_TARGET_USERNAME", "CLI_TARGET_PASSWORD"] {
        command.env_remove(name);
    }
    command.env_remove("HDB_ADMIN_USERNAME").env_remove("HDB_ADMIN_PASSWORD");
    // No test may find a node that a developer runs.
    command.env("HOME", "/nonexistent");
    command
}

/// A node that runs, killed when the test is over.
struct Node {
    process: Child,
    url: String,
}

impl Node {
    fn start(root: &Path, options: &[&str]) -> Self {
        let mut process = program()
            .args(["run", "--rootpath"])
            .arg(root)
            .args(options)
            .env("HDB_ADMIN_USERNAME", "admin")
            .env("HDB_ADMIN_PASSWORD", PASSWORD)
            .env("OPERATIONSAPI_NETWORK_PORT", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("harper-host is ready at ").unwrap_or_default();
        Self { url: url.to_owned(), process }
    }

    /// Its log, once it has ended.
    fn log(mut self) -> String {
        self.process.kill().unwrap();
        let mut log = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the program prints, errors included, and whether all went well.
fn call(root: &Path, words: &[&str]) -> (bool, String) {
    let output = program().args(words).env("ROOTPATH", root).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

// covers: plugins.command-line
#[test]
fn operations_of_plugins_are_commands() {
    let folder = Folder::new().unwrap();
    let schema = json!({
        "properties": {
            "operation": { "const": "hostile_version" },
            "amount": { "type": "integer", "description": "How much" },
        },
        "required": ["operation"],
    });
    let settings = json!({ "version": 7, "schema": schema });
    let sha256 = folder.component("hostile", &settings).unwrap();
    folder
        .configure(&json!([{ "name": "hostile", "file": "hostile.wasm", "sha256": sha256 }]))
        .unwrap();
    let node = Node::start(folder.path(), &[]);
    let root = folder.path();

    assert_eq!(call(root, &["hostile_version"]), (true, "7\n".into()));
    let (ok, help) = call(root, &["--help"]);
    assert!(ok && help.contains("Operations of the hostile plugin:\n"), "{help}");
    assert!(help.contains("  hostile_version"), "{help}");
    let (ok, help) = call(root, &["hostile_version", "--help"]);
    assert!(ok && help.contains("amount (optional, integer)\n          How much"), "{help}");
    let (ok, error) = call(root, &["hostile_version", "amuont=1"]);
    let text = "'amuont' is no key of hostile_version: did you mean 'amount'?";
    assert!(!ok && error.contains(text), "{error}");
    let (ok, error) = call(root, &["hostile_versoin"]);
    let text = "'hostile_versoin' is no operation: did you mean 'hostile_version'?";
    assert!(!ok && error.contains(text), "{error}");

    // Of another node with a login that need not be asked for.
    let elsewhere = tempfile::tempdir().unwrap();
    let target = format!("target={}", node.url);
    let output = program()
        .args(["hostile_version", &target])
        .env("CLI_TARGET_USERNAME", "admin")
        .env("CLI_TARGET_PASSWORD", PASSWORD)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "7\n");
    let (ok, error) = call(elsewhere.path(), &["hostile_version"]);
    assert!(!ok && error.contains("'hostile_version' is no operation"), "{error}");

    // One that is granted, and not loaded yet.
    let hostile = json!({ "name": "hostile", "file": "hostile.wasm", "sha256": sha256 });
    let late = folder.component("late", &json!({ "prefix": "late" })).unwrap();
    let late = json!({ "name": "late", "file": "late.wasm", "sha256": late });
    folder.configure(&json!([hostile, late])).unwrap();
    let (ok, error) = call(root, &["late_version"]);
    let text = "plugins that are not loaded may have it ('late'): see 'harper-host plugin list', and \
                'harper-host plugin reload late'";
    assert!(!ok && error.contains(text), "{error}");
    assert!(call(root, &["plugin", "reload", "late"]).0);
    assert_eq!(call(root, &["late_version"]), (true, "null\n".into()));

    let (ok, shown) = call(root, &["plugin_list"]);
    assert!(ok && shown.contains(&format!("sha256: {sha256}")), "{shown}");
    let log = node.log();
    assert!(log.contains("the plugin is loaded"), "{log}");
    let text = "the plugin asks for what it is not granted: config.read a, ";
    assert!(log.contains(text), "{log}");
}

// covers: plugins.command-line
#[test]
fn no_plugin_takes_a_command_of_the_program() {
    let folder = Folder::new().unwrap();
    // Its one operation is `cert`, which is for anybody.
    let settings = json!({ "prefix": "cert", "only": "", "open": true });
    let sha256 = folder.component("hostile", &settings).unwrap();
    folder
        .configure(&json!([{ "name": "hostile", "file": "hostile.wasm", "sha256": sha256 }]))
        .unwrap();
    let _node = Node::start(folder.path(), &[]);
    let (ok, help) = call(folder.path(), &["cert", "--help"]);
    assert!(ok && help.contains("issue"), "{help}");
    let (ok, help) = call(folder.path(), &["--help"]);
    assert!(ok && !help.contains("Misbehave"), "{help}");
}

// covers: plugins.keys-told
#[test]
fn where_the_keys_do_not_fit_the_log_says_so() {
    let folder = Folder::new().unwrap();
    let asks = json!({ "tables.read": ["dev.dog"], "nats.servers": true });
    let sha256 = folder.component("hostile", &json!({ "asks": asks })).unwrap();
    folder
        .configure(&json!([{
            "name": "hostile", "file": "hostile.wasm", "sha256": sha256,
            "grants": { "tables": { "read": ["dev.*"] }, "config": { "write": ["a.b"] } },
        }]))
        .unwrap();
    let log = Node::start(folder.path(), &[]).log();
    let asks = "the plugin asks for what it is not granted: nats.servers\"";
    assert!(log.contains(asks), "{log}");
    let granted =
        "the plugin is granted more than it asks for: config.write a.b, tables.read dev.*\"";
    assert!(log.contains(granted), "{log}");
}

// covers: plugins.development
#[test]
fn run_takes_a_plugin_that_is_being_worked_on() {
    let folder = Folder::new().unwrap();
    folder.component("hostile", &json!({ "version": 1 })).unwrap();
    folder.configure(&json!(null)).unwrap();
    let file = folder.path().join("hostile.wasm");
    let log = Node::start(folder.path(), &["--plugin", file.to_str().unwrap()]).log();
    assert!(log.contains("the plugin asks for what it is not granted: config.read a, "), "{log}");
    assert!(log.contains("; 'run' grants it with --grant-asked, but for what is "), "{log}");
    let options = ["--plugin", file.to_str().unwrap(), "--grant-asked"];
    let node = Node::start(folder.path(), &options);
    assert!(!node.url.is_empty());
    let (ok, read) = call(folder.path(), &["hostile_config_get", "path=a.b"]);
    assert!(ok && read == "- '1'\n", "{read}");
    folder.component("hostile", &json!({ "version": 2 })).unwrap();
    let (ok, reloaded) = call(folder.path(), &["plugin_reload", "name=hostile"]);
    assert!(ok, "{reloaded}");
    assert_eq!(call(folder.path(), &["hostile_version"]), (true, "2\n".into()));
    drop(node);

    std::fs::write(&file, "nothing").unwrap();
    let log = Node::start(folder.path(), &options).log();
    assert!(log.contains("plugin 'hostile' is not a WebAssembly component: "), "{log}");
}

// covers: plugins.settings
#[test]
fn what_is_wrong_with_the_list_is_said_with_its_line() {
    let folder = Folder::new().unwrap();
    let text = "a: 1\nplugins:\n- name: x\n  file: x.wasm\n  grants:\n    tables:\n      read: [dev.*, dev]\n";
    std::fs::write(folder.path().join("harperdb-config.yaml"), text).unwrap();
    let log = Node::start(folder.path(), &[]).log();
    let text = "harperdb-config.yaml: 'plugins[0].grants.tables.read[1]' must be a pattern: 'dev' is \
                not database.table, or database.* for all of its tables, or *.* (line 7)";
    assert!(log.contains(text), "{log}");
    let text = "plugins:\n- name: x\n  file: x.wasm\n  grnats: {}\n";
    std::fs::write(folder.path().join("harperdb-config.yaml"), text).unwrap();
    let log = Node::start(folder.path(), &[]).log();
    let text =
        "has keys that mean nothing here: plugins[0].grnats (did you mean plugins[0].grants?)";
    assert!(log.contains(text), "{log}");
}
