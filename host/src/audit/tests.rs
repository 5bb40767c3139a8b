//! Tests of what the file holds.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::dispatch::{ErrorKind, Origin, Role};

use super::*;

fn lines(root: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(root.join("log").join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An operation whose schema names these keys.
fn operation(name: &str, keys: &[&str]) -> Operation {
    let keys: serde_json::Map<_, _> = keys.iter().map(|key| ((*key).into(), json!({}))).collect();
    Operation::new(name, "For tests").with_schema(json!({ "properties": keys }))
}

fn bob() -> Caller {
    Caller::new("bob", Role::SuperUser).with_origin(Origin::Address([10, 0, 0, 7].into()))
}

// covers: audit.line
#[tokio::test]
async fn a_line_says_who_what_when_from_where_and_what_came_of_it() {
    let root = tempfile::tempdir().unwrap();
    let log = AuditLog::open(root.path(), 1 << 20, 3).unwrap();
    let request = json!({ "operation": "x", "list": [{ "password": "hush" }], "y": 1 });
    let x = operation("x", &["list", "y"]);
    log.begin(&bob(), &x, &request).end(Ok(())).await;
    let refused = Error::new(ErrorKind::Forbidden, "no, u:hush@h");
    log.begin(&Caller::super_user("app"), &x, &json!({})).end(Err(&refused)).await;
    drop(log.begin(&Caller::super_user("app"), &x, &json!({ "y": "nats://u:hush@h" })));

    let lines = lines(root.path(), "audit.log");
    assert_eq!(lines.len(), 3);
    let part = |n: usize, key: &str| lines[n][key].clone();
    let time: Timestamp = part(0, "time").as_str().unwrap().parse().unwrap();
    assert!(time <= Timestamp::now() && part(0, "ms").is_u64());
    assert_eq!(
        [part(0, "user"), part(0, "role"), part(0, "from")],
        ["bob", "super_user", "10.0.0.7"]
    );
    assert_eq!(
        part(0, "request"),
        json!({ "operation": "x", "list": [{ "password": "********" }], "y": 1 })
    );
    assert_eq!(
        [part(0, "result"), part(1, "result"), part(2, "result")],
        ["ok", "forbidden", "given_up"]
    );
    assert_eq!([part(0, "error"), part(1, "error")], [Value::Null, json!("no, ********@h")]);
    assert_eq!(part(1, "from"), "program");
    assert_eq!(part(2, "request"), json!({ "y": "nats://********@h" }));
    let mode =
        |path: &str| fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("log"), mode("log/audit.log")), (0o700, 0o600));
}

// covers: audit.rotated
#[tokio::test]
async fn it_is_rotated_by_size_and_the_newest_are_kept() {
    let root = tempfile::tempdir().unwrap();
    let log = AuditLog::open(root.path(), 1, 2).unwrap();
    for n in 0..5 {
        log.begin(&bob(), &operation(&format!("x{n}"), &[]), &json!({})).end(Ok(())).await;
    }
    for (name, operation) in [("audit.log", "x4"), ("audit.log.1", "x3"), ("audit.log.2", "x2")] {
        let lines = lines(root.path(), name);
        assert_eq!((lines.len(), &lines[0]["operation"]), (1, &json!(operation)));
    }
    assert!(!root.path().join("log/audit.log.3").exists());
    let log = AuditLog::open(root.path(), 1, 0).unwrap();
    log.begin(&bob(), &operation("only", &[]), &json!({})).end(Ok(())).await;
    assert_eq!(lines(root.path(), "audit.log").len(), 1);
}

