//! The configuration file, through the public API: many writers, killed writers, disks that are
//! full, and files that are not what they should be.

mod at_once;
mod kept;
mod refused;
mod seen;
mod together;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use harper_host::config::FILE_NAME;
use harper_host::{Caller, Error, Host};
use harper_tests::Node;
use serde_json::{Value, json};

/// No test waits longer for anything.
const SOON: Duration = Duration::from_secs(20);

const ALL_THE_WHILE: &str = "The configuration file is being changed by others all the while; nothing was changed, try again";

const HUB: &str = "clustering.hubServer.cluster.network.routes";

/// A file that somebody keeps by hand: what is outside of the list must stay.
const HEAD: &str = "# kept by hand\nclustering:\n  hubServer:\n    cluster:\n      network:\n        \
                    routes:";
const TAIL: &str = "\n# the list ends above\nother: \"x\"   # the end\n";

/// The file without a route.
fn no_routes() -> String {
    format!("{HEAD} null{TAIL}")
}

async fn node() -> Node {
    Node::with_config(&no_routes()).await.unwrap()
}

fn file(node: &Node) -> PathBuf {
    node.folder.path().join(FILE_NAME)
}

fn route(host: &str) -> Value {
    json!({ "host": host, "port": 9932 })
}

fn set_request(host: &str) -> Value {
    json!({ "operation": "cluster_set_routes", "server": "hub", "routes": [route(host)] })
}

async fn set(host: &Host, route: &str) -> Result<Value, Error> {
    host.dispatch(&Caller::super_user("admin"), set_request(route)).await
}

/// The hosts of the hub's list, as cluster_get_routes shows it.
async fn hub(node: &Node) -> Vec<String> {
    let routes = node.send(json!({ "operation": "cluster_get_routes" })).await.unwrap();
    hosts(&routes["hub"])
}

fn hosts(routes: &Value) -> Vec<String> {
    let routes = routes.as_array().into_iter().flatten();
    routes.map(|route| route["host"].as_str().unwrap().to_owned()).collect()
}

/// The hosts of the hub's list in a document.
fn hub_in(document: &Value) -> Vec<String> {
    hosts(HUB.split('.').fold(document, |value, key| &value[key]))
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What the backups say, the oldest first.
fn backups(node: &Node) -> Vec<String> {
    let folder = node.folder.path().join("backup");
    names(&folder).iter().map(|name| fs::read_to_string(folder.join(name)).unwrap()).collect()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Asks again and again until it is so.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        std::thread::yield_now();
    }
}

/// A process of its own: see `src/bin/config-writer.rs`. It is killed when it is dropped.
struct Writer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What a writer said until its end.
#[derive(Debug, Default)]
struct Said {
    acknowledged: Vec<String>,
    errors: Vec<String>,
    routes: Option<Value>,
}

impl Writer {
    /// Starts one, and waits until it is ready. `wrapper` is a command that runs it.
    fn start(wrapper: &[&str], arguments: &[&str]) -> Self {
        let mut words = wrapper.to_vec();
        words.push(env!("CARGO_BIN_EXE_config-writer"));
        words.extend(arguments);
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", words[0]));
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut writer = Self { child, input, output };
        assert_eq!(writer.line().as_deref(), Some("ready"), "{words:?}");
        writer
    }

    /// One that adds routes to the file of `folder`.
    fn adding(folder: &Path, name: &str, tasks: usize, each: usize) -> Self {
        Self::wrapped(&[], folder, name, tasks, each)
    }

    fn wrapped(wrapper: &[&str], folder: &Path, name: &str, tasks: usize, each: usize) -> Self {
        let (tasks, each) = (tasks.to_string(), each.to_string());
        Self::start(wrapper, &[folder.to_str().unwrap(), name, &tasks, &each])
    }

    /// Lets it begin.
    fn go(&mut self) {
        self.input.write_all(b"\n").unwrap();
    }

    /// A whole line, or none at the end.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.strip_suffix('\n').map(str::to_owned)
    }

    /// All that it says until it ends, by itself or because it was killed.
    fn rest(mut self) -> Said {
        let mut said = Said::default();
        while let Some(line) = self.line() {
            let (kind, rest) = line.split_once(' ').unwrap();
            match kind {
                "ok" => said.acknowledged.push(rest.to_owned()),
                "error" => said.errors.push(rest.to_owned()),
                "routes" => said.routes = Some(serde_json::from_str(rest).unwrap()),
                _ => panic!("{line}"),
            }
        }
        said
    }

    /// Lets it add its routes, and waits for its end.
    fn run(mut self) -> Said {
        self.go();
        self.rest()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
