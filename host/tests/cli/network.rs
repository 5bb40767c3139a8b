//! What else may be at the other end: nobody, a stranger, somebody who is slow or says too much.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{self, ServerConfig, ServerConnection, StreamOwned};

use crate::node::{DEADLINE, Node, PASSWORD, program};

/// Somebody at a port who answers one request with bytes of the test's choice.
pub struct Fake {
    pub url: String,
    requests: Receiver<String>,
}

impl Fake {
    /// A 200 with this body.
    pub fn replying(body: &str) -> Self {
        Self::saying(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    /// These bytes, and then it closes.
    fn saying(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::doing(move |stream| stream.write_all(&bytes).unwrap())
    }

    fn doing(answer: impl FnOnce(&mut TcpStream) + Send + 'static) -> Self {
        Self::accepting("http", |stream| stream, answer)
    }

    /// A 200 over TLS.
    fn with_tls(host: &str, certificate: &Certified) -> Self {
        let key = PrivateKeyDer::try_from(certificate.key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.certificate.der().clone()], key)
            .unwrap();
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        let mut fake = Self::accepting(
            "https",
            |stream| StreamOwned::new(connection, stream),
            // Whoever does not trust it is gone.
            |stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
            },
        );
        fake.url = fake.url.replace("127.0.0.1", host);
        fake
    }

    fn accepting<S: Read + Write>(
        scheme: &str,
        accept: impl FnOnce(TcpStream) -> S + Send + 'static,
        answer: impl FnOnce(&mut S) + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let (tell, requests) = channel();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            let mut stream = accept(stream);
            let request = request(&mut stream);
            if !request.is_empty() {
                let _ = tell.send(request);
            }
            answer(&mut stream);
        });
        Self { url, requests }
    }

    /// What it was asked.
    pub fn request(&self) -> String {
        self.requests.recv_timeout(DEADLINE).unwrap()
    }
}

/// One request, head and body. What is no HTTP ends where it ends.
fn request(stream: &mut impl Read) -> String {
    let (mut text, mut length) = (String::new(), 0);
    let mut reader = BufReader::new(stream);
    while !text.ends_with("\r\n\r\n") && reader.read_line(&mut text).unwrap_or(0) > 0 {
        let header = text.lines().last().unwrap().to_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    text + str::from_utf8(&body).unwrap()
}

fn to(target: &str) -> Command {
    let mut command = program();
    command.args(["cluster_get_routes", &format!("target={target}")]);
    command.env("CLI_TARGET_USERNAME", "admin").env("CLI_TARGET_PASSWORD", PASSWORD);
    command.stdin(Stdio::null());
    command
}

/// The one line that a command says when it fails.
fn refusal(mut command: Command, code: i32) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert_eq!((status.code(), &*stdout), (Some(code), &b""[..]), "{stderr:?}");
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(!stderr.contains(PASSWORD));
    let line = stderr.strip_prefix("harper-host: ").and_then(|line| line.strip_suffix('\n'));
    line.unwrap_or_else(|| panic!("{stderr:?}")).to_owned()
}

/// Linux takes 0.0.0.0 for this machine, and the program does not.
// covers: cli.plaintext-refused
#[cfg(target_os = "linux")]
#[test]
fn a_password_in_the_clear_is_refused_and_allowed() {
    let node = Fake::replying("{}");
    let url = node.url.replace("127.0.0.1", "0.0.0.0");
    let text = format!("the password would go to {url} in the clear: ");
    assert!(refusal(to(&url), 2).starts_with(&text));
    assert!(node.requests.try_recv().is_err());
    let mut command = to(&url);
    assert!(command.arg("--allow-plaintext").output().unwrap().status.success());
    assert!(node.request().contains("authorization: Basic "));
}

#[test]
fn what_goes_over_the_wire() {
    let node = Fake::replying("{}");
    assert!(to(&format!("{}/gate?x=1", node.url)).output().unwrap().status.success());
    let request = node.request();
    let host = node.url.strip_prefix("http://").unwrap();
    let expected = [
        "POST /gate?x=1 HTTP/1.1",
        &format!("host: {host}"),
        "content-type: application/json",
        "authorization: Basic YWRtaW46czNjcmV0LW9mLXRoZS10ZXN0",
        "\r\n\r\n{\"operation\":\"cluster_get_routes\"}",
    ];
    for part in expected {
        assert!(request.contains(part), "{part}: {request}");
    }
}

