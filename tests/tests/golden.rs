//! Runs the cases of `golden/`, each against a node of its own, over HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use futures_util::{StreamExt, stream};
use harper_host::Role;
use harper_host::config::FILE_NAME;
use harper_host::data::{Data, DataConfig};
use harper_host::store::Store;
use harper_host::testing::FakeNode;
use harper_host::users::{UserInfo, Users};
use harper_tests::api::{ApiNode, Reply, ask};
use harper_tests::golden::{self, ANY_TIME, ANY_UUID, Caller, Case, Credentials};
use harper_tests::tables::Tables;
use serde_json::{Value, json};

/// Nodes at the same time. Most of a case's time is the check of a password.
const AT_ONCE: usize = 4;

/// Where the store keeps its file in a node's folder.
const DATABASE: &str = "database/harper.redb";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_cases() {
    let write = match std::env::var("GOLDEN").as_deref() {
        Ok("write") => true,
        Ok(other) => panic!("GOLDEN={other}: only GOLDEN=write means something"),
        Err(_) => false,
    };
    let (cases, mut wrong) = golden::cases().unwrap();
    assert!(!cases.is_empty(), "there are no cases");
    let database = &database_with_users().await;
    let results: Vec<_> = stream::iter(&cases)
        .map(|case| async move {
            let got = match run(case, database).await {
                Ok(got) => got,
                Err(error) => return vec![format!("{}: {error:#}", case.name)],
            };
            if write { rewrite(case, &got).unwrap() } else { compare(case, &got) }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    wrong.extend(results.into_iter().flatten());
    let note = if write {
        "GOLDEN=write: look at what was rewritten (git diff), then run the test without it\n"
    } else {
        ""
    };
    assert!(!write && wrong.is_empty(), "{note}{}\n{} wrong", wrong.join("\n"), wrong.len());
}

/// What came of a case.
struct Got {
    reply: Reply,
    file: Vec<u8>,
    backups: Vec<Vec<u8>>,
    users: Value,
    tables: Tables,
    /// What was asked of the cluster.
    calls: Value,
    /// What stands in the node's folder that has no place there.
    strays: Vec<String>,
}

async fn run(case: &Case, database: &[u8]) -> anyhow::Result<Got> {
    let root = tempfile::tempdir()?;
    let config = root.path().join(FILE_NAME);
    fs::create_dir(root.path().join("database"))?;
    fs::write(root.path().join(DATABASE), database)?;
    fs::write(&config, &case.before)?;
    if case.tables != Tables::default() {
        let data = data(root.path()).await?;
        case.tables.make(&data).await?;
        data.close().await;
    }
    let cluster = case.cluster.clone().map(FakeNode::new);
    let node = ApiNode::start_with(root.path(), |host| match &cluster {
        Some(cluster) => cluster.give_to(host),
        None => host,
    });
    let node = node.await?;
    if let Some(edited) = &case.edited {
        fs::write(&config, edited)?;
    }
    let reply = ask(node.address, &case.settings.line, &headers(case), &case.request).await?;
    node.stop().await?;
    let users = Users::open(Store::open(root.path()).await?, Duration::ZERO).list().await?;
    let data = data(root.path()).await?;
    let tables = Tables::read(&data).await?;
    data.close().await;
    let backups = root.path().join("backup");
    let backups = if backups.exists() { golden::entries(&backups)? } else { Vec::new() };
    Ok(Got {
        reply,
        file: fs::read(config)?,
        backups: backups.iter().map(fs::read).collect::<Result<_, _>>()?,
        users: users.iter().map(shown).collect(),
        tables,
        calls: calls(cluster.as_ref()),
        strays: strays(root.path())?,
    })
}

/// What was asked of the cluster.
fn calls(cluster: Option<&FakeNode>) -> Value {
    let mut calls = cluster.map(FakeNode::calls).unwrap_or_default().into();
    hide_changes(&mut calls);
    calls
}

/// The names that a node gives to its changes are others each time.
fn hide_changes(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(name) if key == "change" || key == "part_of" => {
                        *name = "<change>".into();
                    }
                    value => hide_changes(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_changes),
        _ => {}
    }
}

fn headers(case: &Case) -> Vec<String> {
    let mut headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    if let (Credentials::Header, Some((name, password))) =
        (case.settings.credentials, case.settings.caller.credentials())
    {
        let encoded = Base64::encode_string(format!("{name}:{password}").as_bytes());
        headers.push(("Authorization".into(), format!("Basic {encoded}")));
    }
    for (name, value) in &case.settings.headers {
        headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        headers.extend(value.iter().map(|value| (name.clone(), value.clone())));
    }
    headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
}

/// A user as `users.json` has them.
fn shown(user: &UserInfo) -> Value {
    json!({ "username": user.username, "role": user.role.name(), "active": user.active })
}

/// The users that each node starts with.
fn users_before() -> Value {
    let user = |(caller, role): &(Caller, Role)| {
        let username = caller.credentials().unwrap().0;
        json!({ "username": username, "role": role.name(), "active": true })
    };
    users_of_cases().iter().map(user).collect()
}

/// What came, with a time and a key wherever the expected value allows any.
fn with_times(expected: &Value, got: Value) -> Value {
    match (expected, got) {
        (Value::String(any), Value::Number(n)) if any == ANY_TIME && n.is_u64() => ANY_TIME.into(),
        (Value::String(any), Value::String(key)) if any == ANY_UUID && key.len() == 36 => {
            ANY_UUID.into()
        }
        (Value::Object(expected), Value::Object(got)) => {
            let field = |(key, value): (String, Value)| {
                let expected = expected.get(&key).unwrap_or(&Value::Null);
                let value = with_times(expected, value);
                (key, value)
            };
            Value::Object(got.into_iter().map(field).collect())
        }
        (Value::Array(expected), Value::Array(got)) => {
            let expected = expected.iter().chain(std::iter::repeat(&Value::Null));
            expected.zip(got).map(|(expected, got)| with_times(expected, got)).collect()
        }
        (_, got) => got,
    }
}

/// Names of files and folders that no write should leave behind.
fn strays(root: &Path) -> anyhow::Result<Vec<String>> {
    let known = [FILE_NAME, &format!("{FILE_NAME}.lock"), "backup", "cache", "database", "log"];
    let names = golden::entries(root)?;
    let names = names.iter().filter_map(|path| path.file_name()?.to_str());
    Ok(names.filter(|name| !known.contains(name)).map(str::to_owned).collect())
}

/// All that is not as the case wants it.
fn compare(case: &Case, got: &Got) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |what: &str, expected: String, got: String| {
        if expected != got {
            wrong.push(format!("{}: {what}\n{}", case.name, diff(&expected, &got)));
        }
    };
    check("status", case.settings.status.to_string(), got.reply.status.to_string());
    let kind = got.reply.header("content-type").unwrap_or("none");
    check("Content-Type of the reply", "application/json".into(), kind.into());
    match &case.reply {
        Some(reply) => {
            let got = with_times(reply, body(&got.reply));
            check("reply.json", pretty(reply), pretty(&got));
        }
        None => check("reply.json is missing", String::new(), pretty(&body(&got.reply))),
    }
    let before = case.edited.as_ref().unwrap_or(&case.before);
    let what = if case.after.is_some() { "after.yaml" } else { "the file, which must not change" };
    check(what, text(case.after.as_ref().unwrap_or(before)), text(&got.file));
    let expected: Vec<_> = case.after.iter().map(|_| before).collect();
    let backups = |files: Vec<&Vec<u8>>| files.into_iter().map(|file| text(file)).collect();
    check("backup/", backups(expected), backups(got.backups.iter().collect()));
    let users = case.users.clone().unwrap_or_else(users_before);
    check("users.json", pretty(&users), pretty(&got.users));
    if case.users == Some(users_before()) {
        check("users.json is as before: remove it", String::new(), "users.json".into());
    }
    let expected = case.tables_after.as_ref().unwrap_or(&case.tables);
    check("tables", yaml(expected), yaml(&masked(expected, &got.tables)));
    if case.tables_after.as_ref() == Some(&case.tables) {
        check("tables-after.yaml is as before: remove it", String::new(), "tables-after".into());
    }
    let calls = case.calls.clone().unwrap_or_else(|| json!([]));
    check("calls.json", pretty(&calls), pretty(&got.calls));
    check("left behind", String::new(), got.strays.join("\n"));
    if case.after.as_ref() == Some(before) {
        check("after.yaml is as before: remove it", String::new(), "after.yaml".into());
    }
    wrong
}

