//! The README's recipe for two machines, line by line, on two loopback addresses: each machine is a
//! home of its own, an address and ports of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const PORT_IN_README: &str = "9932";

/// The fenced block after the words that introduce it, as commands and to whom.
fn recipe() -> Vec<String> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let (_, after) = readme.split_once("## Run a cluster").expect("the README's section");
    let block = after.split("```").nth(1).expect("a block of commands");
    block.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect()
}

struct Machine {
    name: &'static str,
    address: &'static str,
    home: PathBuf,
    cluster_port: u16,
    node: Option<Child>,
}

impl Machine {
    fn new(folder: &Path, name: &'static str, address: &'static str) -> Self {
        let home = folder.join(name);
        fs::create_dir(&home).unwrap();
        let cluster_port = TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port();
        Self { name, address, home, cluster_port, node: None }
    }

    /// The same command as an operator of this machine types it.
    fn command(&self, line: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_harper-host")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("exec env {line}")])
            .current_dir(&self.home)
            .env_clear()
            .env("PATH", path)
            .env("HOME", &self.home)
            .env("HDB_ADMIN_USERNAME", "admin")
            .env("HDB_ADMIN_PASSWORD", "a password of this test")
            // Only what two machines would have apart by themselves.
            .env("OPERATIONSAPI_NETWORK_PORT", "0")
            .env("CLUSTERING_HUBSERVER_CLUSTER_NETWORK_HOST", self.address)
            .env("CLUSTERING_HUBSERVER_CLUSTER_NETWORK_PORT", self.cluster_port.to_string())
            .env("CLUSTERING_HUBSERVER_LEAFNODES_NETWORK_HOST", self.address)
            .env("CLUSTERING_HUBSERVER_LEAFNODES_NETWORK_PORT", "0")
            .env("CLUSTERING_HUBSERVER_NETWORK_PORT", "0")
            .env("CLUSTERING_LEAFSERVER_NETWORK_PORT", "0");
        command
    }

    fn run(&self, line: &str) -> String {
        let output = self.command(line).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}$ {line}\n{errors}", self.name);
        String::from_utf8(output.stdout).unwrap()
    }

    fn start(&mut self, line: &str) {
        let log = fs::File::create(self.home.join("node.log")).unwrap();
        let mut node = self.command(line).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(node.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
        let log = fs::read_to_string(self.home.join("node.log")).unwrap();
        self.node = Some(node);
        assert!(first.starts_with("harper-host is ready"), "{first}\n{log}");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(node) = &mut self.node {
            // Its servers go with it.
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

// covers: docs.recipe, flow.program
#[test]
fn two_machines_are_joined_as_the_readme_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Machine::new(folder.path(), "first", "127.0.0.1");
    let mut second = Machine::new(folder.path(), "second", "127.0.0.2");
    let (mut copied, mut asked) = (0, None);
    for line in recipe() {
        let line = line
            .replace("10.0.0.2", second.address)
            .replace(PORT_IN_README, &second.cluster_port.to_string());
        match line.split_once('$') {
            _ if line.starts_with('#') => {
                assert!(line.contains("copy node2.json"), "{line}");
                let bundle = "node2.json";
                fs::copy(first.home.join(bundle), second.home.join(bundle)).unwrap();
                copied += 1;
            }
            Some((who, command)) => {
                let machine = match who {
                    "first" => &mut first,
                    "second" => &mut second,
                    other => panic!("whose command is this: {other}"),
                };
                let command = command.trim();
                if command.contains("harper-host run") {
                    machine.start(command);
                } else {
                    machine.run(command);
                    asked = Some(command.to_owned());
                }
            }
            None => panic!("what is this: {line}"),
        }
    }
    assert_eq!(copied, 1);
    let asked = asked.unwrap();
    assert!(asked.ends_with("cluster_network"), "the last line looks at the result: {asked}");
    let deadline = Instant::now() + PATIENCE;
    for machine in [&first, &second] {
        loop {
            let network = machine.run(&asked);
            let nodes = network.lines().filter(|line| line.starts_with("- name: node")).count();
            if nodes == 2 {
                break;
            }
            assert!(Instant::now() < deadline, "{}:\n{network}", machine.name);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    rows_flow(&first, &second, asked.trim_end_matches("cluster_network"));
}

/// A row that is inserted on one machine is on the other after a moment.
fn rows_flow(first: &Machine, second: &Machine, command: &str) {
    let table = "database=dev table=dog";
    first.run(&format!("{command}create_table {table} primary_key=id"));
    let subscriptions =
        "'[{\"database\":\"dev\",\"table\":\"dog\",\"publish\":true,\"subscribe\":true}]'";
    let node = "node_name=node2";
    first.run(&format!("{command}set_node_replication {node} subscriptions={subscriptions}"));
    let rows = [(first, second, 1), (second, first, 2)];
    for (from, to, id) in rows {
        from.run(&format!(
            "{command}insert {table} records='[{{\"id\":{id},\"name\":\"Penny\"}}]'"
        ));
        let search = "get_attributes='[\"*\"]'";
        let search = format!("{command}search_by_id {table} ids='[{id}]' {search}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = to.run(&search);
            if found.contains("Penny") {
                break;
            }
            assert!(Instant::now() < deadline, "{}:\n{found}", to.name);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
