//! Each limit of the configuration binds, and one plugin's flood leaves the others their places.

use std::time::{Duration, Instant};

use harper_tests::plugins::{Folder, PluginNode as Node};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::node;

/// A limit, a request that is within it, one that is over it, and what is said of that one.
struct Limit {
    key: &'static str,
    value: u64,
    operation: &'static str,
    within: u64,
    over: u64,
    text: &'static str,
}

const LIMITS: [Limit; 7] = [
    Limit {
        key: "memory",
        value: 16 << 20,
        operation: "hostile_allocate",
        within: 8 << 20,
        over: 32 << 20,
        text: "was stopped: it needed more than 16777216 bytes of memory",
    },
    Limit {
        key: "cpu",
        value: 300,
        operation: "hostile_compute",
        within: 1,
        over: 100_000,
        text: "was stopped: it used more than 300 ms of processor time",
    },
    Limit {
        key: "wallClock",
        value: 300,
        operation: "hostile_sleep",
        within: 1,
        over: 60_000,
        text: "was stopped: it took longer than 300 ms",
    },
    Limit {
        key: "hostCalls",
        value: 100,
        operation: "hostile_call_host",
        within: 100,
        over: 101,
        text: "was stopped: it made more than 100 calls to the host",
    },
    Limit {
        key: "replyBytes",
        value: 1000,
        operation: "hostile_reply_bytes",
        within: 1000,
        over: 1001,
        text: "was stopped: it replied with more than 1000 bytes",
    },
    Limit {
        key: "exchangedBytes",
        value: 1000,
        operation: "hostile_log_bytes",
        within: 1000,
        over: 1002,
        text: "was stopped: it exchanged more than 1000 bytes with the host",
    },
    Limit {
        key: "requestBytes",
        value: 1000,
        operation: "hostile_echo",
        within: 900,
        over: 1000,
        text: "",
    },
];

// covers: plugins.limits
#[tokio::test]
async fn each_limit_binds() {
    for Limit { key, value, operation, within, over, text } in LIMITS {
        let (_folder, node) = node(json!({}), json!({ key: value })).await;
        let request = |amount: u64| match key {
            "requestBytes" => {
                json!({ "operation": operation, "text": "x".repeat(amount as usize) })
            }
            _ => json!({ "operation": operation, "amount": amount }),
        };
        node.send(request(within)).await.unwrap();
        let error = node.ask(request(over)).await.unwrap_err();
        match key {
            "requestBytes" => {
                let text = "The request body is over the limit of 1000 bytes of 'hostile_echo'";
                assert_eq!(error, text);
            }
            _ => assert_eq!(error, format!("Operation '{operation}' {text}")),
        }
        node.send(json!({ "operation": "hostile_echo" })).await.unwrap();
    }
}

fn count(node: &Node, of: impl Fn(&str) -> bool) -> usize {
    node.logged.lines().iter().filter(|line| of(line)).count()
}

fn is_note(line: &str) -> bool {
    line.contains("is left out")
}

// covers: plugins.limits.log
#[tokio::test]
async fn a_call_may_log_so_much() {
    let (_folder, node) = node(json!({}), json!({ "logBytes": 10_000 })).await;
    let log = |amount: u64| json!({ "operation": "hostile_log_bytes", "amount": amount });
    // A line is escaped, which the limit counts: of each two bytes become three.
    node.send(log(4000)).await.unwrap();
    assert_eq!((count(&node, |_| true), count(&node, is_note)), (1, 0));
    // Lines of 4096 escape characters, each some 24 kB.
    node.send(json!({ "operation": "hostile_log_lines", "amount": 1000 })).await.unwrap();
    assert_eq!((count(&node, |_| true), count(&node, is_note)), (2, 1));
    let text = "what this call writes from here on is left out: it may write 10000 bytes";
    assert_eq!(node.logged.lines()[1], text);
    // The next one has room again.
    node.send(log(4000)).await.unwrap();
    assert_eq!((count(&node, |_| true), count(&node, is_note)), (3, 1));
}

