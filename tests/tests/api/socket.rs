//! The Unix socket in the node's folder: who gets in, and where it cannot be.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use harper_host::Host;
use harper_host::api::{Config, SOCKET_NAME, Server, SocketError};
use harper_host::users::Users;
use rustix::process::geteuid;
use serde_json::json;
use tokio::net::UnixListener;

use super::log::lines_with;
use super::node::{ECHO, JSON, Node, basic, config, head, host, post, soon, users};

// covers: http.socket, http.socket.parameters
#[tokio::test]
async fn nobody_logs_in_and_everybody_is_super_user() {
    let node = Node::start(config()).await;
    let user = format!("uid {}", geteuid().as_raw());
    let mut client = node.connect_socket().await;
    let new = json!({ "operation": "echo", "username": "new", "password": "p", "role": "r" });
    for (headers, request) in [
        (vec![JSON], json!({ "operation": "echo" })),
        // These are parameters, and a header that would not do is not looked at.
        (vec![JSON], new),
        (vec![JSON, &basic("bob:wrong")], json!({ "operation": "echo" })),
    ] {
        client.send(post(&headers, request.to_string())).await;
        let expected =
            json!({ "user": user, "role": "SuperUser", "origin": "socket", "request": request });
        assert_eq!(client.reply().await.json(), expected);
    }
    // The same request by the port, where it says who asks.
    let reply = node.ask(post(&[JSON], ECHO)).await;
    assert_eq!(reply.error(), (401, "Must login".into()));
    let lines = lines_with("peer=socket");
    assert!(lines.iter().all(|line| line.contains(&format!("user={user} "))), "{lines:?}");
    assert!(lines.len() >= 3);
}

