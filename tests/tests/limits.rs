//! Every limit binds: just over it the call is stopped with a clear sentence, below it the same
//! call works, and the next call works in any case.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harper_host::{
    BoxFuture, Caller, Change, ComponentSource, Config, ConfigError, ErrorKind, Grants, Host,
    KeyPath, Limits, Role, Snapshot,
};
use harper_tests::Node;
use serde_json::{Value, json};

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

async fn hostile(limits: Limits) -> Node {
    Node::with_hostile("", Grants::default(), limits).await.unwrap()
}

/// `within` passes; `over` is stopped with this text, and after it the plugin still works.
async fn check(limits: Limits, name: &str, within: u64, over: u64, text: &str) {
    let node = hostile(limits).await;
    let operation = format!("hostile_{name}");
    let request = |amount| json!({ "operation": operation, "amount": amount });
    node.send(request(within)).await.unwrap();
    let error = node.send(request(over)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
    assert_eq!(error.message, format!("Operation '{operation}' {text}"));
    node.send(json!({ "operation": "hostile_echo" })).await.unwrap();
}

#[tokio::test]
async fn memory() {
    let text = "was stopped: it needed more than 16777216 bytes of memory";
    check(limits(|limits| limits.memory = 16 << 20), "allocate", 8 << 20, 32 << 20, text).await;
}

#[tokio::test]
async fn cpu() {
    let text = "was stopped: it used more than 300 ms of processor time";
    let limits = limits(|limits| limits.cpu = Duration::from_millis(300));
    check(limits, "compute", 1, 100_000, text).await;
}

#[tokio::test]
async fn waiting_is_no_use_of_the_processor() {
    let limits = limits(|limits| limits.cpu = Duration::from_millis(100));
    let node = hostile(limits).await;
    node.send(json!({ "operation": "hostile_sleep", "amount": 400 })).await.unwrap();
}

#[tokio::test]
async fn an_endless_loop() {
    let node = hostile(limits(|limits| limits.cpu = Duration::from_millis(50))).await;
    let error = node.send(json!({ "operation": "hostile_loop_forever" })).await.unwrap_err();
    let text =
        "Operation 'hostile_loop_forever' was stopped: it used more than 50 ms of processor time";
    assert_eq!(error.message, text);
    node.send(json!({ "operation": "hostile_echo" })).await.unwrap();
}

#[tokio::test]
async fn wall_clock() {
    let text = "was stopped: it took longer than 300 ms";
    let limits = limits(|limits| limits.wall_clock = Duration::from_millis(300));
    check(limits, "sleep", 1, 60_000, text).await;
}

/// Endless loops on every thread of the runtime: they yield, so others are served meanwhile.
#[tokio::test]
async fn loops_do_not_starve_others() {
    let node = hostile(limits(|limits| limits.cpu = Duration::from_secs(60))).await;
    let loops: Vec<_> = (0..4)
        .map(|_| {
            let host = node.host.clone();
            tokio::spawn(async move {
                let request = json!({ "operation": "hostile_loop_forever" });
                host.dispatch(&Caller::super_user("admin"), request).await
            })
        })
        .collect();
    for _ in 0..10 {
        let echo = node.send(json!({ "operation": "hostile_echo" }));
        tokio::time::timeout(Duration::from_secs(10), echo).await.unwrap().unwrap();
    }
    for running in loops {
        assert!(!running.is_finished(), "the loops ran all the while");
        // Dropping a call ends it.
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
    }
}

#[tokio::test]
async fn deep_recursion() {
    let node = hostile(Limits::default()).await;
    node.send(json!({ "operation": "hostile_recurse", "amount": 100 })).await.unwrap();
    let request = json!({ "operation": "hostile_recurse", "amount": 100_000_000 });
    let error = node.send(request).await.unwrap_err();
    let text = "Operation 'hostile_recurse' was stopped: it recursed too deeply";
    assert_eq!(error.message, text);
    node.send(json!({ "operation": "hostile_echo" })).await.unwrap();
}

#[tokio::test]
async fn a_panic() {
    let node = hostile(Limits::default()).await;
    let error = node.send(json!({ "operation": "hostile_panic" })).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
    let text = "Operation 'hostile_panic' failed unexpectedly: the host's log has the cause";
    assert_eq!(error.message, text);
    node.send(json!({ "operation": "hostile_echo" })).await.unwrap();
}

#[tokio::test]
async fn host_calls() {
    let text = "was stopped: it made more than 100 calls to the host";
    let limits = limits(|limits| limits.host_calls = 100);
    check(limits, "call_host", 100, 101, text).await;
    check(limits, "sleep_together", 100, 101, text).await;
}

#[tokio::test]
async fn exchanged_bytes() {
    let text = "was stopped: it exchanged more than 1000 bytes with the host";
    check(limits(|limits| limits.exchanged_bytes = 1000), "log_bytes", 1000, 1002, text).await;
}

/// Far over the limit the host does not even copy the bytes.
#[tokio::test]
async fn exchanged_bytes_are_not_copied_first() {
    let node = hostile(limits(|limits| {
        limits.exchanged_bytes = 1000;
        limits.reply_bytes = 1000;
    }))
    .await;
    for name in ["log_bytes", "reply_bytes"] {
        let operation = format!("hostile_{name}");
        let request = json!({ "operation": operation, "amount": 8 << 20 });
        let error = node.send(request).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Failed);
        assert!(error.message.starts_with(&format!("Operation '{operation}' ")), "{error}");
        node.send(json!({ "operation": "hostile_echo" })).await.unwrap();
    }
}

