//! Whether the nodes are heard whose hubs this node's hub has joined.
//!
//! Hubs that are restarted at the same moment are left apart by nats-server 2.9 now and then, for
//! good: each has its route to the other, and is never told what the other's leaf listens to. The
//! nodes look joined, and no request reaches the other. A restart of one of the hubs mends it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::network::HUB;
use super::{Nats, ServerKind, ServerState};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// For the own hub's answer, and for that of a node's streams.
const ANSWER: Duration = Duration::from_secs(1);
/// A node that was not heard so many times in a row while its hub was joined is not about to be. Its
/// own leaf may be down: that is back sooner.
const ROUNDS: u32 = 3;
/// Of two nodes that do not hear each other, the one whose name comes later waits for the other.
const LATER: u32 = 2 * ROUNDS;
/// Nodes that were heard are asked again in turn, so many at a look.
const AGAIN: usize = 8;
/// After a restart that did not help, the next one waits so long, and twice as long after each.
const SHORTEST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(3600);

/// What is known of the nodes that the hub has joined.
#[derive(Debug, Default)]
struct Heard {
    /// The hub of this node that joined them.
    hub: Option<ServerState>,
    /// Those that were heard since.
    heard: BTreeSet<String>,
    /// How many looks in a row the others were not.
    unheard: BTreeMap<String, u32>,
    /// The last one that was asked again.
    last: String,
}

impl Heard {
    /// Whom to ask now: all who were not heard since they joined, and some of the others.
    fn next(&mut self, hub: ServerState, joined: BTreeSet<String>) -> Vec<String> {
        if self.hub != Some(hub) {
            *self = Self { hub: Some(hub), ..Self::default() };
        }
        self.heard.retain(|name| joined.contains(name));
        self.unheard.retain(|name, _| joined.contains(name));
        let after = self.heard.range::<str, _>((Bound::Excluded(&*self.last), Bound::Unbounded));
        let again: Vec<_> = after.chain(&self.heard).take(AGAIN).cloned().collect();
        self.last = again.last().cloned().unwrap_or_default();
        let mut ask: Vec<_> = joined.difference(&self.heard).cloned().collect();
        ask.extend(again);
        ask.sort();
        ask.dedup();
        ask
    }

    fn was_asked(&mut self, name: String, is_heard: bool) {
        if is_heard {
            self.unheard.remove(&name);
            self.heard.insert(name);
        } else {
            self.heard.remove(&name);
            *self.unheard.entry(name).or_default() += 1;
        }
    }

    /// A node that is joined and will not be heard.
    fn apart(&self, own: &str) -> Option<&str> {
        let is_apart = |(name, rounds): &(&String, &u32)| {
            **rounds >= if own < name.as_str() { ROUNDS } else { LATER }
        };
        self.unheard.iter().find(is_apart).map(|(name, _)| name.as_str())
    }
}

/// Has the hub restarted whenever it has joined a node that is not heard. Until it is dropped.
pub(super) async fn watch(nats: Nats) {
    let own = nats.node_name().to_owned();
    let mut heard = Heard::default();
    let (mut wait, mut not_before) = (SHORTEST, Instant::now());
    loop {
        sleep(PAUSE).await;
        let [hub, leaf] =
            [ServerKind::Hub, ServerKind::Leaf].map(|kind| *nats.state(kind).borrow());
        // What is wrong with a server of its own says nothing of others.
        if !hub.is_up() || !leaf.is_up() || !nats.is_connected() {
            continue;
        }
        let Some(joined) = nats.joined_hubs(ANSWER).await else { continue };
        let joined = joined.iter().filter_map(|name| name.strip_suffix(HUB)).map(str::to_owned);
        let ask = heard.next(hub, joined.collect());
        let nats = &nats;
        let asked = ask.into_iter().map(async |name| {
            let is_heard = nats.hears(&name, ANSWER).await;
            (name, is_heard)
        });
        for (name, is_heard) in join_all(asked).await {
            heard.was_asked(name, is_heard);
        }
        if heard.unheard.is_empty() && Instant::now() > not_before {
            wait = SHORTEST;
        }
        let Some(node) = heard.apart(&own) else { continue };
        if Instant::now() < not_before {
            continue;
        }
        tracing::warn!(
            node,
            "the hub of node '{node}' is joined, and nothing reaches the node: this node's hub is \
             restarted; if that does not help, the next time is in {wait:?}"
        );
        not_before = Instant::now() + wait;
        wait = (wait * 2).min(LONGEST);
        if let Err(error) = nats.restart_hub().await {
            tracing::error!("the hub could not be restarted: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: ServerState = ServerState::Up { pid: 1 };

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn look(heard: &mut Heard, hub: ServerState, joined: &[&str], silent: &[&str]) {
        for name in heard.next(hub, names(joined)) {
            let is_heard = !silent.contains(&name.as_str());
            heard.was_asked(name, is_heard);
        }
    }

    #[test]
    fn only_who_is_not_heard_again_and_again_is_apart() {
        let mut heard = Heard::default();
        for _ in 0..ROUNDS - 1 {
            look(&mut heard, HUB, &["a", "c"], &["a", "c"]);
        }
        assert_eq!(heard.apart("b"), None);
        look(&mut heard, HUB, &["a", "c"], &["c"]);
        assert_eq!(heard.apart("b"), Some("c"));
        look(&mut heard, HUB, &["a", "c"], &["a", "c"]);
        look(&mut heard, HUB, &["a"], &["a"]);
        assert_eq!(heard.apart("b"), None);
        // The other one is given the time to do it.
        for _ in 0..LATER - 3 {
            look(&mut heard, HUB, &["a"], &["a"]);
        }
        assert_eq!(heard.apart("b"), None);
        look(&mut heard, HUB, &["a"], &["a"]);
        assert_eq!(heard.apart("b"), Some("a"));
        // Another process has joined them anew.
        look(&mut heard, ServerState::Up { pid: 2 }, &["a"], &["a"]);
        assert_eq!(heard.apart("b"), None);
    }

    #[test]
    fn those_that_were_heard_are_asked_again_in_turn() {
        let mut heard = Heard::default();
        let many: Vec<_> = (0..3 * AGAIN).map(|n| format!("{n:02}")).collect();
        let all = many.iter().map(String::as_str).collect::<Vec<_>>();
        look(&mut heard, HUB, &all, &[]);
        let mut asked = Vec::new();
        for _ in 0..3 {
            let some = heard.next(HUB, names(&all));
            assert_eq!(some.len(), AGAIN);
            asked.extend(some);
        }
        asked.sort();
        assert_eq!(asked, many);
    }
}
