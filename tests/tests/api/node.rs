//! A node to test: the API on a free port, in front of a host that does what a request says.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use base64ct::{Base64, Encoding};
use harper_host::{
    BoxFuture, Caller, ConfigError, Error, ErrorKind, Host, KeyPath, Operation, Role, Snapshot,
    api::{Addresses, Config, Readiness, Server},
    store::Store,
    users::{Change, Users},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpStream, UnixStream},
    sync::{RwLock, Semaphore, oneshot},
    task::JoinHandle,
    time::timeout,
};

/// No test waits longer for anything.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// What `f` gives, which must come soon.
pub(crate) async fn soon<T>(f: impl Future<Output = T>) -> T {
    timeout(SOON, f).await.expect("not in time")
}

/// What the host's operations share with the test.
#[derive(Clone)]
pub(crate) struct Gate {
    /// One permit for each `hold` that has begun.
    pub(crate) begun: Arc<Semaphore>,
    /// A `hold` ends when it gets one of these.
    pub(crate) open: Arc<Semaphore>,
    /// How many are in memory.
    pub(crate) running: Arc<AtomicUsize>,
    /// How many have ended.
    pub(crate) done: Arc<AtomicUsize>,
    /// Whoever has it for writing keeps the configuration from being read.
    pub(crate) config: Arc<RwLock<()>>,
    /// How often it was to be read.
    pub(crate) reads: Arc<AtomicUsize>,
}

impl Gate {
    pub(crate) async fn begun(&self) {
        soon(self.begun.acquire()).await.unwrap().forget();
    }