/// Makes the expected files from what came, and says which.
fn rewrite(case: &Case, got: &Got) -> anyhow::Result<Vec<String>> {
    let mut rewritten = Vec::new();
    let reply = with_times(case.reply.as_ref().unwrap_or(&Value::Null), body(&got.reply));
    if case.reply.as_ref() != Some(&reply) {
        let text = serde_json::to_string_pretty(&reply)? + "\n";
        fs::write(case.folder.join("reply.json"), text)?;
        rewritten.push(format!("{}: reply.json", case.name));
    }
    let before = case.edited.as_ref().unwrap_or(&case.before);
    let after = Some(&got.file).filter(|file| *file != before);
    if case.after.as_ref() != after {
        let path = case.folder.join("after.yaml");
        match after {
            Some(file) => fs::write(path, file)?,
            None => fs::remove_file(path)?,
        }
        rewritten.push(format!("{}: after.yaml", case.name));
    }
    let users = Some(&got.users).filter(|users| **users != users_before());
    if case.users.as_ref() != users {
        let path = case.folder.join("users.json");
        match users {
            Some(users) => fs::write(path, serde_json::to_string_pretty(users)? + "\n")?,
            None => fs::remove_file(path)?,
        }
        rewritten.push(format!("{}: users.json", case.name));
    }
    let tables = masked(case.tables_after.as_ref().unwrap_or(&case.tables), &got.tables);
    let tables = Some(tables).filter(|tables| *tables != case.tables);
    if case.tables_after != tables {
        let path = case.folder.join("tables-after.yaml");
        match &tables {
            Some(tables) => fs::write(path, yaml(tables))?,
            None => fs::remove_file(path)?,
        }
        rewritten.push(format!("{}: tables-after.yaml", case.name));
    }
    let calls = Some(&got.calls).filter(|calls| **calls != json!([]));
    if case.calls.as_ref() != calls {
        let path = case.folder.join("calls.json");
        match calls {
            Some(calls) => fs::write(path, serde_json::to_string_pretty(calls)? + "\n")?,
            None => fs::remove_file(path)?,
        }
        rewritten.push(format!("{}: calls.json", case.name));
    }
    if case.settings.status != got.reply.status {
        rewritten.push(format!("{}: case.yaml: the status is {}", case.name, got.reply.status));
    }
    Ok(rewritten)
}