#[tokio::test]
async fn reply_bytes() {
    let text = "was stopped: it replied with more than 1000 bytes";
    check(limits(|limits| limits.reply_bytes = 1000), "reply_bytes", 1000, 1001, text).await;
}

/// An error's text is a reply too.
#[tokio::test]
async fn refusal_bytes() {
    let node = hostile(limits(|limits| limits.reply_bytes = 1000)).await;
    let send =
        |amount: u64| node.send(json!({ "operation": "hostile_refuse_bytes", "amount": amount }));
    assert_eq!(send(1000).await.unwrap_err().message.len(), 1000);
    let text = "Operation 'hostile_refuse_bytes' was stopped: it replied with more than 1000 bytes";
    assert_eq!(send(1001).await.unwrap_err().message, text);
}

/// A reply of few bytes may take many to build.
#[tokio::test]
async fn reply_values() {
    let text = "was stopped: it replied with more values than fit into 16000000 bytes";
    let limits = limits(|limits| limits.reply_bytes = 1_000_000);
    check(limits, "reply_zeros", 100_000, 400_000, text).await;
}

#[tokio::test]
async fn values_for_the_configuration_are_not_built_first() {
    let mut granted = Grants::default();
    granted.config.write = vec!["a".parse().unwrap()];
    let limits = limits(|limits| limits.exchanged_bytes = 1_000_000);
    let node = Node::with_hostile("", granted, limits).await.unwrap();
    let send = |amount: u64| {
        let name = "hostile_config_set_zeros";
        node.send(json!({ "operation": name, "path": "a", "amount": amount }))
    };
    assert_eq!(send(10_000).await.unwrap_err().message, "Error::Conflict");
    let error = send(100_000).await.unwrap_err();
    let text = "was stopped: it exchanged more than 1000000 bytes with the host";
    assert!(error.message.ends_with(text), "{error}");
}

#[tokio::test]
async fn no_limit_on_time() {
    let node = hostile(limits(|limits| {
        limits.wall_clock = Duration::MAX;
        limits.cpu = Duration::MAX;
    }))
    .await;
    node.send(json!({ "operation": "hostile_echo" })).await.unwrap();
}

#[tokio::test]
async fn a_reply_must_be_json() {
    let node = hostile(Limits::default()).await;
    let deep = json!({ "operation": "hostile_reply_deep_json", "amount": 100_000 });
    for request in [json!({ "operation": "hostile_reply_no_json" }), deep] {
        let error = node.send(request).await.unwrap_err();
        assert!(error.message.ends_with("failed unexpectedly: the host's log has the cause"));
    }
    let request = json!({ "operation": "hostile_reply_deep_json", "amount": 100 });
    node.send(request).await.unwrap();
}

// covers: http.413.operation
#[tokio::test]
async fn request_bytes() {
    let node = hostile(limits(|limits| limits.request_bytes = 1000)).await;
    let request = |size| json!({ "operation": "hostile_echo", "text": "x".repeat(size) });
    node.send(request(900)).await.unwrap();
    let error = node.send(request(1000)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert_eq!(error.message, "The request body is over the limit of 1000 bytes of 'hostile_echo'");
}

#[tokio::test]
async fn more_calls_than_places_wait_their_turn() {
    let node = hostile(Limits::default()).await;
    let start = Instant::now();
    let calls: Vec<_> = (0..150)
        .map(|_| {
            let host = node.host.clone();
            tokio::spawn(async move {
                let request = json!({ "operation": "hostile_sleep", "amount": 50 });
                host.dispatch(&Caller::super_user("admin"), request).await
            })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(Value::Null));
    }
    assert!(start.elapsed() >= Duration::from_millis(150), "there are 64 places");
}

#[tokio::test]
async fn who_finds_no_place_in_time_is_told_so() {
    let node = hostile(limits(|limits| limits.wall_clock = Duration::from_millis(1500))).await;
    let sleepers: Vec<_> = (0..64)
        .map(|_| {
            let host = node.host.clone();
            tokio::spawn(async move {
                let request = json!({ "operation": "hostile_sleep", "amount": 60_000 });
                host.dispatch(&Caller::super_user("admin"), request).await
            })
        })
        .collect();
    tokio::task::yield_now().await;
    // One plugin's calls wait, and so does another's, until the first are stopped.
    let reply = node.send(json!({ "operation": "cluster_get_routes" })).await;
    assert_eq!(reply, Ok(json!({ "hub": [], "leaf": [] })));
    for sleeper in sleepers {
        let error = sleeper.await.unwrap().unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Failed | ErrorKind::Busy), "{error:?}");
    }
}