#[tokio::test]
async fn it_is_the_same_api() {
    let node = Node::start(Config { max_body_size: 1000, ..config() }).await;
    let mut client = node.connect_socket().await;
    client.send(head("GET /health HTTP/1.1", &[])).await;
    assert_eq!(client.reply().await.json(), json!({ "status": "ok" }));
    client.send(head("GET /x HTTP/1.1", &[])).await;
    assert_eq!(client.reply().await.error(), (404, "Not found".into()));
    client.send(post(&["Content-Type: text/plain"], ECHO)).await;
    assert_eq!(client.reply().await.status, 415);
    client.send(post(&[JSON], r#"{"operation":"nothing"}"#)).await;
    assert_eq!(client.reply().await.error(), (400, "Operation 'nothing' not found".into()));
    // A limit that was set too small can be set again from here.
    let echo = format!("{ECHO}{}", " ".repeat((1 << 20) - ECHO.len()));
    client.send(post(&[JSON], echo)).await;
    assert_eq!(client.reply().await.status, 200);
    client.send(post(&[JSON], vec![b' '; (1 << 20) + 1])).await;
    assert_eq!(client.reply().await.status, 413);
    client.closed().await;
}

/// Those who are in by the port do not keep the operator out; and no number gets in by the socket.
// covers: http.socket.places
#[tokio::test]
async fn it_has_some_places_of_its_own() {
    let node = Node::start(Config { max_connections: 1, ..config() }).await;
    let health = head("GET /health HTTP/1.1", &[]);
    let mut first = node.connect().await;
    first.send(&health).await;
    assert_eq!(first.reply().await.status, 200);
    let mut all = Vec::new();
    for _ in 0..8 {
        let mut client = node.connect_socket().await;
        client.send(&health).await;
        assert_eq!(client.reply().await.status, 200);
        all.push(client);
    }
    let mut next = node.connect_socket().await;
    next.send(&health).await;
    let waits = tokio::time::timeout(Duration::from_millis(150), next.0.get_mut().readable());
    assert!(waits.await.is_err());
    drop(all.pop());
    assert_eq!(next.reply().await.status, 200);
}

#[tokio::test]
async fn it_is_drained_and_removed() {
    let mut node = Node::start(config()).await;
    let mut idle = node.connect_socket().await;
    idle.send(post(&[JSON], ECHO)).await;
    assert_eq!(idle.reply().await.status, 200);
    let mut running = node.connect_socket().await;
    running.send(post(&[JSON], r#"{"operation":"hold"}"#)).await;
    node.gate.begun().await;
    node.stop();
    idle.closed().await;
    assert!(!node.socket.exists(), "nobody is accepted any more");
    assert!(!node.served.is_finished());
    node.gate.open.add_permits(1);
    assert_eq!(running.reply().await.status, 200);
    soon(node.served).await.unwrap();
}

/// Where servers are made, and what is needed for one.
struct Place(tempfile::TempDir, Host, Users);

impl Place {
    async fn new() -> Place {
        super::log::catch();
        let root = tempfile::tempdir().unwrap();
        let users = users(root.path()).await;
        Place(root, host().await.0, users)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join(SOCKET_NAME)
    }

    async fn bind(&self) -> Server {
        self.bind_at(self.path()).await.unwrap()
    }

    async fn bind_at(&self, path: PathBuf) -> Result<Server, harper_host::api::BindError> {
        let config = Config { socket: Some(path), ..config() };
        Server::bind(config, self.1.clone(), self.2.clone()).await
    }

    async fn refused(&self, path: &Path) -> String {
        match self.bind_at(path.into()).await {
            Err(error) => error.to_string(),
            Ok(_) => panic!("it listens"),
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

/// What stands in a folder beside the node's database.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "database").collect()
}

// covers: http.socket.private
#[tokio::test]
async fn it_is_its_owners_alone_also_in_a_folder_that_is_not() {
    let place = Place::new().await;
    for (folder_mode, warned) in [(0o700, 0), (0o755, 1), (0o777, 1)] {
        let folder = place.0.path().join(format!("{folder_mode:o}"));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(folder_mode)).unwrap();
        let path = folder.join(SOCKET_NAME);
        let server = place.bind_at(path.clone()).await.unwrap();
        assert_eq!(server.addresses().socket.as_ref(), Some(&path));
        assert!(fs::metadata(&path).unwrap().file_type().is_socket());
        assert_eq!((mode(&path), names(&folder)), (0o600, vec![SOCKET_NAME.into()]));
        let lines = lines_with(&format!("folder={} ", folder.display()));
        assert_eq!(lines.len(), warned, "{lines:?}");
        for line in lines {
            assert!(line.starts_with("WARN") && line.contains(&format!("mode={folder_mode:o}")));
        }
        drop(server);
        assert!(names(&folder).is_empty(), "a server that never served removes it too");
    }
}

// covers: http.socket.stale
#[tokio::test]
async fn one_that_nobody_answers_is_replaced() {
    let place = Place::new().await;
    // The file stays, as after a process that was killed.
    drop(std::os::unix::net::UnixListener::bind(place.path()).unwrap());
    assert!(place.path().exists());
    let server = place.bind().await;
    assert_eq!(mode(&place.path()), 0o600);
    tokio::net::UnixStream::connect(place.path()).await.unwrap();
    drop(server);
    assert!(!place.path().exists());
}

// covers: http.socket.live
#[tokio::test]
async fn one_that_somebody_answers_is_left_alone() {
    let place = Place::new().await;
    let other = UnixListener::bind(place.path()).unwrap();
    let (path, process) = (place.path(), std::process::id());
    let expected = format!("the socket {} is in use by process {process}", path.display());
    assert_eq!(place.refused(&path).await, expected);
    // Also when it has so many clients waiting that it takes no more.
    let mut waiting = Vec::new();
    while let Ok(stream) = tokio::net::UnixStream::connect(&path).await {
        waiting.push(stream);
    }
    let expected = format!("the socket {} is in use by another process", path.display());
    assert_eq!(place.refused(&path).await, expected);
    other.accept().await.unwrap();
    tokio::net::UnixStream::connect(&path).await.unwrap();
}

// covers: http.socket.in-the-way
#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let place = Place::new().await;
    let path = place.path();
    let expected =
        format!("{} is no socket: move it away, the node makes its socket there", path.display());
    fs::write(&path, "mine").unwrap();
    assert_eq!(place.refused(&path).await, expected);
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(place.refused(&path).await, expected);
    fs::remove_dir(&path).unwrap();
    // A link to a dead socket is no socket either.
    let dead = place.0.path().join("dead");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    symlink(&dead, &path).unwrap();
    assert_eq!(place.refused(&path).await, expected);
    assert!(path.is_symlink() && dead.exists());
}

// covers: http.socket.path-too-long
#[tokio::test]
async fn a_path_that_is_too_long() {
    let place = Place::new().await;
    let folder = place.0.path().join("x".repeat(100));
    let path = folder.join(SOCKET_NAME);
    let error = match place.bind_at(path.clone()).await {
        Err(harper_host::api::BindError::Socket(error)) => error,
        other => panic!("{:?}", other.map(|_| "it listens")),
    };
    assert!(matches!(error, SocketError::TooLong { .. }));
    let length = path.as_os_str().len();
    let text = error.to_string();
    assert!(text.contains(&format!(" has {length} bytes, and 107 are the most: ")), "{text}");
    // What the text advises.
    fs::create_dir(&folder).unwrap();
    let short = place.0.path().join("short");
    symlink(&folder, &short).unwrap();
    let server = place.bind_at(short.join(SOCKET_NAME)).await.unwrap();
    assert!(path.exists());
    drop(server);
    assert!(!path.exists());
}

#[tokio::test]
async fn only_its_own_is_removed() {
    let place = Place::new().await;
    let server = place.bind().await;
    fs::remove_file(place.path()).unwrap();
    let other = UnixListener::bind(place.path()).unwrap();
    drop(server);
    assert!(place.path().exists(), "another took the place meanwhile");
    drop(other);
}
