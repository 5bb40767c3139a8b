//! Calls that are recorded: what stands in the file, and what a replay makes of it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use harper_host::recovery::Recovery;
use harper_host::testing::{Cluster, FakeNode, Peer, Server};
use harper_host::transcript::{Ended, Recorder, Transcript, replay};
use harper_host::{Caller, ComponentSource, Error, Grants, Host, Limits};
use harper_tests::nats::eventually;
use harper_tests::{CLUSTER_HEALTH, HOSTILE};
use serde_json::{Value, json};

use crate::asked;

/// A node whose calls are recorded.
struct Recorded {
    folder: tempfile::TempDir,
    host: Host,
}

impl Recorded {
    async fn with(cluster: Cluster, plugin: &[u8], grants: Grants, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = FakeNode::new(cluster);
        let recorder = Recorder::open(&folder.path().join("calls.jsonl")).unwrap();
        let builder = Host::builder().config(node.config().clone()).record(recorder);
        let component = ComponentSource::bytes(plugin);
        let builder = node.give_to(builder).plugin("theirs", component, grants, limits);
        Self { host: builder.build().await.unwrap(), folder }
    }

    async fn hostile(cluster: Cluster, grants: Grants) -> Self {
        Self::with(cluster, HOSTILE, grants, Limits::default()).await
    }

    async fn send(&self, request: Value) -> Result<Value, Error> {
        self.host.dispatch(&Caller::super_user("admin"), request).await
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("calls.jsonl")
    }
}

