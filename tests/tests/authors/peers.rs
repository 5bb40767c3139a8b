//! Other nodes of a node that is not there: slow, silent, dying and lying ones, in no time.

use std::time::{Duration, Instant};

use harper_host::testing::{Cluster, FakeNode, Peer};
use harper_host::{ComponentSource, Grants, Host, Limits};
use harper_tests::HOSTILE;
use serde_json::{Value, json};

use crate::send;

const HOUR: u64 = 3_600_000;

async fn host(node: &FakeNode) -> Host {
    let mut grants = Grants::default();
    grants.nats.request.push("orders.eu.*".parse().unwrap());
    let mut limits = Limits::default();
    limits.wall_clock = Duration::from_secs(100_000);
    node.host_with("hostile", ComponentSource::bytes(HOSTILE), grants, limits).await.unwrap()
}

async fn ask(host: &Host, subject: &str, timeout: u64) -> Result<Value, String> {
    let request = json!({
        "operation": "hostile_nats_request", "subject": subject, "timeout": timeout, "payload": "{}",
    });
    send(host, request).await.map_err(|error| error.message)
}

// covers: testing.peers
#[tokio::test]
async fn slow_silent_dying_and_lying_ones() {
    let begun = Instant::now();
    let ok = || Peer::replying_bytes(*b"ok");
    let peers = [
        ("orders.eu.slow", ok().after(HOUR)),
        ("orders.eu.silent", Peer::silent()),
        ("orders.eu.dying", ok().dying_after(2)),
        ("orders.eu.lying", Peer::replying_bytes([0xc1, 0xff])),
    ];
    let peers = peers.into_iter().map(|(subject, peer)| (subject.to_owned(), peer)).collect();
    let node = FakeNode::new(Cluster { peers, ..Cluster::default() });
    let host = host(&node).await;
    let passed = || node.time().passed().as_millis() as u64;
    let answer = Ok(json!([b'o', b'k']));
    let timeout = Err("Error::Timeout".into());
    let nobody = Err("Error::NoResponders".into());

    assert_eq!(ask(&host, "orders.eu.slow", 2 * HOUR).await, answer);
    assert_eq!(passed(), HOUR);
    assert_eq!(ask(&host, "orders.eu.slow", HOUR / 2).await, timeout);
    assert_eq!(passed(), HOUR + HOUR / 2);
    assert_eq!(ask(&host, "orders.eu.silent", HOUR / 2).await, timeout);
    assert_eq!(passed(), 2 * HOUR);
    assert_eq!(ask(&host, "orders.eu.nobody", HOUR).await, nobody);
    for expected in [answer.clone(), answer, timeout, nobody.clone(), nobody] {
        assert_eq!(ask(&host, "orders.eu.dying", 1000).await, expected);
    }
    assert_eq!(passed(), 2 * HOUR + 1000);
    assert_eq!(ask(&host, "orders.eu.lying", 1000).await, Ok(json!([0xc1, 0xff])));
    let calls = node.calls();
    assert_eq!(calls.len(), 10);
    let expected = json!({
        "nats.request": { "subject": "orders.eu.slow", "payload": { "$json": {} }, "timeout": 2 * HOUR },
    });
    assert_eq!(calls[0], expected);
    assert!(begun.elapsed() < Duration::from_secs(60), "hours pass in no time");
}