// covers: audit.lost
#[tokio::test]
async fn what_happens_to_the_file_meanwhile() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("log/audit.log");
    let log = AuditLog::open(root.path(), 1 << 20, 2).unwrap();
    let x = operation("x", &[]);
    let write = || log.begin(&bob(), &x, &json!({})).end(Ok(()));
    write().await;
    // Half a line, as a full disk leaves it.
    fs::write(&file, &fs::read(&file).unwrap()[..20]).unwrap();
    write().await;
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(serde_json::from_str::<Value>(text.lines().last().unwrap()).is_ok());
    // Its folder removed.
    fs::remove_dir_all(root.path().join("log")).unwrap();
    write().await;
    assert_eq!(lines(root.path(), "audit.log").len(), 1);
    let mode = fs::metadata(root.path().join("log")).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode, log.lost().get()), (0o700, 0));
    // Moved away, as logrotate does.
    fs::rename(&file, root.path().join("moved")).unwrap();
    write().await;
    assert_eq!(lines(root.path(), "audit.log").len(), 1);
    // A link to elsewhere is not followed, and no operation fails for it.
    fs::remove_file(&file).unwrap();
    symlink(root.path().join("moved"), &file).unwrap();
    let before = fs::read(root.path().join("moved")).unwrap();
    write().await;
    assert_eq!(fs::read(root.path().join("moved")).unwrap(), before);
    write().await;
    assert!(log.lost().get() == 2 && !log.is_written().await, "it is told");
    assert_eq!(log.lost().get(), 2, "to ask loses nothing");
    assert!(AuditLog::open(root.path(), 1, 1).is_err(), "a start says so");
    fs::remove_file(&file).unwrap();
    assert!(log.is_written().await && log.is_written().await);
    write().await;
    let lines = lines(root.path(), "audit.log");
    let (told, next) = (&lines[0], &lines[1]);
    assert_eq!((&told["result"], &told["lines"], lines.len()), (&json!("lost"), &json!(2), 2));
    assert_eq!(next["result"], "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lines_of_many_at_the_same_time() {
    let root = tempfile::tempdir().unwrap();
    let log = AuditLog::open(root.path(), 1 << 20, 2).unwrap();
    let writers: Vec<_> = (0..100)
        .map(|n| {
            let (log, path) = (log.clone(), root.path().join("log/audit.log"));
            tokio::spawn(async move {
                let x = operation(&format!("x{n}"), &[]);
                log.begin(&bob(), &x, &json!({})).end(Ok(())).await;
                // It is there when the reply goes out.
                let text = fs::read_to_string(path).unwrap();
                assert!(text.contains(&format!("\"x{n}\"")), "{n}");
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(lines(root.path(), "audit.log").len(), 100);
}

/// The end of a runtime takes the thread away that was to write; another one writes again.
#[test]
fn a_line_after_the_end_of_a_runtime() {
    let root = tempfile::tempdir().unwrap();
    let log = AuditLog::open(root.path(), 1 << 20, 2).unwrap();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let one = runtime();
    let handle = one.handle().clone();
    one.shutdown_background();
    let entered = handle.enter();
    let line = log.0.append_later(json!({ "lost": true }));
    assert!(line.blocking_recv().is_err(), "nobody waits for what is never written");
    drop(entered);
    let x = operation("x", &[]);
    runtime().block_on(log.begin(&bob(), &x, &json!({})).end(Ok(())));
    assert_eq!(lines(root.path(), "audit.log").len(), 1);
}

// covers: audit.refused
#[tokio::test(start_paused = true)]
async fn who_may_do_nothing_cannot_push_out_what_others_did() {
    let root = tempfile::tempdir().unwrap();
    let log = AuditLog::open(root.path(), 1 << 20, 2).unwrap();
    let refused = Error::new(ErrorKind::Forbidden, "no");
    for _ in 0..REFUSALS_A_MINUTE + 50 {
        log.refused(&bob(), "x", &refused).await;
    }
    assert_eq!(lines(root.path(), "audit.log").len(), REFUSALS_A_MINUTE as usize);
    tokio::time::advance(MINUTE).await;
    log.refused(&bob(), "x", &refused).await;
    let lines = lines(root.path(), "audit.log");
    let last = lines.last().unwrap();
    assert_eq!((&last["refused_before"], last.get("request")), (&json!(50), None));
    assert_eq!(last["result"], "forbidden");
}

#[tokio::test]
async fn nothing_of_a_line_is_a_secret_or_moves_a_cursor() {
    let root = tempfile::tempdir().unwrap();
    let log = AuditLog::open(root.path(), 1 << 20, 2).unwrap();
    let request = json!({
        "hdb_auth_header": "hush", "passwd": "hush", "Password1": "hush", "password ": "hush",
        "authorization": "hush", "private_key": "hush", "tls_privateKey": "hush",
        "x": { "client-secret": "hush" }, "shown": "a\u{9b}b\u{202e}c\nd\u{7f}",
    });
    let keys: Vec<_> = request.as_object().unwrap().keys().map(String::as_str).collect();
    log.begin(&bob(), &operation("x", &keys), &request).end(Ok(())).await;
    let text = fs::read_to_string(root.path().join("log/audit.log")).unwrap();
    assert!(!text.contains("hush"), "{text}");
    assert!(text.contains(r"a\u009bb\u202ec\nd\u007f"), "{text}");
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["request"]["shown"], "a\u{9b}b\u{202e}c\nd\u{7f}");
}
