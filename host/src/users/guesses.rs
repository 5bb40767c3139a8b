//! Slowing of guesses: the more logins have failed lately, the later the next one is looked at.
//!
//! Failures are counted for the address, for the user name and for the pair of both, and each has
//! its own pace. Attempts of one pair, and those of one address, are looked at one after another;
//! those on one name are not, so a user who is guessed from elsewhere waits a second at most.
//! An attempt counts as failed from its start, or many at once would all be the first one.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How failures of one kind slow the next attempt.
struct Pace {
    /// So many are free.
    free: u32,
    /// The delay after the next one; each further one doubles it.
    first: Duration,
    /// It grows no further.
    most: Duration,
    /// Whether attempts wait for each other.
    queued: bool,
}

const PAIR: Pace =
    Pace { free: 4, first: Duration::from_millis(250), most: Duration::from_secs(4), queued: true };
/// Many users may share an address, so it alone slows little.
const ADDRESS: Pace = Pace {
    free: 32,
    first: Duration::from_millis(250),
    most: Duration::from_millis(250),
    queued: true,
};
const NAME: Pace = Pace {
    free: 10,
    first: Duration::from_millis(125),
    most: Duration::from_secs(1),
    queued: false,
};

/// The longest that an attempt waits for its turn.
pub(super) const LONGEST: Duration = Duration::from_secs(5);
/// Failures are forgotten when none was added for so long.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// About 2 MB of counts.
const CAPACITY: usize = 30_000;

#[derive(Clone, Copy)]
struct Count {
    failures: u32,
    last: Instant,
    /// When the next one may be looked at.
    next: Instant,
}

/// The counts, under a hash that nobody outside can aim at.
pub(super) struct Guesses {
    counts: Mutex<HashMap<u64, Count>>,
    hasher: RandomState,
}

/// An attempt that has its turn; it counts as failed unless it is said to have succeeded, or taken
/// back.
pub(super) struct Attempt {
    /// How often its address had failed before.
    pub(super) failures: u32,
    keys: [u64; 3],
    turn: Instant,
}

impl Attempt {
    /// Until its turn has come.
    pub(super) async fn turn(&self) {
        tokio::time::sleep_until(self.turn).await;
    }
}

impl Guesses {
    pub(super) fn new() -> Guesses {
        Guesses { counts: Mutex::default(), hasher: RandomState::new() }
    }

    /// Takes a turn; none when it would be further away than [`LONGEST`]. Such an attempt is not
    /// counted, so what comes too fast gets in nobody's way but its own.
    pub(super) fn attempt(&self, peer: IpAddr, username: &str) -> Option<Attempt> {
        let place = place(peer);
        let keys = [
            self.hasher.hash_one((place, username)),
            self.hasher.hash_one(place),
            self.hasher.hash_one(username),
        ];
        let now = Instant::now();
        let mut counts = self.counts();
        make_room(&mut counts, now);
        let mut found = keys.map(|key| {
            let fresh = Count { failures: 0, last: now, next: now };
            counts.get(&key).filter(|c| now < c.last + FORGOTTEN).copied().unwrap_or(fresh)
        });
        let paces = [PAIR, ADDRESS, NAME];
        let turn = found.iter().zip(&paces).fold(now, |turn, (count, pace)| {
            turn.max(if pace.queued { count.next } else { now + pace.delay(count.failures) })
        });
        if turn > now + LONGEST {
            return None;
        }
        let failures = found[1].failures;
        for (count, pace) in found.iter_mut().zip(&paces) {
            count.failures = count.failures.saturating_add(1);
            count.last = now;
            // From its own turn: a pair that is far behind does not hold up its whole address.
            count.next = count.next.max(now) + pace.delay(count.failures);
        }
        counts.extend(keys.into_iter().zip(found));
        Some(Attempt { failures, keys, turn })
    }

    /// The attempt was no guess. What the address and the name have failed before stays counted:
    /// a guesser who has an account of their own cannot wipe it out.
    pub(super) fn succeeded(&self, attempt: Attempt) {
        let [pair, address, name] = attempt.keys;
        let mut counts = self.counts();
        counts.remove(&pair);
        for key in [address, name] {
            if let Some(count) = counts.get_mut(&key) {
                count.failures = count.failures.saturating_sub(1);
            }
        }
    }

    /// The attempt was not looked at: it counts for nothing.
    pub(super) fn take_back(&self, attempt: Attempt) {
        let mut counts = self.counts();
        for (key, pace) in attempt.keys.into_iter().zip(&[PAIR, ADDRESS, NAME]) {
            if let Some(count) = counts.get_mut(&key) {
                let delay = pace.delay(count.failures);
                count.next = count.next.checked_sub(delay).unwrap_or(count.next);
                count.failures = count.failures.saturating_sub(1);
            }
        }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<u64, Count>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace {
    fn delay(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.free + 1) {
            None => Duration::ZERO,
            Some(doubled) => self.most.min(self.first * (1 << doubled.min(16))),
        }
    }
}

/// What counts as one address: who has one IPv6 address has its whole /64.
pub(super) fn place(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into()
        }
        peer => peer,
    }
}

