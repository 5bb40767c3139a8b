//! The nodes: started in fresh folders, asked over HTTP, ended.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64ct::{Base64, Encoding};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::signal::unix::SignalKind;

use crate::Result;

/// A running node.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) root: PathBuf,
    pub(crate) url: String,
    pub(crate) password: String,
    /// Its hub's.
    pub(crate) port: u16,
    process: Child,
}

/// Starts nodes of these names. The first makes the certificates by which the others join it.
pub(crate) fn start(folder: &Path, names: [&'static str; 3]) -> Result<Vec<Node>> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let mut nodes = Vec::new();
    for (name, port) in names.into_iter().zip(free_ports(names.len())?) {
        let root = folder.join(name);
        fs::create_dir_all(&root)?;
        if name != names[0] {
            take_certificate(folder, names[0], name)?;
        }
        nodes.push(Node::start(name, root, port)?);
    }
    Ok(nodes)
}

/// The build's target folder: this program is in its `debug/examples`.
pub(crate) fn target() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.ancestors().nth(3).ok_or("there is no target folder")?.to_owned())
}

/// The command line, in its `debug`.
pub(crate) fn program() -> Result<PathBuf> {
    Ok(target()?.join("debug").join("harper-host"))
}

/// Issues a certificate on the first node and imports it on another, as their operators would.
fn take_certificate(folder: &Path, first: &str, name: &str) -> Result<()> {
    let bundle = folder.join(format!("{name}.json"));
    let run = |root: &str, words: &[&str], file: &Path| -> Result<()> {
        let mut command = Command::new(program()?);
        command.arg("cert").args(words).arg(file).arg("--rootpath").arg(folder.join(root));
        command.env("CLUSTERING_NODENAME", root).stdout(Stdio::null());
        if command.status()?.success() { Ok(()) } else { Err("cert failed".into()) }
    };
    run(first, &["issue", name, "--out"], &bundle)?;
    run(name, &["import"], &bundle)?;
    Ok(fs::remove_file(bundle)?)
}

/// Free ports for the hubs, picked together so that each is another.
fn free_ports(n: usize) -> Result<Vec<u16>> {
    let listeners: std::io::Result<Vec<_>> =
        (0..n).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect();
    Ok(listeners?.iter().map(|one| Ok(one.local_addr()?.port())).collect::<std::io::Result<_>>()?)
}

impl Node {
    fn start(name: &'static str, root: PathBuf, port: u16) -> Result<Self> {
        let mut random = [0; 9];
        getrandom::fill(&mut random)?;
        let password = Base64::encode_string(&random).replace(['+', '/'], "x");
        let process = Command::new(program()?)
            .args(["run", "--rootpath"])
            .arg(&root)
            .env("HDB_ADMIN_USERNAME", "admin")
            .env("HDB_ADMIN_PASSWORD", &password)
            .env("OPERATIONSAPI_NETWORK_PORT", "0")
            .env("CLUSTERING_ENABLED", "true")
            .env("CLUSTERING_NODENAME", name)
            .env("CLUSTERING_HUBSERVER_CLUSTER_NETWORK_HOST", "127.0.0.1")
            .env("CLUSTERING_HUBSERVER_CLUSTER_NETWORK_PORT", port.to_string())
            .env("CLUSTERING_HUBSERVER_LEAFNODES_NETWORK_HOST", "127.0.0.1")
            .env("CLUSTERING_HUBSERVER_LEAFNODES_NETWORK_PORT", "0")
            .env("CLUSTERING_HUBSERVER_NETWORK_PORT", "0")
            .env("CLUSTERING_LEAFSERVER_NETWORK_PORT", "0")
            .stdout(Stdio::piped())
            .stderr(File::create(root.join("node.log"))?)
            .spawn()?;
        let mut node = Self { name, root, process, url: String::new(), password, port };
        let mut line = String::new();
        let output = node.process.stdout.as_mut().ok_or("no output")?;
        BufReader::new(output).read_line(&mut line)?;
        let url = line.trim().rsplit(' ').next().filter(|url| url.starts_with("http://"));
        node.url = url.ok_or_else(|| format!("{name} did not start: see its node.log"))?.to_owned();
        Ok(node)
    }

    /// Performs an operation: its status and its reply.
    pub(crate) fn send(&self, request: &Value) -> Result<(u16, Value)> {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address)?;
        let body = request.to_string();
        let login = Base64::encode_string(format!("admin:{}", self.password).as_bytes());
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: {address}\r\nAuthorization: Basic {login}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        let (head, body) = reply.split_once("\r\n\r\n").ok_or("no reply")?;
        let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
        Ok((status, serde_json::from_str(body)?))
    }

    /// Tells it to end.
    pub(crate) fn stop(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.process), Signal::TERM)?)
    }

    /// Waits for its end. Ctrl-C reaches it too, so this program outlives that.
    pub(crate) fn wait(mut self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ended = runtime.block_on(async {
            let _caught = tokio::signal::unix::signal(SignalKind::interrupt())?;
            std::io::Result::Ok(self.process.wait())
        })?;
        let status = ended?;
        if status.success() { Ok(()) } else { Err(format!("the node ended with {status}").into()) }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // After `wait` there is nobody left to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