/// The tables with a key wherever the expected ones allow any.
fn masked(expected: &Tables, got: &Tables) -> Tables {
    let value = |tables: &Tables| serde_json::to_value(tables).unwrap();
    serde_json::from_value(with_times(&value(expected), value(got))).unwrap()
}

fn yaml(tables: &Tables) -> String {
    serde_yaml::to_string(tables).unwrap()
}

fn body(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).unwrap_or_else(|_| Value::from(reply.body.as_str()))
}

/// As text in which the order of keys makes no difference.
fn pretty(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    serde_json::to_string_pretty(&value).unwrap()
}

/// As text that shows line endings and bytes that are no UTF-8.
fn text(bytes: &[u8]) -> String {
    let text = bytes.utf8_chunks().map(|chunk| {
        let invalid: String = chunk.invalid().iter().map(|byte| format!("‹{byte:02x}›")).collect();
        chunk.valid().replace('\r', "‹CR›").replace('\u{feff}', "‹BOM›") + &invalid
    });
    let text: String = text.collect();
    if text.ends_with('\n') { text } else { text + "‹no newline›\n" }
}

/// The lines that differ, with a few around them.
fn diff(expected: &str, got: &str) -> String {
    const AROUND: usize = 3;
    let (expected, got): (Vec<_>, Vec<_>) = (expected.lines().collect(), got.lines().collect());
    let same = |(one, other): &(&&str, &&str)| one == other;
    let start = expected.iter().zip(&got).take_while(same).count();
    let (expected_rest, got_rest) = (&expected[start..], &got[start..]);
    let end = expected_rest.iter().rev().zip(got_rest.iter().rev()).take_while(same).count();
    let prefixed = |sign: &'static str, lines: &[&str]| {
        lines.iter().map(|line| format!("  {sign} {line}\n")).collect::<String>()
    };
    let tail = &got_rest[got_rest.len() - end..];
    prefixed("           ", &expected[start.saturating_sub(AROUND)..start])
        + &prefixed("- expected:", &expected_rest[..expected_rest.len() - end])
        + &prefixed("+ got:     ", &got_rest[..got_rest.len() - end])
        + &prefixed("           ", &tail[..tail.len().min(AROUND)])
}

/// Those who can be a case's caller, in the order of their names.
fn users_of_cases() -> [(Caller, Role); 3] {
    [
        (Caller::SuperUser, Role::SuperUser),
        (Caller::ClusterUser, Role::ClusterUser),
        (Caller::Developer, Role::Named("developer".into())),
    ]
}

/// The databases in the folder of a node that does not run.
async fn data(root: &Path) -> anyhow::Result<Data> {
    Ok(Data::open(Store::open(root).await?, DataConfig::default()).await?)
}

/// The file of a store with the users who can be a case's caller, made once: hashing passwords
/// takes its time.
async fn database_with_users() -> Vec<u8> {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).await.unwrap();
    let users = Users::open(store, Duration::ZERO);
    for (caller, role) in users_of_cases() {
        let (name, password) = caller.credentials().unwrap();
        users.add(name, password, &role, true).await.unwrap();
    }
    drop(users);
    fs::read(root.path().join(DATABASE)).unwrap()
}
