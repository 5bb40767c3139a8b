//! Answers what other nodes of the cluster ask of this one.
//!
//! Requests come on `<node>.__request__`, in the queue group `<node>`. Their bytes go to the plugin's
//! `peer` as they are: whoever sent them is another machine.

use std::sync::Arc;

use async_nats::{Client, Message, Subscriber};
use futures_util::StreamExt;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::Host;
use crate::node_name::{self, NodeNameError};

/// Requests that are held at the same time, those included that wait for a place to run; of those
/// with more than a mebibyte, fewer. What comes beyond stays with the connection, which drops the
/// newest when it holds too much: whoever asked sees a timeout.
const HELD: u32 = 64;

/// Answers until it is dropped.
#[derive(Debug)]
pub struct Peers(JoinHandle<()>);

/// Why requests of other nodes cannot be received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeersError {
    /// No node can have this name.
    #[error(transparent)]
    NodeName(#[from] NodeNameError),
    /// The connection is closed.
    #[error("requests of other nodes cannot be received: {0}")]
    Closed(#[from] async_nats::Error),
}

impl Peers {
    /// Answers, with `host`, what is asked of the node of this name over this connection, which
    /// subscribes again by itself after it was lost.
    ///
    /// # Errors
    ///
    /// No node can have this name, or the connection is closed.
    pub async fn answer(client: Client, node_name: &str, host: Host) -> Result<Self, PeersError> {
        node_name::check(node_name)?;
        let subject = format!("{node_name}.__request__");
        let subscriber = client.queue_subscribe(subject, node_name.to_owned()).await;
        let subscriber = subscriber.map_err(async_nats::Error::from)?;
        // Whoever is told that the node is ready may ask it: the server knows of the subscription.
        client.flush().await.map_err(async_nats::Error::from)?;
        Ok(Self(tokio::spawn(serve(subscriber, client, host))))
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(mut subscriber: Subscriber, client: Client, host: Host) {
    let places = Arc::new(Semaphore::new(HELD as usize));
    // Ends its tasks when it is dropped, with this one.
    let mut answers = JoinSet::new();
    while let Some(message) = subscriber.next().await {
        while answers.try_join_next().is_some() {}
        if message.payload.len() > host.largest_peer_request() {
            // It is refused by its length, and does not wait with all its bytes.
            answer(message, &client, &host).await;
            continue;
        }
        let size = u32::try_from(message.payload.len() >> 20).unwrap_or(u32::MAX);
        let place = places.clone().acquire_many_owned(size.saturating_add(1).min(HELD));
        let Ok(place) = place.await else { return };
        let (client, host) = (client.clone(), host.clone());
        answers.spawn(async move {
            answer(message, &client, &host).await;
            drop(place);
        });
    }
}

async fn answer(message: Message, client: &Client, host: &Host) {
    // Nobody waits for an answer, and what is asked changes nothing by itself.
    let Some(reply) = message.reply else { return };
    let answer = host.answer_peer(message.payload.into()).await;
    if let Err(error) = client.publish(reply, answer.into()).await {
        tracing::warn!("a node's request was not answered: {error}");
    }
}