/// When it is full, what is forgotten goes first, then those with the fewest failures: a guesser
/// with many names or addresses cannot push out the count that slows them.
fn make_room(counts: &mut HashMap<u64, Count>, now: Instant) {
    if counts.len() + 3 <= CAPACITY {
        return;
    }
    counts.retain(|_, c| now < c.last + FORGOTTEN);
    let mut few = 1;
    while counts.len() > CAPACITY / 2 {
        counts.retain(|_, c| c.failures > few);
        few = few.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn wait(guesses: &Guesses, peer: IpAddr, name: &str) -> Option<Duration> {
        guesses.attempt(peer, name).map(|a| a.turn - Instant::now())
    }

    fn other(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    // covers: http.auth.slowed
    #[tokio::test(start_paused = true)]
    async fn a_pair_is_slowed_more_and_more_then_refused() {
        let guesses = Guesses::new();
        for _ in 0..=PAIR.free {
            assert_eq!(wait(&guesses, HERE, "bob"), Some(Duration::ZERO));
        }
        let waits: Vec<_> = std::iter::from_fn(|| wait(&guesses, HERE, "bob")).take(9).collect();
        let ms: Vec<_> = waits.iter().map(Duration::as_millis).collect();
        assert_eq!(ms, [250, 750, 1750, 3750]);
        assert_eq!(wait(&guesses, HERE, "eve"), Some(Duration::ZERO), "the address is not locked");
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(wait(&guesses, HERE, "bob").is_some(), "nor is the user, for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_who_is_guessed_from_elsewhere_waits_a_second_at_most() {
        let guesses = Guesses::new();
        for n in 0..200 {
            wait(&guesses, other(n), "bob");
        }
        assert_eq!(wait(&guesses, HERE, "bob"), Some(NAME.most));
        assert_eq!(wait(&guesses, other(201), "eve"), Some(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_paced_whatever_names_it_tries() {
        let guesses = Guesses::new();
        let looked_at = (0..1000).filter(|n| wait(&guesses, HERE, &n.to_string()).is_some());
        let most = ADDRESS.free + 1 + (LONGEST.as_millis() / ADDRESS.most.as_millis()) as u32;
        assert_eq!(looked_at.count() as u32, most);
        assert_eq!(wait(&guesses, other(1), "x"), Some(Duration::ZERO));
        let v6 = |n: u128| IpAddr::from(Ipv6Addr::from_bits((0xfd << 120) | n));
        let looked_at = (0..1000).filter(|&n| wait(&guesses, v6(n), &format!("v6{n}")).is_some());
        assert_eq!(looked_at.count() as u32, most, "a /64 counts as one address");
        assert_eq!(wait(&guesses, v6(1 << 64), "x"), Some(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn success_clears_the_pair_and_takes_back_its_own_count_only() {
        let guesses = Guesses::new();
        for n in 0..ADDRESS.free {
            assert_eq!(wait(&guesses, HERE, &n.to_string()), Some(Duration::ZERO));
        }
        for _ in 0..1000 {
            let own = guesses.attempt(HERE, "eve").expect("a right password is not refused");
            assert!(own.turn <= Instant::now() + ADDRESS.most);
            own.turn().await;
            guesses.succeeded(own);
        }
        while wait(&guesses, HERE, "ann") == Some(Duration::ZERO) {}
        assert_eq!(wait(&guesses, HERE, "zoe"), Some(2 * ADDRESS.most));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_looked_at_counts_for_nothing() {
        let guesses = Guesses::new();
        for _ in 0..=PAIR.free {
            assert_eq!(wait(&guesses, HERE, "bob"), Some(Duration::ZERO));
        }
        for _ in 0..100 {
            let one = guesses.attempt(HERE, "bob").expect("a turn");
            assert_eq!((one.failures, one.turn - Instant::now()), (PAIR.free + 1, PAIR.first));
            guesses.take_back(one);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_forgotten() {
        let guesses = Guesses::new();
        while wait(&guesses, HERE, "bob").is_some() {}
        tokio::time::advance(FORGOTTEN + LONGEST).await;
        for _ in 0..=PAIR.free {
            assert_eq!(wait(&guesses, HERE, "bob"), Some(Duration::ZERO));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_counts_are_bounded_and_the_heavy_ones_stay() {
        let guesses = Guesses::new();
        while wait(&guesses, HERE, "bob").is_some() {}
        for n in 0..2 * CAPACITY as u32 {
            wait(&guesses, IpAddr::from(n.to_be_bytes()), &n.to_string());
            assert!(guesses.counts().len() <= CAPACITY);
        }
        assert_eq!(wait(&guesses, HERE, "bob"), None);
    }
}
