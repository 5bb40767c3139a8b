//! The program `harper-host run`, as an operator meets it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use rustix::process::{Pid, Signal, kill_process};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Nothing here takes longer.
const DEADLINE: Duration = Duration::from_secs(30);
const PASSWORD: &str = "s3cret-of-the-test";

fn command(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_harper-host"));
    command
        .args(["run", "--rootpath"])
        .arg(root)
        .env_remove("HDB_ADMIN_USERNAME")
        .env_remove("HDB_ADMIN_PASSWORD")
        .env("OPERATIONSAPI_NETWORK_PORT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn with_admin(root: &Path) -> Command {
    let mut command = command(root);
    command.env("HDB_ADMIN_USERNAME", "admin").env("HDB_ADMIN_PASSWORD", PASSWORD);
    command
}

/// The whole reply to one request on this connection.
fn ask(mut stream: impl Read + Write, headers: &str, body: &str) -> String {
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: node\r\n{headers}Content-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

fn ask_by_socket(root: &Path, body: &str) -> String {
    let stream = UnixStream::connect(root.join("operations-server")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    ask(stream, "", body)
}

/// A running node, with the address that it printed and its scheme; killed when the test is over.
struct Node(Option<Child>, String, &'static str);

impl Node {
    fn start(mut command: Command) -> Self {
        let mut node = Self(Some(command.spawn().unwrap()), String::new(), "");
        let output = node.0.as_mut().unwrap().stdout.take().unwrap();
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("harper-host is ready at ");
        let schemes = ["http://", "https://", "unix:"];
        let found =
            schemes.into_iter().find_map(|scheme| Some((scheme, url?.strip_prefix(scheme)?)));
        let (scheme, address) = found.unwrap_or_else(|| panic!("{line:?}"));
        (node.1, node.2) = (address.to_owned(), scheme);
        node
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.1).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    fn ask(&self, login: &str, body: &str) -> String {
        let login = Base64::encode_string(login.as_bytes());
        ask(self.connect(), &format!("Authorization: Basic {login}\r\n"), body)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.0.as_ref().unwrap()), signal).unwrap();
    }

    /// Its end, which must come soon: exit code and standard error.
    fn ended(mut self) -> (Option<i32>, String) {
        let mut child = self.0.take().unwrap();
        let deadline = Instant::now() + DEADLINE;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                child.kill().unwrap();
                panic!("the node does not end");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        (status.code(), String::from_utf8(stderr).unwrap())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// A start that must fail: its exit code is 1, and this is its last word. Once the log runs, that
/// is an event in it.
fn refusal(command: Command) -> String {
    let line = last_line(command);
    match serde_json::from_str::<serde_json::Value>(&line) {
        Ok(event) => {
            assert_eq!(event["level"], "ERROR");
            format!("harper-host: {}", event["message"].as_str().unwrap())
        }
        Err(_) => line,
    }
}

fn last_line(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert_eq!((status.code(), stdout), (Some(1), vec![]));
    let stderr = String::from_utf8(stderr).unwrap();
    stderr.lines().last().unwrap().to_owned()
}

// covers: cli.run.foreground, cli.run.ready, cli.run.stop
#[test]
fn a_node_from_its_first_start_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("new").join("node");
    let login = format!("admin:{PASSWORD}");
    let node = Node::start(with_admin(&root));
    let set =
        r#"{"operation":"cluster_set_routes","server":"hub","routes":[{"host":"a","port":1}]}"#;
    assert!(node.ask(&login, set).starts_with("HTTP/1.1 200 "));
    node.signal(Signal::TERM);
    let (code, log) = node.ended();
    assert_eq!(code, Some(0));
    assert!(!log.contains(PASSWORD) && !log.contains(&Base64::encode_string(login.as_bytes())));
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
    // Lines that wait to be written with others are not lost at the end.
    assert_eq!(log.matches(r#""message":"request""#).count(), 1, "{log}");
    assert!(log.lines().last().unwrap().contains(r#""message":"stopped""#), "{log}");
    for entry in fs::read_dir(&root).unwrap() {
        let entry = entry.unwrap();
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&entry.metadata().unwrap().permissions());
        assert_eq!(mode & 0o077, 0, "{:?} is for its owner alone", entry.path());
    }

    // The user is in the store: the second start needs no password, and takes no new one.
    let mut again = command(&root);
    again.env("HDB_ADMIN_USERNAME", "other").env("HDB_ADMIN_PASSWORD", "other");
    let node = Node::start(again);
    let get = r#"{"operation":"cluster_get_routes"}"#;
    assert!(node.ask("other:other", get).starts_with("HTTP/1.1 401 "));
    let reply = node.ask(&login, get);
    assert!(reply.ends_with(r#"{"hub":[{"host":"a","port":1}],"leaf":[]}"#), "{reply}");
    node.signal(Signal::INT);
    assert_eq!(node.ended().0, Some(0));
}

// covers: configuration.unknown-keys, configuration.unknown-variables
#[test]
fn what_a_start_does_not_use_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(with_admin(folder.path()));
    node.signal(Signal::TERM);
    let (_, log) = node.ended();
    assert!(!log.contains("mean nothing here") && !log.contains("not used now"), "{log}");
    let file = folder.path().join("harperdb-config.yaml");
    let text =
        fs::read_to_string(&file).unwrap() + "\nrootPath: /srv\nauthentcation:\n  cacheTTL: 1\n";
    fs::write(&file, &text).unwrap();
    let mut again = with_admin(folder.path());
    again.env("OPERATIONSAPI_NETWORK_PROT", "1").env("CLUSTERING_ZZZ", "secret");
    let node = Node::start(again);
    node.signal(Signal::TERM);
    let (_, log) = node.ended();
    let unknown = "the environment has variables that mean nothing here: CLUSTERING_ZZZ, \
                   OPERATIONSAPI_NETWORK_PROT (did you mean OPERATIONSAPI_NETWORK_PORT?)";
    assert_eq!(log.matches(unknown).count(), 1, "{log}");
    assert!(!log.contains("secret"), "{log}");
    let unknown = "harperdb-config.yaml has keys that mean nothing here: rootPath, authentcation \
                   (did you mean authentication?)";
    assert_eq!(log.matches(unknown).count(), 1, "{log}");
    assert!(log.contains("are for the first start, and are not used now"), "{log}");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn there_is_no_default_password() {
    let folder = tempfile::tempdir().unwrap();
    let mut half = command(folder.path());
    half.env("HDB_ADMIN_USERNAME", "admin").env("HDB_ADMIN_PASSWORD", "");
    for command in [command(folder.path()), half] {
        assert_eq!(
            refusal(command),
            "harper-host: there is no super_user yet: set HDB_ADMIN_USERNAME and \
             HDB_ADMIN_PASSWORD for this first start, or start the node on a terminal to be asked \
             for them"
        );
    }
}

#[test]
fn once_the_log_runs_every_line_is_one_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let event = last_line(command(folder.path()));
    let event: serde_json::Value = serde_json::from_str(&event).unwrap();
    assert!(event["timestamp"].is_string() && event["level"] == "ERROR", "{event}");

    fs::write(folder.path().join("harperdb-config.yaml"), "logging: { level: loud }").unwrap();
    assert!(last_line(command(folder.path())).starts_with("harper-host: "));
}

/// Argon2 fills 19 MiB: for the first super_user here, and for a login.
#[cfg(target_os = "linux")]
#[test]
fn the_memory_of_a_login_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(with_admin(folder.path()));
    let status = format!("/proc/{}/status", node.0.as_ref().unwrap().id());
    let small_soon = || {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let status = fs::read_to_string(&status).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
            let kilobytes: u32 = line.trim().trim_end_matches(" kB").parse().unwrap();
            if kilobytes < 15_000 {
                return;
            }
            assert!(Instant::now() < deadline, "{kilobytes} kB");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    small_soon();
    let reply = node.ask(&format!("admin:{PASSWORD}"), r#"{"operation":"cluster_get_routes"}"#);
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    small_soon();
}

/// Also after an end that left the socket behind.
#[test]
fn the_socket_needs_no_login() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let socket = root.join("operations-server");
    let node = Node::start(with_admin(root));
    let get = r#"{"operation":"cluster_get_routes"}"#;
    let reply = ask_by_socket(root, get);
    assert!(reply.ends_with(r#"{"hub":[],"leaf":[]}"#), "{reply}");
    node.signal(Signal::KILL);
    assert_eq!(node.ended().0, None);
    assert!(socket.exists());

    let node = Node::start(command(root));
    assert!(ask_by_socket(root, get).starts_with("HTTP/1.1 200 "));
    node.signal(Signal::TERM);
    let (code, log) = node.ended();
    assert!(code == Some(0) && !socket.exists());
    assert!(log.contains(&format!(r#""socket":"{}""#, socket.display())), "{log}");

    fs::write(&socket, "").unwrap();
    let text = refusal(command(root));
    assert!(text.contains("operations-server is no socket"), "{text}");
}

// covers: http.ready-line
#[test]
fn https_alone_and_then_no_port_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut command = with_admin(root);
    command.env("OPERATIONSAPI_NETWORK_PORT", "null").env("OPERATIONSAPI_NETWORK_SECUREPORT", "0");
    let node = Node::start(command);
    assert_eq!(node.2, "https://");
    let mut roots = RootCertStore::empty();
    let own = root.join("keys").join("self-signed-certificate.pem");
    roots.add(CertificateDer::from_pem_file(own).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let tls = ClientConnection::new(Arc::new(client), name).unwrap();
    let login = Base64::encode_string(format!("admin:{PASSWORD}").as_bytes());
    let get = r#"{"operation":"cluster_get_routes"}"#;
    let stream = StreamOwned::new(tls, node.connect());
    let reply = ask(stream, &format!("Authorization: Basic {login}\r\n"), get);
    assert!(reply.ends_with(r#"{"hub":[],"leaf":[]}"#), "{reply}");
    node.signal(Signal::TERM);
    let (code, log) = node.ended();
    assert_eq!(code, Some(0));
    assert!(log.contains(r#""https":"127.0.0.1:"#) && !log.contains(r#""http":"#), "{log}");

    let mut command = self::command(root);
    command.env("OPERATIONSAPI_NETWORK_PORT", "null");
    let node = Node::start(command);
    let socket = root.join("operations-server");
    assert_eq!((node.2, node.1.as_str()), ("unix:", socket.to_str().unwrap()));
    assert!(ask_by_socket(root, get).starts_with("HTTP/1.1 200 "));
    node.signal(Signal::TERM);
    assert!(node.ended().1.contains("the Unix socket is the only way in"));

    let mut command = self::command(root);
    command.env("OPERATIONSAPI_NETWORK_SECUREPORT", "0").env("TLS_CERTIFICATE", "mine.pem");
    let text = refusal(command);
    assert!(text.contains("belong together, and tls.privateKey is null"), "{text}");
    let mut command = self::command(root);
    command.env("OPERATIONSAPI_NETWORK_SECUREPORT", "0");
    command.env("TLS_CERTIFICATE", "mine.pem").env("TLS_PRIVATEKEY", "mine.pem");
    let path = root.join("mine.pem");
    let missing = "cannot be read: No such file or directory (os error 2)";
    let text = refusal(command);
    let expected = format!("tls.certificate: {} {missing}", path.display());
    assert!(text.contains(&expected), "{text}");
}

// covers: cli.run.second-signal
#[test]
fn a_second_signal_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = with_admin(folder.path());
    command.env("OPERATIONSAPI_NETWORK_SHUTDOWNTIMEOUT", "3600000");
    let node = Node::start(command);
    // Half a request keeps it from ending.
    let mut stream = node.connect();
    let login = Base64::encode_string(format!("admin:{PASSWORD}").as_bytes());
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: node\r\nAuthorization: Basic {login}\r\nContent-Type: \
         application/json\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    )
    .unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    node.signal(Signal::TERM);
    // Nobody is let in any more: the first signal has arrived.
    let deadline = Instant::now() + DEADLINE;
    while TcpStream::connect(&node.1).is_ok() {
        assert!(Instant::now() < deadline, "it still accepts");
    }
    node.signal(Signal::TERM);
    let (code, log) = node.ended();
    assert_eq!(code, Some(0));
    assert!(log.contains("stopped at once"), "{log}");
}

#[test]
fn starts_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let node = Node::start(with_admin(root));
    let text = refusal(with_admin(root));
    assert!(text.contains("in use by another harper-host"), "{text}");

    let port = node.1.rsplit(':').next().unwrap();
    let other = tempfile::tempdir().unwrap();
    let mut same_port = with_admin(other.path());
    same_port.env("OPERATIONSAPI_NETWORK_PORT", port);
    let text = format!("harper-host: operationsApi.network.port {port} is in use on 127.0.0.1");
    assert_eq!(refusal(same_port), text);

    let mut beyond = with_admin(other.path());
    beyond.env("OPERATIONSAPI_NETWORK_HOST", "0.0.0.0");
    let text = refusal(beyond);
    assert!(text.contains("operationsApi.network.securePort for TLS"), "{text}");

    let mut routes = with_admin(other.path());
    routes.env("CLUSTERING_HUBSERVER_CLUSTER_NETWORK_ROUTES", "[]");
    let text = refusal(routes);
    assert!(text.contains("CLUSTERING_HUBSERVER_CLUSTER_NETWORK_ROUTES is set, but"), "{text}");

    fs::write(other.path().join("harperdb-config.yaml"), "a: 1\nb: [\n").unwrap();
    let text = refusal(with_admin(other.path()));
    assert!(text.starts_with("harper-host: harperdb-config.yaml, line 2, column 4: "), "{text}");

    fs::write(other.path().join("harperdb-config.yaml"), "logging:\n  level: loud\n").unwrap();
    let text = refusal(with_admin(other.path()));
    assert!(text.contains("'logging.level' must be one of [error, warn,"), "{text}");

    let mut nowhere = with_admin(Path::new("/dev/null/node"));
    nowhere.env_remove("OPERATIONSAPI_NETWORK_PORT");
    assert_eq!(
        refusal(nowhere),
        "harper-host: the folder /dev/null/node cannot be made: Not a directory (os error 20)"
    );
}

// covers: http.limits.descriptors
#[test]
fn few_files_make_for_few_connections() {
    let root = tempfile::tempdir().unwrap();
    let program = with_admin(root.path());
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\""]).arg(program.get_program());
    command.args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let node = Node::start(command);
    // More than there are files.
    let idle: Vec<_> = (0..150).map(|_| node.connect()).collect();
    for n in 0..3 {
        let add = format!(
            r#"{{"operation":"add_user","username":"u{n}","password":"p","role":"reader"}}"#
        );
        let reply = ask_by_socket(root.path(), &add);
        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    }
    drop(idle);
    let audit = fs::read_to_string(root.path().join("log/audit.log")).unwrap();
    assert_eq!(audit.lines().count(), 3, "{audit}");
    node.signal(Signal::TERM);
    let (code, log) = node.ended();
    let warning = "operationsApi.network.maxConnections is 1000, but the system's limit on open \
                   files leaves room for 50: raise it";
    assert!(code == Some(0) && log.contains(warning), "{log}");
    assert!(!log.contains("audit log"), "{log}");
}
