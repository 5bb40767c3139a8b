//! Nodes on a network in memory, with everything that can go wrong in an order that a seed decides.
//!
//! `HARPER_FLOW_SEED=7 cargo test --workspace --lib flow::simulation` runs one seed, and
//! `HARPER_FLOW_SEEDS=5000` so many. What fails is run again with less and less, and what is left of
//! it is printed.

mod bus;
mod model;
mod single;
mod world;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bus::Fault;
use world::{Act, JUMP, Setup, World};

/// Seeds that are run.
const SEEDS: u64 = 200;
/// To make what fails smaller.
const SHRINK: Duration = Duration::from_secs(60);

/// Numbers that only a seed decides: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn index(&mut self) -> usize {
        usize::try_from(self.below(1 << 16)).unwrap_or_default()
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What a seed stands for.
fn plan(seed: u64) -> (Setup, Vec<Act>) {
    let random = &mut Random(seed);
    let nodes = 3 + random.below(3) as usize;
    let tables = 1 + random.below(2) as usize;
    let republish = random.chance(40);
    // All with all, a ring, or whatever comes.
    let shape = random.below(3);
    let mut subscriptions = BTreeSet::new();
    for node in 0..nodes {
        for source in 0..nodes {
            for table in 0..tables {
                let is_one = match shape {
                    0 => true,
                    1 => source == (node + 1) % nodes,
                    _ => random.chance(40),
                };
                if is_one && node != source {
                    subscriptions.insert((node, source, table));
                }
            }
        }
    }
    let setup = Setup { nodes, tables, republish, subscriptions };
    let changes_subscriptions = random.chance(40);
    let loses = random.chance(30);
    let length = 60 + random.below(140);
    let acts = (0..length).map(|_| act(random, changes_subscriptions, loses)).collect();
    (setup, acts)
}

fn act(random: &mut Random, changes_subscriptions: bool, loses: bool) -> Act {
    let (node, table) = (random.index(), random.index());
    // Some rows are written again and again, and most once: what is lost is not made good.
    let key = |random: &mut Random| {
        let most = if random.chance(40) { 5 } else { 100 };
        random.below(most) as u8
    };
    let one = key(random);
    let value = random.below(1 << 20) as u32;
    match random.below(100) {
        0..18 => {
            let keys = (0..1 + random.below(6)).map(|_| key(random)).collect();
            Act::Write { node, table, keys, value }
        }
        18..23 => Act::Update { node, table, key: one, value },
        23..29 => Act::Delete { node, table, key: one },
        29..50 => {
            let fault = match random.below(6) {
                0 => Fault::ReceiptsLost(random.below(4) as u32),
                1 => Fault::SendFails(random.below(4) as u32),
                _ => Fault::None,
            };
            Act::Publish { node, fault }
        }
        50..53 => Act::Trim { node },
        53..80 => {
            let fault = match random.below(10) {
                0 => Fault::AckLost,
                1 => Fault::Again,
                2 => Fault::AgainLater,
                3 => Fault::Elsewhere(1 + random.below(3) as u32),
                _ => Fault::None,
            };
            let most = 1 + random.below(8) as usize;
            Act::Ingest { node, which: random.index(), most, fault }
        }
        80..84 => Act::Restart { node },
        84..86 => Act::Cut { a: node, b: random.index() },
        86..88 => Act::Join { a: node, b: random.index() },
        88 => Act::Down { node },
        89 => Act::Up { node },
        90..92 => {
            let seconds = random.below(2 * JUMP.cast_unsigned()) as i64 - JUMP;
            Act::Jump { node, seconds }
        }
        92..94 => Act::Tick { milliseconds: random.below(20_000) },
        94..96 if changes_subscriptions => Act::Subscribe { node, source: random.index(), table },
        96 if changes_subscriptions => Act::Unsubscribe { node, source: random.index(), table },
        97 if loses => Act::LoseEnd { node, table, messages: 1 + random.below(20) },
        98 if loses => Act::MakeAnew { node, table },
        99 if loses => Act::Purge { node, table, keep: random.below(3) },
        _ => Act::Publish { node, fault: Fault::None },
    }
}

/// Plays it, in a runtime of its own.
fn play(setup: &Setup, acts: &[Act]) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut world = World::new(setup).await?;
        for act in acts {
            world.act(act).await?;
        }
        world.end().await
    })
}

/// Leaves out what can be left out, as long as it fails.
fn shrink(setup: &Setup, mut acts: Vec<Act>, mut failure: String) -> (Vec<Act>, String) {
    let end = Instant::now() + SHRINK;
    let mut size = acts.len() / 2;
    while size > 0 && Instant::now() < end {
        let mut at = 0;
        let before = acts.len();
        while at < acts.len() && Instant::now() < end {
            let mut fewer = acts.clone();
            fewer.drain(at..(at + size).min(acts.len()));
            match play(setup, &fewer) {
                Err(still) => (acts, failure) = (fewer, still),
                Ok(()) => at += size,
            }
        }
        if size == 1 && acts.len() == before {
            break;
        }
        size = (size / 2).max(1);
    }
    (acts, failure)
}

fn report(seed: u64, failure: String) -> String {
    let (setup, acts) = plan(seed);
    let all = acts.len();
    let (acts, failure) = shrink(&setup, acts, failure);
    let mut text = format!(
        "HARPER_FLOW_SEED={seed} fails, with {} of {all} steps: {failure}\n{setup:?}\n",
        acts.len()
    );
    for act in acts {
        text += &format!("  {act:?}\n");
    }
    text
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

// covers: flow.simulated
#[test]
fn whatever_happens_all_nodes_have_what_they_should_in_the_end() {
    let (first, seeds) = match number("HARPER_FLOW_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("HARPER_FLOW_SEEDS").unwrap_or(SEEDS)),
    };
    let next = AtomicU64::new(first);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let (setup, acts) = plan(seed);
                    if let Err(failure) = play(&setup, &acts) {
                        next.store(u64::MAX / 2, Relaxed);
                        failed.lock().unwrap().get_or_insert((seed, failure));
                        return;
                    }
                }
            });
        }
    });
    if let Some((seed, failure)) = failed.into_inner().unwrap() {
        panic!("{}", report(seed, failure));
    }
}
