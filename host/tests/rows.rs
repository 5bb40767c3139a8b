//! The program with many rows: memory stays bounded, whatever a search finds.
//!
//! `HARPER_ROWS` in the environment is how many, as in `make soak`; without, there are as many as matter.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// Rows of one request.
const BATCH: usize = 2000;
/// Bytes that a row has at least.
const ROW: usize = 300;
/// Megabytes that a search may take beside what was in use before: its parts, and the database's
/// cache of 64 MiB.
const MOST: u64 = 80;

struct Node {
    process: Child,
    folder: tempfile::TempDir,
}

impl Node {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_harper-host"))
            .args(["run", "--rootpath"])
            .arg(folder.path())
            .env("HDB_ADMIN_USERNAME", "admin")
            .env("HDB_ADMIN_PASSWORD", "s3cret-of-the-test")
            .env("OPERATIONSAPI_NETWORK_PORT", "null")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("harper-host is ready"), "{line:?}");
        Self { process, folder }
    }

    /// A connection to its socket, with the request sent.
    fn send(&self, request: &Value) -> BufReader<UnixStream> {
        let socket: &Path = &self.folder.path().join("operations-server");
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let body = request.to_string();
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut reader = BufReader::with_capacity(1 << 16, stream);
        let mut status = String::new();
        reader.read_line(&mut status).unwrap();
        assert_eq!(status, "HTTP/1.1 200 OK\r\n", "{request}");
        let mut line = String::from("x");
        while !line.trim_end().is_empty() {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        reader
    }

    fn ask(&self, request: &Value) -> Value {
        let mut body = String::new();
        self.send(request).read_to_string(&mut body).unwrap();
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    /// Megabytes of its memory: `VmRSS`, or `VmHWM` for the most since [`forget`](Self::forget).
    fn memory(&self, which: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap();
        line.trim_matches([':', ' ', '\t', 'k', 'B']).parse::<u64>().unwrap() / 1024
    }

    fn forget(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5").unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Reads a body in chunks to its end; how many bytes it has, and how many rows.
fn read(mut reader: BufReader<UnixStream>) -> (usize, usize) {
    let (mut bytes, mut rows, mut last) = (0, 0, Vec::new());
    loop {
        let mut size = String::new();
        reader.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim_end(), 16).expect("the size of a chunk");
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).unwrap();
        chunk.truncate(size);
        if chunk.is_empty() {
            assert_eq!(last, b"]", "the array has an end");
            return (bytes, rows);
        }
        bytes += size;
        // A part begins with the rows' separator.
        last = chunk;
        rows += last.windows(7).filter(|window| window == b"{\"id\":\"").count();
    }
}

// covers: data.search.memory
#[test]
fn a_huge_result_goes_out_in_bounded_memory() {
    let rows: usize = std::env::var("HARPER_ROWS").map_or(100_000, |rows| rows.parse().unwrap());
    let node = Node::start();
    node.ask(&json!({ "operation": "create_table", "table": "many", "primary_key": "id" }));
    for first in (0..rows).step_by(BATCH) {
        let count = BATCH.min(rows - first);
        let row = |n: usize| {
            json!({
                "id": format!("{n:08}"), "a": "x".repeat(ROW / 3), "b": n, "c": "y".repeat(ROW / 3),
                "d": n % 7, "e": true, "f": [n, n], "g": "z".repeat(ROW / 3),
            })
        };
        let records: Vec<_> = (first..first + count).map(row).collect();
        let insert = json!({ "operation": "insert", "table": "many", "records": records });
        let reply = node.ask(&insert);
        assert_eq!(reply["message"], format!("inserted {count} of {count} records"));
    }
    let described = node.ask(&json!({ "operation": "describe_table", "table": "many" }));
    assert_eq!(described["record_count"], rows);

    let search = |value| {
        json!({
            "operation": "search_by_value", "table": "many", "attribute": "id", "value": value,
            "get_attributes": ["*"],
        })
    };
    let before = node.memory("VmRSS");
    node.forget();
    // Nobody reads this one: it waits, and takes no memory for what it has found.
    let unread = node.send(&search("*"));
    let (bytes, found) = read(node.send(&search("*")));
    let most = node.memory("VmHWM");
    println!("{found} rows in {bytes} bytes: from {before} to {most} MB");
    assert_eq!(found, rows);
    assert!(bytes > rows * ROW);
    assert!(most < before + MOST, "{before} MB, and then {most} MB for {bytes} bytes");
    // Others are served meanwhile, and who goes away stops his own.
    let one = node.ask(&search("00000007"));
    assert_eq!(one[0]["b"], 7);
    drop(unread);

    let ids: Vec<_> = (0..1000).map(|n| format!("{n:08}")).collect();
    let by_id = json!({
        "operation": "search_by_id", "table": "many", "ids": ids, "get_attributes": "*",
    });
    assert_eq!(read(node.send(&by_id)).1, 1000);
}