    /// So many have asked for the configuration.
    pub(crate) async fn read(&self, n: usize) {
        soon(async {
            while self.reads.load(SeqCst) != n {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    pub(crate) async fn ended(&self, n: usize) {
        soon(async {
            while self.done.load(SeqCst) != n {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    /// Of the TLS port, when there is one.
    pub(crate) secure: Option<SocketAddr>,
    pub(crate) socket: PathBuf,
    pub(crate) gate: Gate,
    pub(crate) users: Users,
    pub(crate) readiness: Readiness,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) served: JoinHandle<()>,
    pub(crate) root: tempfile::TempDir,
}

pub(crate) fn config() -> Config {
    Config { port: Some(0), ..Config::default() }
}

async fn answer(gate: Gate, caller: Caller, request: Value) -> Result<Value, Error> {
    let fail = |kind| Err(Error::new(kind, "as asked"));
    match request["operation"].as_str() {
        Some("text") => Ok(json!("done")),
        Some("big") => Ok(json!({ "big": "x".repeat(request["size"].as_u64().unwrap() as usize) })),
        Some("panic") => panic!("as asked"),
        Some("hold" | "look") => {
            gate.running.fetch_add(1, SeqCst);
            let _running = Running(gate.running.clone());
            gate.begun.add_permits(1);
            gate.open.acquire().await.unwrap().forget();
            gate.done.fetch_add(1, SeqCst);
            Ok(json!({ "held": true }))
        }
        Some("invalid") => fail(ErrorKind::Invalid),
        Some("unauthorized") => fail(ErrorKind::Unauthorized),
        Some("forbidden") => fail(ErrorKind::Forbidden),
        Some("conflict") => fail(ErrorKind::Conflict),
        Some("too_large") => fail(ErrorKind::TooLarge),
        Some("busy") => fail(ErrorKind::Busy),
        Some("failed") => fail(ErrorKind::Failed),
        _ => Ok(
            json!({ "user": caller.username, "role": format!("{:?}", caller.role), "origin": caller.origin.to_string(), "request": request }),
        ),
    }
}

/// No configuration: these operations need none.
struct NoConfig(Gate);

impl harper_host::Config for NoConfig {
    fn get(&self, _: Vec<KeyPath>) -> BoxFuture<'_, Result<Snapshot, ConfigError>> {
        Box::pin(async {
            self.0.reads.fetch_add(1, SeqCst);
            let _read = self.0.config.read().await;
            Err(ConfigError::Other("there is none".into()))
        })
    }

    fn set(
        &self,
        _: String,
        _: Vec<harper_host::Change>,
    ) -> BoxFuture<'_, Result<String, ConfigError>> {
        Box::pin(async { Err(ConfigError::Other("there is none".into())) })
    }
}

const OPERATIONS: [&str; 14] = [
    "echo",
    "log_test",
    "text",
    "big",
    "panic",
    "hold",
    "look",
    "invalid",
    "unauthorized",
    "forbidden",
    "conflict",
    "too_large",
    "busy",
    "failed",
];

/// A host, and the gate of its `hold`s.
pub(crate) async fn host() -> (Host, Gate) {
    let gate = Gate {
        begun: Arc::new(Semaphore::new(0)),
        open: Arc::new(Semaphore::new(0)),
        running: Arc::default(),
        done: Arc::default(),
        config: Arc::default(),
        reads: Arc::default(),
    };
    let builder = Host::builder().config(NoConfig(gate.clone()));
    let builder = OPERATIONS.iter().fold(builder, |builder, name| {
        let gate = gate.clone();
        let operation = Operation::new(*name, "For tests");
        let operation = if *name == "look" { operation.read_only() } else { operation };
        builder.operation(operation, move |caller, request| answer(gate.clone(), caller, request))
    });
    (builder.build().await.unwrap(), gate)
}

/// `bob:right`, super_user; `node:right`, the cluster's; `off:right`, inactive.
pub(crate) async fn users(root: &Path) -> Users {
    let users = Users::open(Store::open(root).await.unwrap(), Duration::from_secs(30));
    users.create_first_super_user("bob", "right").await.unwrap();
    users.add("node", "right", &Role::ClusterUser, true).await.unwrap();
    users.add("off", "right", &Role::SuperUser, true).await.unwrap();
    users.alter("off", Change { active: Some(false), ..Change::default() }).await.unwrap();
    users
}

impl Node {
    /// With its port and its socket, the TLS port that `config` asks for, and [`users`].
    pub(crate) async fn start(config: Config) -> Node {
        super::log::catch();
        let root = tempfile::tempdir().unwrap();
        let users = users(root.path()).await;
        let (host, gate) = host().await;
        let config = config.in_folder(root.path());
        let server = Server::bind(config, host, users.clone()).await.unwrap();
        let Addresses { http, https, socket, .. } = server.addresses().clone();
        let readiness = server.readiness();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server.serve(stopped));
        Node {
            address: http.unwrap(),
            secure: https,
            socket: socket.unwrap(),
            gate,
            users,
            readiness,
            stop: Some(stop),
            served,
            root,
        }
    }

    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) async fn connect(&self) -> Client {
        let stream = soon(TcpStream::connect(self.address)).await.unwrap();
        Client(BufReader::new(stream))
    }

    /// By the Unix socket.
    pub(crate) async fn connect_socket(&self) -> Client<UnixStream> {
        let stream = soon(UnixStream::connect(&self.socket)).await.unwrap();
        Client(BufReader::new(stream))
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> Reply {
        let mut client = self.connect().await;
        client.send(request).await;
        client.reply().await
    }

    /// As `bob`, with the Basic header.
    pub(crate) async fn call(&self, body: Value) -> Reply {
        self.ask(post(&[JSON, &bob()], body.to_string())).await
    }
}

/// A body that is answered with who asked for what.
pub(crate) const ECHO: &str = r#"{"operation":"echo"}"#;

pub(crate) const JSON: &str = "Content-Type: application/json";

pub(crate) fn basic(credentials: impl AsRef<[u8]>) -> String {
    format!("Authorization: Basic {}", Base64::encode_string(credentials.as_ref()))
}

pub(crate) fn bob() -> String {
    basic("bob:right")
}

/// A `POST /` with these header lines.
pub(crate) fn post(headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = format!("Content-Length: {}", body.len());
    let mut request = head("POST / HTTP/1.1", &[headers, &[&length]].concat());
    request.extend(body);
    request
}

/// A head with these header lines.
pub(crate) fn head(line: &str, headers: &[&str]) -> Vec<u8> {
    let mut head = format!("{line}\r\nHost: test\r\n");
    for header in headers {
        head += &format!("{header}\r\n");
    }
    (head + "\r\n").into_bytes()
}

pub(crate) struct Client<S = TcpStream>(pub(crate) BufReader<S>);

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.text).unwrap()
    }

    /// Its status and error text, in a reply that holds nothing else.
    pub(crate) fn error(&self) -> (u16, String) {
        let json = self.json();
        let error = json["error"].as_str().expect("an error").to_owned();
        assert_eq!(json, json!({ "error": error }));
        (self.status, error)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.0.write_all(bytes.as_ref())).await.unwrap();
    }

    pub(crate) async fn reply(&mut self) -> Reply {
        soon(self.reply_to("POST")).await
    }

    pub(crate) async fn reply_to(&mut self, method: &str) -> Reply {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.unwrap();
            match line.trim_end() {
                "" if lines.first().is_some_and(|l: &String| l.contains(" 100 ")) => lines.clear(),
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let status = lines.first().expect("a reply").split(' ').nth(1).unwrap().parse().unwrap();
        let split =
            |line: &String| line.split_once(": ").map(|(n, v)| (n.into(), v.into())).unwrap();
        let mut reply =
            Reply { status, headers: lines[1..].iter().map(split).collect(), text: String::new() };
        if method != "HEAD" {
            let length = reply.header("content-length").map_or(0, |n| n.parse().unwrap());
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await.unwrap();
            reply.text = String::from_utf8(body).unwrap();
        }
        reply
    }

    /// Waits until the server has closed the connection and sent nothing before.
    pub(crate) async fn closed(&mut self) {
        let mut rest = Vec::new();
        // A reset closes too.
        let _ = soon(self.0.read_to_end(&mut rest)).await;
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}
