//! `make run`: starts three nodes in fresh folders, routes them to each other by the operation itself,
//! plays the document's requests on routes and on the network against the first through HTTP, and
//! prints each request and reply. On a terminal the nodes serve on until Ctrl-C.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, IsTerminal, Read, Write, stdin, stdout};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use harper_host::store::Store;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::signal::unix::SignalKind;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const NAMES: [&str; 3] = ["node1", "node2", "node3"];
/// Nodes on one machine are joined long before.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    let folder = target()?.join("cluster");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let mut nodes = Vec::new();
    for (name, port) in NAMES.into_iter().zip(free_ports()?) {
        let root = folder.join(name);
        fs::create_dir_all(&root)?;
        // The first node makes the certificates by which the others join it.
        match name {
            "node1" => remember_others(&root)?,
            _ => take_certificate(&folder, name)?,
        }
        nodes.push(Node::start(name, root, port)?);
    }
    println!("Three nodes run in {}, their logs are node.log there.", folder.display());
    for node in &nodes {
        println!("{} is at {}, its hub at port {}.", node.name, node.url, node.port);
    }
    println!("User admin, password {} (made up for this run).", nodes[0].password);

    let routes: Value =
        nodes[1..].iter().map(|node| json!({ "host": "127.0.0.1", "port": node.port })).collect();
    let node = &nodes[0];
    println!("\n\nThe document's requests to node1, with addresses of these nodes:");
    let set = json!({ "operation": "cluster_set_routes", "server": "hub", "routes": routes });
    let reply = document("cluster_set_routes", &[("set", &routes)])?;
    let routed = Instant::now();
    node.expect(&set, &reply)?;
    let reply = document("cluster_get_routes", &[("hub", &routes)])?;
    node.expect(&json!({ "operation": "cluster_get_routes" }), &reply)?;

    let is_joined = |reply: &Value| {
        reply["nodes"].as_array().is_some_and(|nodes| {
            nodes.len() == NAMES.len()
                && nodes.iter().all(|node| {
                    node["connected_nodes"]
                        .as_array()
                        .is_some_and(|nodes| nodes.len() == NAMES.len() - 1)
                })
        })
    };
    let joined = node.until(&json!({ "operation": "cluster_network" }), is_joined)?;
    let took = (joined - routed).as_millis();
    println!("All three, each connected to the other two, {took} ms after the routes were sent.");
    let is_open = |reply: &Value| {
        reply["connections"].as_array().is_some_and(|connections| {
            connections.len() == NAMES.len() - 1
                && connections.iter().all(|one| one["status"] == "open")
        })
    };
    node.until(&json!({ "operation": "cluster_status" }), is_open)?;
    println!("Nodes are added by add_node, which comes with subscriptions; these two records were");
    println!("written into node1's database before its start.");

    let last = json!([routes[1]]);
    let delete = json!({ "operation": "cluster_delete_routes", "routes": last });
    node.expect(&delete, &document("cluster_delete_routes", &[("deleted", &last)])?)?;

    if stdin().is_terminal() && stdout().is_terminal() {
        let (root, url, password) = (&node.root, &node.url, &node.password);
        println!("\nThe nodes serve on. Ctrl-C ends them. Ask one from another terminal:\n");
        println!("  {} cluster_network --rootpath {}\n", program()?.display(), root.display());
        println!(
            "  curl -u admin:{password} -H 'Content-Type: application/json' {url} \\\n    \
             -d '{{\"operation\": \"cluster_network\"}}'",
        );
    } else {
        for node in &nodes {
            kill_process(Pid::from_child(&node.process), Signal::TERM)?;
        }
    }
    nodes.into_iter().try_for_each(Node::wait)
}

/// What the document shows as the reply to its own request, with these values in place of its own.
fn document(operation: &str, adapted: &[(&str, &Value)]) -> Result<Value> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(operation);
    let reply = fs::read_to_string(golden.join("document-example").join("reply.json"))?;
    let mut reply: Value = serde_json::from_str(&reply)?;
    for (key, value) in adapted {
        reply[key] = (*value).clone();
    }
    Ok(reply)
}

/// The build's target folder: this program is in its `debug/examples`.
fn target() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.ancestors().nth(3).ok_or("there is no target folder")?.to_owned())
}

/// The command line, in its `debug`.
fn program() -> Result<PathBuf> {
    Ok(target()?.join("debug").join("harper-host"))
}

/// Records of the other nodes, as `add_node` will leave them.
fn remember_others(root: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open(root).await?;
        for name in &NAMES[1..] {
            let dog =
                json!({ "schema": "dev", "table": "dog", "publish": true, "subscribe": true });
            let record = json!({ "name": name, "subscriptions": [dog] });
            store.put_node(name, record, None).await??;
        }
        Ok(())
    })
}

/// Issues a certificate on the first node and imports it on another, as their operators would.
fn take_certificate(folder: &Path, name: &str) -> Result<()> {
    let bundle = folder.join(format!("{name}.json"));
    let run = |root: &str, words: &[&str], file: &Path| -> Result<()> {
        let mut command = Command::new(program()?);
        command.arg("cert").args(words).arg(file).arg("--rootpath").arg(folder.join(root));
        command.env("CLUSTERING_NODENAME", root).stdout(Stdio::null());
        if command.status()?.success() { Ok(()) } else { Err("cert failed".into()) }
    };
    run("node1", &["issue", name, "--out"], &bundle)?;
    run(name, &["import"], &bundle)?;
    Ok(fs::remove_file(bundle)?)
}

/// Free ports for the hubs, picked together so that each is another.
fn free_ports() -> Result<Vec<u16>> {
    let listeners: std::io::Result<Vec<_>> =
        NAMES.iter().map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect();
    Ok(listeners?.iter().map(|one| Ok(one.local_addr()?.port())).collect::<std::io::Result<_>>()?)
}

struct Node {
    name: &'static str,
    root: PathBuf,
    process: Child,
    url: String,
    password: String,
    /// Its hub's.
    port: u16,
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

    /// Sends a request, prints it with its reply, and compares that with the document's.
    fn expect(&self, request: &Value, expected: &Value) -> Result<()> {
        let (status, reply) = self.send(request)?;
        print(request, status, &reply);
        if (status, &reply) != (200, expected) {
            return Err("that is not the document's reply".into());
        }
        println!("That is the document's reply, value for value.");
        Ok(())
    }

    /// Sends a request until its reply is such, prints both, and says when that was.
    fn until(&self, request: &Value, is_such: impl Fn(&Value) -> bool) -> Result<Instant> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, reply) = self.send(request)?;
            let is_such = status == 200 && is_such(&reply);
            if is_such || Instant::now() > deadline {
                print(request, status, &reply);
            }
            if is_such {
                return Ok(Instant::now());
            }
            if Instant::now() > deadline {
                return Err("the nodes were not joined in time: see their node.log".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn send(&self, request: &Value) -> Result<(u16, Value)> {
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

fn print(request: &Value, status: u16, reply: &Value) {
    println!("\nPOST / {request:#}\n{status} {reply:#}");
}

impl Drop for Node {
    fn drop(&mut self) {
        // After `wait` there is nobody left to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