// covers: cli.strangers
#[test]
fn strangers() {
    for (bytes, text) in [
        ("SSH-2.0-OpenSSH\r\n", "URL does not speak HTTP; perhaps it is at https://"),
        (
            "HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n",
            "URL answers with status 302: it is no node",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
            "the reply of URL is not JSON: expected value at line 1 column 1",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1073741825\r\n\r\n{",
            "the reply of URL is larger than 1 GiB",
        ),
        (
            "",
            "URL closed the connection before its reply; whether it did what was asked is not known",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
            "URL closed the connection before its reply; whether it did what was asked is not known",
        ),
        (
            "HTTP/1.1 500 X\r\nContent-Length: 23\r\n\r\n{\"error\":\"a\\u001b[2Jb\"}",
            "a\\u{1b}[2Jb",
        ),
    ] {
        let stranger = Fake::saying(bytes);
        let said = refusal(to(&stranger.url), 1);
        assert_eq!(said.replace(&stranger.url, "URL"), text, "{bytes}");
    }
}

// covers: cli.deadline
#[test]
fn who_says_nothing_is_given_up() {
    let (_open, until) = channel::<()>();
    let silent = Fake::doing(move |_| {
        let _ = until.recv();
    });
    let mut command = to(&silent.url);
    command.args(["--timeout", "1"]);
    let text = "URL did not reply within 1 s; whether it did what was asked is not known";
    let began = Instant::now();
    assert_eq!(refusal(command, 1).replace(&silent.url, "URL"), text);
    assert!(began.elapsed() < DEADLINE);

    let mut command = to(&silent.url);
    command.args(["--timeout", "0"]);
    assert!(refusal(command, 2).starts_with("invalid value '0' for '--timeout <SECONDS>'"));
}

#[test]
fn a_hostile_reply_does_not_move_the_cursor() {
    for json in ["json=false", "json=true"] {
        let node = Fake::replying("{\"a\\u001b[2J\":\"\\u001b]0;x\\u0007\u{9b}2J\\r\"}");
        let mut command = to(&node.url);
        let output = command.arg(json).output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    }
}

// covers: cli.closed-pipe
#[test]
fn a_pipe_that_is_closed_ends_it_quietly() {
    for body in ["{}".to_owned(), format!("[{}0]", "0,".repeat(1 << 20))] {
        let (tell, closed) = channel();
        let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let node = Fake::doing(move |stream| {
            closed.recv().unwrap();
            stream.write_all(reply.as_bytes()).unwrap();
        });
        let mut command = to(&node.url);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(process.stdout.take());
        tell.send(()).unwrap();
        let output = process.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
    }
}

/// A disk that is full is another thing than a reader who has left.
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
        return;
    };
    let node = Node::start();
    let mut command = to(&node.url);
    command.stdout(full);
    let text = "standard output cannot be written: No space left on device (os error 28)";
    assert_eq!(refusal(command, 1), text);
}

// covers: cli.login.environment
#[test]
fn a_password_of_the_environment_goes_to_nobody_else() {
    let node = Node::start();
    let mut command = to(&node.url);
    command.arg("username=other");
    let text = format!(
        "{} asks for a login: set CLI_TARGET_USERNAME and CLI_TARGET_PASSWORD, or give username= \
         and --password-stdin, or call it on a terminal to be asked",
        node.url
    );
    assert_eq!(refusal(command, 2), text);
    let mut command = to(&node.url);
    assert!(command.arg("username=admin").output().unwrap().status.success());
}

struct Certified {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Certified {
    /// For this name, by nobody else, as a node makes one for itself.
    fn by_itself(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap();
        Self { certificate: certificate.self_signed(&key).unwrap(), key }
    }

    /// For this name, until this year.
    fn by(authority: &Authority, name: &str, year: i32) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut certificate = CertificateParams::new([name.to_owned()]).unwrap();
        certificate.not_after = rcgen::date_time_ymd(year, 1, 1);
        Self { certificate: certificate.signed_by(&key, authority).unwrap(), key }
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.distinguished_name.push(DnType::CommonName, name);
    authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap()
}

/// A call with these certificates, and those that the machine has.
fn over_tls(target: &str, cacert: Option<&str>, of_machine: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, pem: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, pem).unwrap();
        file
    };
    let mut command = to(target);
    command.env("SSL_CERT_FILE", write("machine.pem", of_machine));
    if let Some(pem) = cacert {
        command.arg("--cacert").arg(write("ca.pem", pem));
    }
    command.output().unwrap()
}

