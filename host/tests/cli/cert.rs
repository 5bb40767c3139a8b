//! `cert` when it is killed, called several times at once, or told a secret.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::node::{DEADLINE, program};

/// What a first node makes, in this order.
const MADE: [&str; 3] = ["cluster-password", "cluster-ca-key.pem", "cluster-ca.pem"];

/// The folder of a node that has never been started.
fn node() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("harperdb-config.yaml"), "").unwrap();
    root
}

fn cert(root: &Path, arguments: &[&str]) -> Command {
    let mut command = program();
    command.arg("cert").args(arguments).arg("--rootpath").arg(root).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn done(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// A bundle for a node of this name, below the folder of the one that issues it.
fn bundle(root: &Path, name: &str) -> PathBuf {
    let file = root.join(format!("{name}.json"));
    done(cert(root, &["issue", name, "--host", "10.0.0.2", "--out", file.to_str().unwrap()]));
    file
}

fn json(bundle: &Path) -> Value {
    serde_json::from_slice(&fs::read(bundle).unwrap()).unwrap()
}

fn key(root: &Path, name: &str) -> Option<Vec<u8>> {
    fs::read(root.join("keys").join(name)).ok()
}

/// SIGKILL as soon as `now` is true, or at its own end.
fn kill_when(mut process: Child, now: impl Fn() -> bool) {
    let begun = Instant::now();
    while !now() && process.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < DEADLINE);
        std::thread::yield_now();
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

// covers: keys.killed.issue
#[test]
fn an_issue_that_was_killed_leaves_one_authority() {
    for awaited in ["cluster.lock"].iter().chain(&MADE) {
        let root = node();
        let at = root.path();
        let out = at.join("killed.json");
        let issue = cert(at, &["issue", "killed", "--out", out.to_str().unwrap()]).spawn();
        kill_when(issue.unwrap(), || at.join("keys").join(awaited).exists());
        let before = MADE.map(|name| key(at, name));
        let made = json(&bundle(at, "node2"));
        for (name, before) in MADE.iter().zip(before) {
            assert!(before.is_none() || key(at, name) == before, "{name}, killed at {awaited}");
        }
        let left = fs::read_dir(at.join("keys")).unwrap().flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name().into_string().unwrap()).collect();
        assert_eq!(left.len(), MADE.len() + 1, "no left-overs: {left:?}");
        if out.exists() {
            assert_eq!(json(&out)["certificateAuthority"], made["certificateAuthority"]);
        }
    }
}

// covers: keys.killed.import
#[test]
fn an_import_that_was_killed_leaves_one_cluster() {
    let (one, other) = (node(), node());
    let bundles = [bundle(one.path(), "node2"), bundle(other.path(), "node2")];
    let known = bundles.clone().map(|file| json(&file));
    for awaited in ["cluster-import.json", "cluster-password", "cluster-ca.pem", "cluster-key.pem"]
    {
        let second = tempfile::tempdir().unwrap();
        let at = second.path();
        done(cert(at, &["import", bundles[0].to_str().unwrap()]));
        let before = key(at, awaited);
        let import = cert(at, &["import", bundles[1].to_str().unwrap(), "--force"]).spawn();
        kill_when(import.unwrap(), || key(at, awaited) != before);
        done(cert(at, &["show"]));
        let text = |name| String::from_utf8(key(at, name).unwrap()).unwrap();
        let has_all = |bundle: &&Value| {
            bundle["password"] == text("cluster-password").trim_end()
                && bundle["certificateAuthority"] == text("cluster-ca.pem")
                && bundle["privateKey"] == text("cluster-key.pem")
                && bundle["certificate"] == text("cluster-certificate.pem")
        };
        assert!(known.iter().any(|bundle| has_all(&bundle)), "killed at {awaited}");
        assert_eq!(key(at, "cluster-import.json"), None);
    }
}

// covers: keys.at-once.processes
#[test]
fn processes_that_start_at_once_make_one_authority() {
    let root = node();
    let names = ["a", "b", "c", "d"];
    let start = |name: &&str| {
        let out = root.path().join(format!("{name}.json"));
        cert(root.path(), &["issue", name, "--out", out.to_str().unwrap()]).spawn().unwrap()
    };
    let started: Vec<_> = names.iter().map(start).collect();
    for process in started {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let bundles = names.map(|name| json(&root.path().join(format!("{name}.json"))));
    for bundle in &bundles {
        for shared in ["certificateAuthority", "password"] {
            assert_eq!(bundle[shared], bundles[0][shared]);
        }
    }
}

// covers: keys.password.never-printed
#[test]
fn no_secret_is_printed() {
    let (root, second) = (node(), node());
    let out = root.path().join("b.json");
    let out = out.to_str().unwrap();
    let mut printed = String::new();
    let mut play = |mut command: Command, variable: &str| {
        let output = command.env("CLUSTERING_PASSWORD", variable).output().unwrap();
        printed += &String::from_utf8_lossy(&output.stdout);
        printed += &String::from_utf8_lossy(&output.stderr);
    };
    play(cert(root.path(), &["issue", "node2", "--out", out]), "w0rd-of-the-env");
    play(cert(second.path(), &["import", out]), "");
    play(cert(second.path(), &["show"]), "");
    play(cert(root.path(), &["issue", "node3", "--out", out]), "w0rd-of-the-env");
    play(cert(root.path(), &["issue", "node3"]), "w0rd-of-the-env\nand more");
    let broken = fs::read_to_string(out).unwrap().replace("\"certificate\"", "\"certificat\"");
    fs::write(root.path().join("broken.json"), broken).unwrap();
    let broken = root.path().join("broken.json");
    play(cert(second.path(), &["import", broken.to_str().unwrap()]), "");
    assert!(!printed.contains("w0rd-of-the-env"), "{printed}");
    let private_key = json(Path::new(out))["privateKey"].as_str().unwrap().to_owned();
    assert!(private_key.lines().all(|line| !printed.contains(line)), "{printed}");
    assert!(
        printed.contains("control characters") && printed.contains("is no bundle"),
        "{printed}"
    );
}
