//! Has the plugin finish or undo what its earlier calls have left between two nodes.
//!
//! It is asked when this starts, after a call that was stopped or given up, and again and again: a call
//! that ended well may have left something too, for a node that was silent; and such a node may be
//! away for days.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Host;

/// Between two calls while something is left.
const AGAIN: Duration = Duration::from_secs(5);
/// And while nothing is.
const LOOK: Duration = Duration::from_secs(10);

/// Goes on until it is dropped.
#[derive(Debug)]
pub struct Recovery(JoinHandle<()>);

impl Recovery {
    /// For a host whose servers answer.
    pub fn start(host: Host) -> Self {
        Self(tokio::spawn(recover(host)))
    }
}

impl Drop for Recovery {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn recover(host: Host) {
    let mut before = 0;
    loop {
        // Whatever is left behind from now on, the next call sees to.
        let left = match host.recover().await {
            Ok(left) => left,
            Err(error) => {
                tracing::error!("what earlier operations have left was not seen to: {error}");
                before.max(1)
            }
        };
        match left {
            _ if left == before => {}
            0 => tracing::info!("all operations between nodes are done or undone"),
            _ => tracing::info!(left, "operations between nodes are neither done nor undone yet"),
        }
        before = left;
        let wait = if left == 0 { LOOK } else { AGAIN };
        let _ = timeout(wait, host.something_left()).await;
    }
}
