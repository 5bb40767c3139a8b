//! The program `harper-host run`, killed while it writes, and on a disk that is full.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::{Value, json};

/// No request and no start takes longer.
const DEADLINE: Duration = Duration::from_secs(60);
/// How many times `make soak` kills the node.
const ROUNDS: &str = "HARPER_CRASH_ROUNDS";
const WRITERS: usize = 4;
/// Rows of one request.
const BATCH: usize = 5;

/// A running node, killed when the test is over.
struct Node(Child);

impl Node {
    /// Starts it, and waits until it is ready.
    fn start(root: &Path) -> Node {
        // The limit of a file's size is then an error, and not the end.
        let mut child = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" run --rootpath \"$1\""])
            .arg(env!("CARGO_BIN_EXE_harper-host"))
            .arg(root)
            .env("HDB_ADMIN_USERNAME", "admin")
            .env("HDB_ADMIN_PASSWORD", "s3cret-of-the-test")
            .env("OPERATIONSAPI_NETWORK_PORT", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let node = Node(child);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).unwrap();
        assert!(line.starts_with("harper-host is ready at "), "{line:?}");
        node
    }

    /// Kills it as a power cut would, but for the disk's cache.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Lets no file of its grow beyond so many bytes; none is without a limit.
    fn limit_files(&self, bytes: Option<u64>) {
        let pid = Pid::from_child(&self.0);
        let maximum = getrlimit(Resource::Fsize).maximum;
        let current = bytes.or(maximum);
        prlimit(Some(pid), Resource::Fsize, Rlimit { current, maximum }).unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Status and reply of one request, unless the connection breaks.
fn ask(root: &Path, request: &Value) -> Option<(u16, Value)> {
    let mut stream = UnixStream::connect(root.join("operations-server")).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let body = request.to_string();
    write!(
        stream,
        "POST / HTTP/1.0\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    let (head, body) = reply.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).ok()?))
}

fn done(root: &Path, request: Value) -> Value {
    let (status, reply) = ask(root, &request).unwrap();
    assert_eq!(status, 200, "{request} {reply}");
    reply
}

fn all_rows(root: &Path) -> Vec<Value> {
    let search = json!({
        "operation": "search_by_value", "database": "dev", "table": "dog", "attribute": "id",
        "value": "*", "get_attributes": ["*"],
    });
    done(root, search).as_array().unwrap().clone()
}

/// What a row holds beside its key: it follows from the key.
fn row(id: &str) -> Value {
    json!({ "id": id, "text": id.repeat(8), "list": [id, { "again": id }] })
}

/// What the writers know was kept.
#[derive(Default)]
struct Kept {
    batches: BTreeSet<String>,
    /// The last number that each writer has written over its one row, and the last that it sent.
    counters: BTreeMap<usize, (u64, u64)>,
    acknowledged: usize,
}

/// Writes until the node is gone.
fn write(root: &Path, round: usize, writer: usize, kept: &Mutex<Kept>) {
    for n in 0.. {
        let batch = format!("{round}.{writer}.{n}");
        let rows: Vec<_> = (0..BATCH).map(|i| row(&format!("{batch}.{i}"))).collect();
        let insert = json!({
            "operation": "insert", "database": "dev", "table": "dog", "records": rows,
        });
        let Some((status, _)) = ask(root, &insert) else { return };
        assert_eq!(status, 200);
        let number = {
            let mut kept = kept.lock().unwrap();
            kept.batches.insert(batch);
            kept.acknowledged += 1;
            let (_, sent) = kept.counters.entry(writer).or_default();
            *sent += 1;
            *sent
        };
        let upsert = json!({
            "operation": "upsert", "database": "dev", "table": "counter",
            "records": [{ "id": writer, "number": number }],
        });
        let Some((status, _)) = ask(root, &upsert) else { return };
        assert_eq!(status, 200);
        kept.lock().unwrap().counters.get_mut(&writer).unwrap().0 = number;
    }
}

fn check(root: &Path, kept: &Kept) {
    let mut batches: BTreeMap<String, usize> = BTreeMap::new();
    let rows = all_rows(root);
    let number = rows.len();
    for mut found in rows {
        let entries = found.as_object_mut().unwrap();
        entries.remove("__createdtime__").unwrap();
        entries.remove("__updatedtime__").unwrap();
        let id = found["id"].as_str().unwrap().to_owned();
        assert_eq!(found, row(&id), "a row is half");
        *batches.entry(id.rsplit_once('.').unwrap().0.to_owned()).or_default() += 1;
    }
    for (batch, rows) in &batches {
        assert_eq!(*rows, BATCH, "of the request {batch} only so many rows are there");
    }
    for batch in &kept.batches {
        assert!(batches.contains_key(batch), "{batch} was acknowledged and is lost");
    }
    let describe = json!({ "operation": "describe_table", "database": "dev", "table": "dog" });
    assert_eq!(done(root, describe)["record_count"], number);
    for (writer, (acknowledged, sent)) in &kept.counters {
        let get = json!({
            "operation": "search_by_id", "database": "dev", "table": "counter", "ids": [writer],
            "get_attributes": ["*"],
        });
        let number = done(root, get)[0]["number"].as_u64().unwrap_or(0);
        assert!((*acknowledged..=*sent).contains(&number), "{acknowledged} {number} {sent}");
    }
}

// covers: layer.crash
#[test]
fn what_was_acknowledged_survives_kill_9_and_nothing_is_half() {
    let rounds = std::env::var(ROUNDS).map_or(10, |rounds| rounds.parse().unwrap());
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let kept = Mutex::new(Kept::default());
    let mut node = Node::start(root);
    for table in ["dog", "counter"] {
        done(
            root,
            json!({
                "operation": "create_table", "database": "dev", "table": table, "primary_key": "id",
            }),
        );
    }
    for round in 0..rounds {
        let enough = kept.lock().unwrap().acknowledged + 5 + round * 7 % 40;
        std::thread::scope(|scope| {
            let kept = &kept;
            for writer in 0..WRITERS {
                scope.spawn(move || write(root, round, writer, kept));
            }
            let deadline = Instant::now() + DEADLINE;
            while kept.lock().unwrap().acknowledged < enough {
                assert!(Instant::now() < deadline, "nothing is written");
                std::thread::sleep(Duration::from_millis(1));
            }
            node.kill();
        });
        node = Node::start(root);
        check(root, &kept.lock().unwrap());
    }
}

// covers: layer.disk-full
#[test]
fn on_a_full_disk_reads_go_on_and_with_room_writes_do_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let node = Node::start(root);
    done(
        root,
        json!({
            "operation": "create_table", "database": "dev", "table": "dog", "primary_key": "id",
        }),
    );
    let file = root.join("database/harper.redb");
    node.limit_files(Some(std::fs::metadata(file).unwrap().len()));
    let insert = |id: usize| {
        let records = [json!({ "id": id, "text": "x".repeat(100_000) })];
        let insert = json!({
            "operation": "insert", "database": "dev", "table": "dog", "records": records,
        });
        ask(root, &insert).unwrap()
    };
    let mut written = 0;
    let (status, reply) = loop {
        match insert(written) {
            (200, _) => written += 1,
            refused => break refused,
        }
        assert!(written < 1000, "it is never full");
    };
    let text = "The disk is full: nothing can be written until there is room";
    assert_eq!((status, &reply["error"]), (500, &json!(text)));
    let check = || {
        let ids: Vec<_> = all_rows(root).iter().map(|row| row["id"].clone()).collect();
        assert_eq!(ids, (0..written).map(Value::from).collect::<Vec<_>>());
    };
    check();
    assert_eq!(insert(written).0, 500);
    check();
    node.limit_files(None);
    let deadline = Instant::now() + DEADLINE;
    while insert(written).0 != 200 {
        assert!(Instant::now() < deadline, "it takes no writes though there is room");
        std::thread::sleep(Duration::from_millis(50));
    }
    written += 1;
    let check = || assert_eq!(all_rows(root).len(), written);
    check();
    node.kill();
    let _node = Node::start(root);
    check();
}