// covers: plugins.limits.log
#[tokio::test]
async fn a_plugin_may_log_so_much_a_minute() {
    let limits = json!({ "logBytesPerMinute": 10_000 });
    let (_folder, node) = node(json!({}), limits).await;
    for _ in 0..100 {
        let log = json!({ "operation": "hostile_log_bytes", "amount": 1000 });
        node.send(log).await.unwrap();
    }
    let lines = node.logged.lines();
    assert_eq!(count(&node, is_note), 1, "{lines:?}");
    let bytes: usize = lines.iter().filter(|line| !is_note(line)).map(String::len).sum();
    assert!((8000..=10_000).contains(&bytes), "{bytes} bytes in {} lines", lines.len());
    let text = "what this plugin writes within a minute is left out from here on: it may write \
                10000 bytes";
    assert_eq!(lines.last().map(String::as_str), Some(text));
}

fn spawn(node: &Node, request: Value) -> tokio::task::JoinHandle<Result<Value, String>> {
    let node = node.clone();
    tokio::spawn(async move { node.ask(request).await })
}

// covers: plugins.limits.calls
#[tokio::test]
async fn a_plugin_may_have_so_many_calls_at_a_time() {
    let (_folder, node) = node(json!({}), json!({ "concurrentCalls": 2 })).await;
    let start = Instant::now();
    let sleep = json!({ "operation": "hostile_sleep", "amount": 100 });
    let calls: Vec<_> = (0..6).map(|_| spawn(&node, sleep.clone())).collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(Value::Null));
    }
    assert!(start.elapsed() >= Duration::from_millis(300), "two at a time");
}

// covers: plugins.limits.calls
#[tokio::test]
async fn nobody_waits_longer_for_a_place_than_for_a_reply() {
    let limits = json!({ "concurrentCalls": 1, "wallClock": 500 });
    let (_folder, node) = node(json!({}), limits).await;
    let sleep = json!({ "operation": "hostile_sleep", "amount": 60_000 });
    let calls: Vec<_> = (0..3).map(|_| spawn(&node, sleep.clone())).collect();
    for call in calls {
        // Who gets the place just before their time is up is stopped like the first.
        let told = [
            "The host is busy: try again later",
            "Operation 'hostile_sleep' was stopped: it took longer than 500 ms",
        ];
        let error = call.await.unwrap().unwrap_err();
        assert!(told.contains(&error.as_str()), "{error}");
    }
    node.send(json!({ "operation": "hostile_echo" })).await.unwrap();
}

// covers: plugins.flood
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_leaves_others_their_places_and_their_time() {
    let folder = Folder::new().unwrap();
    let one = folder.component("one", &json!({ "prefix": "one" })).unwrap();
    let two = folder.component("two", &json!({ "prefix": "two" })).unwrap();
    let limits = json!({ "cpu": 600_000, "wallClock": 600_000 });
    folder
        .configure(&json!([
            { "name": "one", "file": "one.wasm", "sha256": one, "limits": limits },
            { "name": "two", "file": "two.wasm", "sha256": two },
        ]))
        .unwrap();
    let node = folder.host().await.unwrap();
    let flood = |operation: &str, amount: u64| {
        spawn(&node, json!({ "operation": operation, "amount": amount }))
    };
    // More than all plugins together have places.
    let sleepers: Vec<_> = (0..100).map(|_| flood("one_sleep", 600_000)).collect();
    let loops: Vec<_> = (0..100).map(|_| flood("one_loop_forever", 0)).collect();
    for _ in 0..50 {
        for request in ["two_echo", "cluster_get_routes"] {
            let asked = node.send(json!({ "operation": request }));
            timeout(Duration::from_secs(10), asked).await.expect("in time").unwrap();
        }
    }
    for call in sleepers.into_iter().chain(loops) {
        assert!(!call.is_finished());
        call.abort();
    }
    // What was given up has made room.
    let echo = node.send(json!({ "operation": "one_echo" }));
    timeout(Duration::from_secs(10), echo).await.expect("in time").unwrap();
}