// covers: cli.tls.cacert, cli.tls.machine
#[test]
fn a_node_that_is_trusted() {
    let (ours, other) = (authority("ours"), authority("other"));
    let by_ours = Certified::by(&ours, "localhost", 4000);
    let address = Certified::by(&ours, "127.0.0.1", 4000);
    let by_itself = Certified::by_itself("localhost");
    for (host, certificate, cacert, machine) in [
        ("localhost", &by_itself, Some(by_itself.certificate.pem()), other.pem()),
        ("localhost", &by_ours, Some(other.pem() + &ours.pem()), other.pem()),
        ("127.0.0.1", &address, Some(ours.pem()), other.pem()),
        ("localhost", &by_ours, None, ours.pem()),
    ] {
        let node = Fake::with_tls(host, certificate);
        let output = over_tls(&node.url, cacert.as_deref(), &machine);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, b"{}\n");
        assert!(node.request().contains("authorization: Basic "));
    }
}

#[test]
fn the_certificate_that_a_node_has_made_for_itself() {
    let node = Node::start_with_tls();
    let folder = node.root().join("keys");
    let certificate = std::fs::read_to_string(folder.join("self-signed-certificate.pem")).unwrap();
    let localhost = node.url.replace("127.0.0.1", "localhost");
    for target in [&node.url, &localhost] {
        let output = over_tls(target, Some(&certificate), "");
        assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"hub: []\nleaf: []\n"[..]));
    }
}

// covers: cli.tls.verified
#[test]
fn nothing_is_told_to_a_node_that_is_not_trusted() {
    let (ours, other) = (authority("ours"), authority("other"));
    let by_ours = Certified::by(&ours, "localhost", 4000);
    let of_another_name = Certified::by(&ours, "node.example.org", 4000);
    let old = Certified::by(&ours, "localhost", 2020);
    let by_itself = Certified::by_itself("localhost");
    let as_before = Certified::by_itself("localhost");
    let nobody = "the certificate of URL comes from nobody whom this machine trusts: if it is the \
                  node's own, or of an authority of yours, name that file with --cacert FILE";
    for (certificate, cacert, machine, text) in [
        (&by_ours, None, other.pem(), nobody),
        (&by_itself, None, ours.pem(), nobody),
        (&by_itself, Some(as_before.certificate.pem()), ours.pem(), nobody),
        // The named file alone counts.
        (&by_ours, Some(other.pem()), ours.pem(), nobody),
        (
            &of_another_name,
            Some(ours.pem()),
            ours.pem(),
            "the certificate of URL is not for 'localhost': ",
        ),
        (&old, Some(ours.pem()), ours.pem(), "the certificate of URL has expired: "),
        (
            &by_ours,
            None,
            String::new(),
            "this machine trusts no certificate authority: name one with --cacert FILE",
        ),
    ] {
        let node = Fake::with_tls("localhost", certificate);
        let Output { status, stderr, .. } = over_tls(&node.url, cacert.as_deref(), &machine);
        let said = String::from_utf8(stderr).unwrap().replace(&node.url, "URL");
        assert!(said.starts_with(&format!("harper-host: {text}")), "{said}");
        assert_eq!((status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(node.requests.try_recv().is_err());
    }
}

#[test]
fn tls_and_none_are_told_apart() {
    let plain = Fake::saying("HTTP/1.1 400 Bad Request\r\n\r\n");
    let target = plain.url.replace("http:", "https:");
    let said = String::from_utf8(over_tls(&target, None, &authority("ours").pem()).stderr).unwrap();
    assert_eq!(
        said,
        format!("harper-host: {target} does not speak TLS: perhaps it is at http://\n")
    );

    let tls = Fake::with_tls("localhost", &Certified::by_itself("localhost"));
    let target = tls.url.replace("https:", "http:");
    let text = format!("{target} does not speak HTTP; perhaps it is at https://");
    assert_eq!(refusal(to(&target), 1), text);
}
