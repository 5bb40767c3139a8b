//! The capability `jetstream` on real streams, near and far.

use std::time::Duration;

use async_nats::jetstream::stream;
use harper_host::{Extent, JetStream, JetStreamError};
use harper_tests::nodes::Nodes;

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_looked_at_and_purged() {
    let cluster = Nodes::of(2).await.unwrap();
    let [first, second] = &cluster.nodes[..] else { panic!("two nodes") };
    let domain = "node-2-leaf";
    let context = second.servers.nats.jetstream(domain);
    let config = stream::Config {
        name: "dogs".into(),
        subjects: vec!["txn.dev.dog.node-2-leaf".into()],
        ..stream::Config::default()
    };
    context.create_stream(config).await.unwrap();
    for n in 1..=10 {
        let published = context.publish("txn.dev.dog.node-2-leaf", format!("{n}").into()).await;
        published.unwrap().await.unwrap();
    }
    // From the other node, through both hubs.
    let nats: &dyn JetStream = &first.servers.nats;
    let inspect = async || nats.inspect(domain.into(), "dogs".into(), PATIENCE).await.unwrap();
    let purge = async |extent| nats.purge(domain.into(), "dogs".into(), extent, PATIENCE).await;
    let info = inspect().await;
    assert_eq!((info.messages, info.first_sequence, info.last_sequence), (10, 1, 10));
    assert!(info.bytes > 0 && info.created.starts_with("20"), "{info:?}");

    assert_eq!(purge(Extent::Before(4)).await, Ok(3));
    let info = inspect().await;
    assert_eq!((info.messages, info.first_sequence, info.last_sequence), (7, 4, 10));
    assert_eq!(purge(Extent::Keep(5)).await, Ok(2));
    assert_eq!(inspect().await.first_sequence, 6);
    assert_eq!(purge(Extent::Keep(100)).await, Ok(0));
    assert_eq!(purge(Extent::All).await, Ok(5));
    let info = inspect().await;
    assert_eq!((info.messages, info.first_sequence, info.last_sequence), (0, 11, 10));

    let created = info.created;
    context.delete_stream("dogs").await.unwrap();
    let gone = nats.inspect(domain.into(), "dogs".into(), PATIENCE).await;
    assert_eq!(gone, Err(JetStreamError::NotFound));
    let gone = nats.purge(domain.into(), "dogs".into(), Extent::All, PATIENCE).await;
    assert_eq!(gone, Err(JetStreamError::NotFound));
    let config = stream::Config { name: "dogs".into(), ..stream::Config::default() };
    context.create_stream(config).await.unwrap();
    assert_ne!(inspect().await.created, created, "a stream that was made anew is another");

    let nowhere = nats.inspect("node-9-leaf".into(), "dogs".into(), PATIENCE).await;
    assert!(matches!(nowhere, Err(JetStreamError::Unavailable(_))), "{nowhere:?}");
    cluster.stop().await;
}