/// What it was asked for.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<usize>>>);

impl Config for Asked {
    fn get(&self, paths: Vec<KeyPath>) -> BoxFuture<'_, Result<Snapshot, ConfigError>> {
        self.0.lock().unwrap().push(paths.len());
        let values = vec![json!("x".repeat(100)); paths.len()];
        Box::pin(async { Ok(Snapshot { revision: String::new(), values }) })
    }

    fn set(&self, _: String, changes: Vec<Change>) -> BoxFuture<'_, Result<String, ConfigError>> {
        self.0.lock().unwrap().push(changes.len());
        Box::pin(async { Ok(String::new()) })
    }
}

#[tokio::test]
async fn one_call_to_the_configuration_asks_for_little() {
    let asked = Asked::default();
    let mut grants = Grants::default();
    grants.config.read = vec!["a".parse().unwrap()];
    grants.config.write = grants.config.read.clone();
    let plugin = ComponentSource::bytes(harper_tests::HOSTILE);
    let builder = Host::builder().config(asked.clone());
    let host = builder.plugin("hostile", plugin, grants, Limits::default()).build().await.unwrap();
    let send = async |name: &str, amount: u64| {
        let request = json!({ "operation": name, "path": "a", "amount": amount });
        host.dispatch(&Caller::super_user("admin"), request).await
    };
    assert_eq!(send("hostile_config_get_again", 64).await, Ok(json!(64)));
    assert_eq!(*asked.0.lock().unwrap(), [1], "one value, however often it is named");
    assert_eq!(send("hostile_config_set_again", 64).await, Ok(json!("")));
    for name in ["hostile_config_get_again", "hostile_config_set_again"] {
        let error = send(name, 65).await.unwrap_err();
        assert!(error.message.contains("in one call, and at most 64 are allowed"), "{error}");
    }
    assert_eq!(*asked.0.lock().unwrap(), [1, 64]);
}

#[tokio::test]
async fn no_state_is_kept_between_calls() {
    let node = hostile(Limits::default()).await;
    for _ in 0..3 {
        let reply = node.send(json!({ "operation": "hostile_remember" })).await;
        assert_eq!(reply, Ok(json!(0)));
    }
}

/// The host's own plugin keeps its instances: each call has the whole budget nevertheless, and an
/// instance that was stopped serves nobody again.
#[tokio::test]
async fn a_kept_instance_gets_a_new_budget_at_each_call() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(harper_host::config::FILE_NAME);
    let small = limits(|limits| {
        limits.host_calls = 2;
        limits.exchanged_bytes = 4 << 10;
        limits.cpu = Duration::from_millis(200);
    });
    let route = |n: usize| format!("      - {{ host: node-{n}.example.org, port: 9932 }}\n");
    let write = |routes: usize| {
        let head = "clustering:\n  hubServer: { cluster: { network: { routes: null } } }\n  leafServer:\n    network:\n     routes:\n";
        let text = head.to_owned() + &(0..routes).map(route).collect::<String>();
        std::fs::write(&file, text).unwrap();
    };
    write(1);
    let host = Host::builder().root_path(folder.path()).clustering_limits(small).build();
    let host = host.await.unwrap();
    let get = async || {
        let request = json!({ "operation": "cluster_get_routes" });
        host.dispatch(&Caller::super_user("admin"), request).await
    };
    for round in 0..3 {
        write(1);
        // More calls, bytes and time in all than one call may use.
        let until = Instant::now() + Duration::from_millis(300);
        let mut calls = 0;
        while calls < 100 || Instant::now() < until {
            assert_eq!(get().await.unwrap()["leaf"].as_array().unwrap().len(), 1, "round {round}");
            calls += 1;
        }
        write(500);
        let text = get().await.unwrap_err().message;
        let expected = "Operation 'cluster_get_routes' was stopped: it exchanged more than 4096 bytes with the host";
        assert_eq!(text, expected);
    }
}

#[tokio::test]
async fn a_limit_that_the_host_cannot_keep_is_refused() {
    let limits = limits(|limits| limits.memory = (1 << 30) + 1);
    let error = Node::with_hostile("", Grants::default(), limits).await.err().unwrap();
    let text = "plugin 'hostile': a plugin's memory limit must be at most 1073741824 bytes, not 1073741825";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn only_super_users_may_call_what_is_restricted() {
    let node = hostile(Limits::default()).await;
    let request = json!({ "operation": "hostile_remember" });
    for role in [Role::ClusterUser, Role::Named("dev".into())] {
        let caller = Caller::new("someone", role);
        let error = node.host.dispatch(&caller, request.clone()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Forbidden);
        let text = "Operation 'hostile_remember' is restricted to super_user roles";
        assert_eq!(error.message, text);
        let echo = json!({ "operation": "hostile_echo" });
        let error = node.host.dispatch(&caller, echo).await.unwrap_err();
        assert_eq!(error.message, "Operation 'hostile_echo' is not allowed for this user's role");
    }
    node.send(request).await.unwrap();
}