fn only(text: &str) -> Transcript {
    let mut all = Transcript::read_all(text).unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn reading(path: &str) -> Grants {
    let mut grants = Grants::default();
    grants.config.read.push(path.parse().unwrap());
    grants
}

// covers: transcripts.same
#[tokio::test]
async fn many_calls_at_the_same_time_are_replayed_in_their_order() {
    let mut cluster = Cluster { node_name: Some("a".into()), ..Cluster::default() };
    for n in 0..40u64 {
        let name = format!("node-{n:02}");
        cluster.nodes.push(json!({ "name": name, "subscriptions": [] }));
        let reply = json!({ "status": "success", "message": { "uptime": "8s" } });
        // Each another time, and not in the order in which they are asked.
        let peer = match n % 10 {
            7 => Peer::silent(),
            _ => Peer::replying(reply).after(n * 37 % 40),
        };
        cluster.peers.insert(name, peer);
    }
    cluster.servers.push(Server { name: "a-hub".into(), ..Server::default() });
    let recorded = Recorded::hostile(cluster, Grants::default()).await;
    let reply = recorded.send(json!({ "operation": "cluster_status" })).await.unwrap();
    let transcript = only(&recorded.text());
    assert_eq!(*transcript.ended(), Ended::Reply(reply));
    assert_eq!(transcript.plugin(), "clustering");
    let replayed = replay(&transcript, ComponentSource::clustering()).await.unwrap();
    assert!(replayed.is_same && replayed.difference.is_none(), "{replayed:?}");
}

// covers: transcripts.grants
#[tokio::test]
async fn what_was_denied_is_denied_again() {
    let servers = vec![Server { name: "a-hub".into(), ..Server::default() }];
    let cluster = || Cluster { servers: servers.clone(), ..Cluster::default() };
    let all = asked(CLUSTER_HEALTH).await;
    let mut fewer = all.clone();
    fewer.nats.servers = false;
    for (grants, allowed) in [(all, true), (fewer, false)] {
        let recorded = Recorded::with(cluster(), CLUSTER_HEALTH, grants, Limits::default()).await;
        let reply = recorded.send(json!({ "operation": "cluster_health" })).await;
        assert_eq!(reply.is_ok(), allowed, "{reply:?}");
        let transcript = only(&recorded.text());
        assert_eq!(transcript.component(), harper_host::plugins::sha256(CLUSTER_HEALTH));
        let component = ComponentSource::bytes(CLUSTER_HEALTH);
        let replayed = replay(&transcript, component).await.unwrap();
        assert!(replayed.is_same && replayed.difference.is_none(), "{replayed:?}");
    }
}

// covers: transcripts.difference
#[tokio::test]
async fn the_first_other_question_is_told() {
    let config = json!({ "a": { "one": 1, "two": 2 } });
    let cluster = Cluster { config, ..Cluster::default() };
    let recorded = Recorded::hostile(cluster, reading("a.*")).await;
    let request = json!({ "operation": "hostile_config_get", "path": "a.one" });
    assert_eq!(recorded.send(request).await, Ok(json!(["1"])));
    let text = recorded.text();
    let again =
        async |text: &str| replay(&only(text), ComponentSource::bytes(HOSTILE)).await.unwrap();
    assert_eq!(again(&text).await.difference, None);

    // As if the recorded component had asked for something else.
    let other = again(&text.replace(r#"{"paths":["a.one"]}"#, r#"{"paths":["a.two"]}"#)).await;
    let difference = other.difference.clone().unwrap();
    assert_eq!(difference.call, 1);
    assert_eq!(difference.expected, Some(json!({ "config.get": { "paths": ["a.two"] } })));
    assert_eq!(difference.got, Some(json!({ "config.get": { "paths": ["a.one"] } })));
    assert!(!other.is_same, "there was no answer to this: {other:?}");

    // As if it had asked nothing, or twice.
    let calls = |line: &&str| !line.contains("config.get") && !line.contains("\"answer\"");
    let none: String = text.lines().filter(calls).map(|line| format!("{line}\n")).collect();
    let difference = again(&none).await.difference.unwrap();
    assert_eq!((difference.call, difference.expected), (1, None));
    let (head, rest) = text.split_once('\n').unwrap();
    let (asked, end) = rest.rsplit_once("\n{").unwrap();
    let more =
        asked.replace(r#""call":0"#, r#""call":1"#).replace(r#""answer":0"#, r#""answer":1"#);
    let other = again(&format!("{head}\n{asked}\n{more}\n{{{end}")).await;
    let difference = other.difference.clone().unwrap();
    assert_eq!((difference.call, difference.got), (2, None));
    assert!(other.is_same);
    // As if the answer had been another one.
    let other = again(&text.replace(r#""values":[1]"#, r#""values":[5]"#)).await;
    assert_eq!((other.difference, other.is_same), (None, false));
}

// covers: transcripts.secrets
#[tokio::test]
async fn secrets_are_hidden() {
    const SECRET: &str = "s3cr3t";
    let config = json!({
        "a": { "password": SECRET, "url": format!("nats://me:{SECRET}@h:4222") },
    });
    let reply = json!({ "token": SECRET, "kept": "kept" });
    let bytes = serde_json::to_vec(&json!({ "password": SECRET })).unwrap();
    let cluster = Cluster {
        config,
        peers: [
            ("orders.eu.a".into(), Peer::replying(reply)),
            ("orders.eu.b".into(), Peer::replying_bytes(bytes)),
        ]
        .into(),
        ..Cluster::default()
    };
    let mut grants = reading("a.*");
    grants.config.write.push("a.*".parse().unwrap());
    grants.nats.request.push("orders.eu.*".parse().unwrap());
    let recorded = Recorded::hostile(cluster, grants).await;
    let send = |mut request: Value| {
        request["api_token"] = SECRET.into();
        request["url"] = format!("https://me:{SECRET}@h/").into();
        recorded.send(request)
    };
    for path in ["a.password", "a.url"] {
        send(json!({ "operation": "hostile_config_get", "path": path })).await.unwrap();
    }
    let value = format!("\"{SECRET}\"");
    let set = json!({
        "operation": "hostile_config_set", "path": "a.secret", "value": value, "revision": "0",
    });
    send(set).await.unwrap();
    for subject in ["orders.eu.a", "orders.eu.b"] {
        let payload = format!("{{\"password\":\"{SECRET}\"}}");
        let request = json!({
            "operation": "hostile_nats_request", "subject": subject, "payload": payload,
        });
        send(request).await.unwrap();
    }
    let text = recorded.text();
    assert_eq!(Transcript::read_all(&text).unwrap().len(), 5);
    // What this plugin replies is what it was told: lists of numbers and texts within texts.
    for line in text.lines().filter(|line| !line.contains("\"reply\"")) {
        let hidden = line.replace(&format!(r#""value":"\"{SECRET}\"""#), "");
        assert!(!hidden.contains(SECRET), "{line}");
    }
    assert!(text.contains("kept") && text.contains("********"));
    let mode = std::fs::metadata(recorded.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// The clustering plugin's answers, which it gives like operations.
// covers: transcripts.peers
#[tokio::test]
async fn answers_to_other_nodes_are_recorded_and_replayed() {
    let cluster = "{ node_name: node-a, tables: { dev.dog: [id, name] } }";
    let recorded = Recorded::hostile(serde_yaml::from_str(cluster).unwrap(), Grants::default());
    let recorded = recorded.await;
    let requests = [
        json!({ "operation": "describe_all" }),
        json!({ "operation": "cluster_status", "password": "s3cr3t" }),
        json!({ "operation": "none_of_ours" }),
    ];
    let requests = requests.map(|request| harper_wire::encode(&request.into()));
    for request in requests.into_iter().chain([vec![0xff]]) {
        recorded.host.answer_peer(request).await;
    }
    let text = recorded.text();
    assert!(!text.contains("s3cr3t"), "{text}");
    let all = Transcript::read_all(&text).unwrap();
    let ends: Vec<_> = all.iter().map(|one| format!("{:?}", one.ended())).collect();
    assert!(ends[0].contains("dog") && ends[0].contains("success"), "{ends:?}");
    assert!(ends[2].contains("none_of_ours"), "{ends:?}");
    assert_eq!(all.len(), 4);
    for transcript in &all {
        assert_eq!((transcript.plugin(), transcript.export()), ("clustering", Some("peer")));
        let replayed = replay(transcript, ComponentSource::clustering()).await.unwrap();
        assert!(replayed.is_same && replayed.difference.is_none(), "{replayed:?}");
    }
    // As if another table had been described.
    let other = Transcript::read_all(&text.replacen("dog", "cat", 1)).unwrap();
    let replayed = replay(&other[0], ComponentSource::clustering()).await.unwrap();
    assert!(!replayed.is_same, "{replayed:?}");
    // Another plugin gives no answers.
    assert!(replay(&all[0], ComponentSource::bytes(HOSTILE)).await.is_err());
    let other = only(&first_of(&text, r#""export":"pear""#));
    let error = replay(&other, ComponentSource::clustering()).await.unwrap_err();
    let text = "the transcript is of 'pear', which no plugin of this host has";
    assert_eq!(error.to_string(), text);
}

/// The first transcript, of something else.
fn first_of(text: &str, export: &str) -> String {
    let text = text.replace(r#""export":"peer""#, export);
    let second = text[1..].find("{\"transcript\"").unwrap() + 1;
    text[..second].to_owned()
}

// covers: transcripts.recovery
#[tokio::test]
async fn recovery_is_recorded_where_it_had_something_to_do() {
    let cluster = || Cluster { node_name: Some("node-a".into()), ..Cluster::default() };
    let recorded = Recorded::hostile(cluster(), Grants::default()).await;
    let nothing = Recovery::start(recorded.host.clone());
    let none_is_left = "\nharper_operations_left 0\n";
    eventually("it has looked", async || recorded.host.metrics().contains(none_is_left))
        .await
        .unwrap();
    drop(nothing);
    assert_eq!(recorded.text(), "", "there was nothing to do");

    // What is stopped may have left something.
    let file = recorded.file();
    let recorder = Recorder::open(&file).unwrap();
    let node = FakeNode::new(cluster());
    let mut limits = Limits::default();
    limits.host_calls = 0;
    let builder = Host::builder().config(node.config().clone()).record(recorder);
    let host = node.give_to(builder).recovery_limits(limits).build().await.unwrap();
    let _recovery = Recovery::start(host);
    let of_recovery = || {
        let all = Transcript::read_all(&std::fs::read_to_string(&file).unwrap()).unwrap();
        all.into_iter().find(|one| one.export() == Some("recovery"))
    };
    eventually("it is recorded", async || of_recovery().is_some()).await.unwrap();
    let text = "Operation 'recover' was stopped: it made more than 0 calls to the host";
    assert_eq!(*of_recovery().unwrap().ended(), Ended::Error(text.into()));
}

// covers: transcripts.bounded
#[tokio::test]
async fn a_transcript_has_an_end() {
    let config = json!({ "a": { "large": "x".repeat(1 << 20) } });
    let cluster = Cluster { config, ..Cluster::default() };
    let recorded = Recorded::hostile(cluster, reading("a.*")).await;
    let request =
        json!({ "operation": "hostile_config_get_together", "path": "a.large", "amount": 20 });
    recorded.send(request).await.unwrap();
    let text = recorded.text();
    assert!(text.len() < 9 << 20, "{}", text.len());
    let transcript = only(&text);
    assert!(transcript.is_cut());
    assert_eq!(*transcript.ended(), Ended::Reply(Value::Null));
}

#[tokio::test]
async fn a_trap_is_recorded_and_happens_again() {
    let recorded = Recorded::hostile(Cluster::default(), Grants::default()).await;
    let error = recorded.send(json!({ "operation": "hostile_panic" })).await.unwrap_err();
    let transcript = only(&recorded.text());
    assert_eq!(*transcript.ended(), Ended::Error(error.message));
    let replayed = replay(&transcript, ComponentSource::bytes(HOSTILE)).await.unwrap();
    assert!(replayed.is_same && replayed.difference.is_none(), "{replayed:?}");
}

#[test]
fn what_is_no_transcript_is_said_to_be_none() {
    let error = |text: &str| Transcript::read_all(text).unwrap_err().to_string();
    assert!(error("x").starts_with("line 1 is not of a transcript: "), "{}", error("x"));
    let before = "line 1 is not of a transcript: it is before any transcript";
    assert_eq!(error(r#"{"at":1,"reply":1}"#), before);
    let version = "line 1 is not of a transcript: it is of version 9, and this host reads 1";
    assert_eq!(error(r#"{"transcript":9}"#), version);
    assert!(Transcript::read_all("").unwrap().is_empty());
    assert!(Recorder::open(Path::new("/nonexistent/x")).is_err());
}
