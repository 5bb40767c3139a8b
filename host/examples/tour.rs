//! `make run`: starts a node in a fresh folder, plays the document's requests against it through
//! HTTP, and prints each request and reply. On a terminal the node serves on until Ctrl-C.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, IsTerminal, Read, Write, stdin, stdout};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64ct::{Base64, Encoding};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::signal::unix::SignalKind;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The document's requests, in its order; their replies are beside them.
const REQUESTS: [&str; 3] = ["cluster_set_routes", "cluster_get_routes", "cluster_delete_routes"];

fn main() -> Result<()> {
    let root = target()?.join("node");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    fs::create_dir(&root)?;
    let mut node = Node::start(&root)?;
    println!("A node runs in {}, its log is node.log there.", root.display());
    println!(
        "It is at {}, user admin, password {} (made up for this run).",
        node.url, node.password
    );

    for operation in REQUESTS {
        let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(operation);
        let json = |file: &str| -> Result<Value> {
            Ok(serde_json::from_str(&fs::read_to_string(
                case.join("document-example").join(file),
            )?)?)
        };
        let (status, reply) = node.play(&json("request.json")?)?;
        if (status, &reply) != (200, &json("reply.json")?) {
            return Err("that is not the document's reply".into());
        }
        println!("That is the document's reply, value for value.");
    }
    println!("\nWhat the node's harperdb-config.yaml now says of routes:\n");
    let config = fs::read_to_string(root.join("harperdb-config.yaml"))?;
    let clustering = config.lines().skip_while(|line| !line.starts_with("clustering:"));
    clustering.for_each(|line| println!("  {line}"));

    if stdin().is_terminal() && stdout().is_terminal() {
        println!("\nThe node serves on. Ctrl-C ends it. Ask it from another terminal:\n");
        println!("  {} cluster_get_routes --rootpath {}\n", program()?.display(), root.display());
        println!(
            "  curl -u admin:{} -H 'Content-Type: application/json' {} \\\n    \
             -d '{{\"operation\": \"cluster_get_routes\"}}'",
            node.password, node.url
        );
        return node.wait();
    }
    node.stop()
}

/// The build's target folder: this program is in its `debug/examples`.
fn target() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.ancestors().nth(3).ok_or("there is no target folder")?.to_owned())
}

/// The command line, in its `debug`.
fn program() -> Result<PathBuf> {
    Ok(target()?.join("debug").join("harper-host"))
}

struct Node {
    process: Child,
    url: String,
    password: String,
}

impl Node {
    fn start(root: &Path) -> Result<Self> {
        let mut random = [0; 9];
        getrandom::fill(&mut random)?;
        let password = Base64::encode_string(&random).replace(['+', '/'], "x");
        let process = Command::new(program()?)
            .args(["run", "--rootpath"])
            .arg(root)
            .env("HDB_ADMIN_USERNAME", "admin")
            .env("HDB_ADMIN_PASSWORD", &password)
            .env("OPERATIONSAPI_NETWORK_PORT", "0")
            .stdout(Stdio::piped())
            .stderr(File::create(root.join("node.log"))?)
            .spawn()?;
        let mut node = Self { process, url: String::new(), password };
        let mut line = String::new();
        let output = node.process.stdout.as_mut().ok_or("no output")?;
        BufReader::new(output).read_line(&mut line)?;
        let url = line.trim().rsplit(' ').next().filter(|url| url.starts_with("http://"));
        node.url = url.ok_or("the node did not start: see node.log")?.to_owned();
        Ok(node)
    }

    /// Sends a request, and prints it with its reply.
    fn play(&mut self, request: &Value) -> Result<(u16, Value)> {
        println!("\nPOST / {request:#}");
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
        let reply: Value = serde_json::from_str(body)?;
        println!("{status} {reply:#}");
        Ok((status, reply))
    }

    fn stop(self) -> Result<()> {
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        self.wait()
    }

    /// Waits for the node's end. Ctrl-C reaches it too, so this program outlives that.
    fn wait(mut self) -> Result<()> {
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
        // After `stop` there is nobody left to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
