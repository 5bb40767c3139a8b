//! Where credentials come from, and what becomes of them.

use futures_util::future::{join_all, select_all};
use serde_json::json;
use tokio::{io::AsyncReadExt, time::Instant};

use super::node::{ECHO, JSON, Node, basic, bob, config, head, post, soon};

#[tokio::test]
async fn those_in_the_body_are_taken_out_of_the_request() {
    let node = Node::start(config()).await;
    let body = r#"{"username":"bob","operation":"echo","password":"right","a":1,"b":2}"#;
    let reply = node.ask(post(&[JSON], body)).await.json();
    assert_eq!(reply["user"], "bob");
    assert_eq!(reply["request"].to_string(), r#"{"operation":"echo","a":1,"b":2}"#);
}

#[tokio::test]
async fn beside_a_header_those_in_the_body_are_parameters() {
    let node = Node::start(config()).await;
    let new = json!({ "operation": "echo", "username": "new", "password": "p", "role": "r" });
    let reply = node.call(new.clone()).await.json();
    assert_eq!((&reply["user"], &reply["request"]), (&json!("bob"), &new));
    let reply =
        node.ask(post(&[JSON, &basic("bob:wrong")], r#"{"username":"bob","password":"right"}"#));
    assert_eq!(reply.await.error(), (401, "Login failed".into()), "no second try");
}

#[tokio::test]
async fn colons_and_other_letters_in_passwords() {
    let node = Node::start(config()).await;
    let role = harper_host::Role::SuperUser;
    for (name, password) in [("ann", "a:b::"), ("zoë", "пароль 密码"), ("x", " ")] {
        node.users.add(name, password, &role, true).await.unwrap();
        let reply =
            node.ask(post(&[JSON, &basic(format!("{name}:{password}"))], ECHO)).await.json();
        assert_eq!((&reply["user"], &reply["role"]), (&json!(name), &json!("SuperUser")));
    }
}

/// Nothing of the body is sent, and yet there is an answer.
#[tokio::test]
async fn a_wrong_header_is_refused_before_the_body_is_read() {
    let node = Node::start(config()).await;
    for header in [basic("bob:wrong"), "Authorization: Basic !".into()] {
        let mut client = node.connect().await;
        client.send(head("POST / HTTP/1.1", &[JSON, &header, "Content-Length: 1000"])).await;
        assert_eq!(client.reply().await.status, 401);
        let mut client = node.connect().await;
        let expect = "Expect: 100-continue";
        client.send(head("POST / HTTP/1.1", &[JSON, &header, expect, "Content-Length: 9"])).await;
        assert_eq!(client.reply().await.status, 401);
    }
    let mut client = node.connect().await;
    let length = format!("Content-Length: {}", ECHO.len());
    let headers = [JSON, &bob(), "Expect: 100-continue", &length];
    client.send(head("POST / HTTP/1.1", &headers)).await;
    let mut go_on = vec![0; 25];
    soon(client.0.read_exact(&mut go_on)).await.unwrap();
    assert_eq!(go_on, b"HTTP/1.1 100 Continue\r\n\r\n", "a right one is asked for the body");
    client.send(ECHO).await;
    assert_eq!(client.reply_to("POST").await.status, 200);
}

#[tokio::test]
async fn a_browsers_script_is_not_challenged() {
    let node = Node::start(config()).await;
    let challenge = Some("Basic realm=\"harper\", charset=\"UTF-8\"");
    let reply = node.ask(post(&[JSON], "{}")).await;
    assert_eq!((reply.status, reply.header("www-authenticate")), (401, challenge));
    let reply = node.ask(post(&[JSON, "Origin: https://studio.example"], "{}")).await;
    assert_eq!((reply.status, reply.header("www-authenticate")), (401, None));
    assert_eq!(node.call(json!({})).await.header("www-authenticate"), None);
}

#[tokio::test]
async fn a_changed_user_is_out_at_once() {
    let node = Node::start(config()).await;
    assert_eq!(node.call(json!({ "operation": "echo" })).await.status, 200);
    node.users.add("ann", "right", &harper_host::Role::SuperUser, true).await.unwrap();
    node.users.remove("bob").await.unwrap();
    assert_eq!(node.call(json!({})).await.error(), (401, "Login failed".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_wrong_passwords_do_not_slow_a_right_one() {
    let node = Node::start(harper_host::api::Config { max_connections: 1100, ..config() }).await;
    assert_eq!(node.call(json!({ "operation": "echo" })).await.status, 200);
    let mut clients = join_all((0..1000).map(|_| node.connect())).await;
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(post(&[JSON, &basic(format!("bob:wrong {n}"))], "{}")).await;
    }
    for _ in 0..20 {
        let start = Instant::now();
        assert_eq!(node.call(json!({ "operation": "echo" })).await.status, 200);
        assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
    }
    let any = select_all(clients.iter_mut().map(|client| Box::pin(client.reply())));
    assert_eq!(any.await.0.error(), (401, "Login failed".into()));
}

/// The head is that of someone who may, and the body comes when they may no more.
#[tokio::test]
async fn who_is_removed_before_the_body_is_there_is_out() {
    let node = Node::start(config()).await;
    let admin = harper_host::Role::SuperUser;
    node.users.add("su", "right", &admin, true).await.unwrap();
    let mut client = node.connect().await;
    let length = format!("Content-Length: {}", ECHO.len());
    let headers = [JSON, &basic("su:right"), "Expect: 100-continue", &length];
    client.send(head("POST / HTTP/1.1", &headers)).await;
    let mut go_on = vec![0; 25];
    soon(client.0.read_exact(&mut go_on)).await.unwrap();
    node.users.remove("su").await.unwrap();
    client.send(ECHO).await;
    assert_eq!(client.reply().await.error(), (401, "Login failed".into()));
}

/// All places to run are taken until she is gone.
#[tokio::test]
async fn who_is_removed_while_the_operation_waits_for_its_place_is_out() {
    let node = Node::start(harper_host::api::Config { max_connections: 100, ..config() }).await;
    node.users.add("su", "right", &harper_host::Role::SuperUser, true).await.unwrap();
    let routes = r#"{"operation":"cluster_get_routes"}"#;
    let closed = node.gate.config.clone().write_owned().await;
    let mut others = join_all((0..64).map(|_| node.connect())).await;
    for other in &mut others {
        other.send(post(&[JSON, &bob()], routes)).await;
    }
    node.gate.read(64).await;
    let mut client = node.connect().await;
    client.send(post(&[JSON, &basic("su:right")], ECHO)).await;
    assert_eq!(client.reply().await.status, 200);
    client.send(post(&[JSON, &basic("su:right")], routes)).await;
    // By when this is answered, the one before it waits.
    assert_eq!(node.call(json!({ "operation": "echo" })).await.status, 200);
    node.users.remove("su").await.unwrap();
    drop(closed);
    assert_eq!(client.reply().await.error(), (401, "Login failed".into()));
    for other in &mut others {
        assert_eq!(other.reply().await.status, 500);
    }
    assert_eq!(node.gate.reads.load(std::sync::atomic::Ordering::SeqCst), 64);
}
