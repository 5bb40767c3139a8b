//! What is known of credentials, under a keyed hash of address, name and password: the password
//! does not stay in memory.
//!
//! The same credentials are checked once however many requests bring them at the same time, and the
//! answer, yes or no, holds for a while. It holds for one address: another one neither waits for a
//! check that is slowed here, nor learns its outcome. A change of the user drops the entries: what is still being
//! checked then answers those who wait for it and nobody after.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use blake2::{
    Blake2bMac,
    digest::{KeyInit, Mac, consts::U32},
};
use tokio::{sync::OnceCell, time::Instant};
use zeroize::Zeroizing;

use super::{LoginFailed, guesses::place};
use crate::dispatch::Caller;

type Hash = [u8; 32];

/// About 3 MB of entries.
const CAPACITY: usize = 10_000;

/// The entries.
pub(super) struct Cache {
    keyed: Blake2bMac<U32>,
    ttl: Duration,
    entries: Mutex<HashMap<Hash, Arc<Known>>>,
}

/// What is known of one name and password.
pub(super) struct Known {
    hash: Hash,
    username: String,
    /// They were right when last looked at, and the user has not changed since: no guess.
    pub(super) trusted: bool,
    /// Unset while they are being checked.
    pub(super) answer: OnceCell<Answer>,
}

/// The outcome of a check.
pub(super) struct Answer {
    pub(super) login: Result<Caller, LoginFailed>,
    until: Instant,
}

impl Cache {
    /// An empty one with a random key; entries hold for `ttl`.
    pub(super) fn new(ttl: Duration) -> Cache {
        let mut key = Zeroizing::new([0; 64]);
        // A key that anyone may know protects nothing, so without randomness nothing is kept.
        let ttl = if getrandom::fill(&mut *key).is_ok() { ttl } else { Duration::ZERO };
        Cache { keyed: Blake2bMac::new((&*key).into()), ttl, entries: Mutex::default() }
    }

    /// The entry of these credentials, a fresh one when there is none that still holds.
    pub(super) fn entry(&self, peer: IpAddr, username: &str, password: &str) -> Arc<Known> {
        let hash = self.hash(place(peer), username, password);
        let now = Instant::now();
        let mut entries = self.entries();
        if entries.len() >= CAPACITY {
            make_room(&mut entries, now);
        }
        let full = entries.len() >= CAPACITY;
        let fresh = |trusted| {
            let (username, answer) = (username.to_owned(), OnceCell::new());
            Arc::new(Known { hash, username, trusted, answer })
        };
        match entries.entry(hash) {
            Entry::Occupied(mut found) => {
                if found.get().answer.get().is_some_and(|answer| answer.until <= now) {
                    let trusted = found.get().is_trusted();
                    found.insert(fresh(trusted));
                }
                found.get().clone()
            }
            Entry::Vacant(_) if full => fresh(false),
            Entry::Vacant(place) => place.insert(fresh(false)).clone(),
        }
    }

    /// An answer, from now on. It holds for those alone who wait for it when nobody has looked.
    pub(super) fn answer(&self, login: Result<Caller, LoginFailed>) -> Answer {
        let ttl = match login {
            Ok(_) | Err(LoginFailed::Credentials) => self.ttl,
            Err(_) => Duration::ZERO,
        };
        Answer { login, until: Instant::now() + ttl }
    }

    /// Keeps nothing of strangers whom nobody has looked at: they must not take the place of others.
    pub(super) fn settle(&self, known: &Arc<Known>) {
        if known.was_looked_at() || known.trusted {
            return;
        }
        let mut entries = self.entries();
        if entries.get(&known.hash).is_some_and(|found| Arc::ptr_eq(found, known)) {
            entries.remove(&known.hash);
        }
    }

    /// Drops everything about a user.
    pub(super) fn forget(&self, username: &str) {
        self.entries().retain(|_, known| known.username != username);
    }

    fn hash(&self, place: IpAddr, username: &str, password: &str) -> Hash {
        let mut mac = self.keyed.clone();
        mac.update(place.to_string().as_bytes());
        // What has an end cannot run into what follows.
        mac.update(&[0]);
        mac.update(&username.len().to_le_bytes());
        mac.update(username.as_bytes());
        mac.update(password.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Hash, Arc<Known>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn was_looked_at(&self) -> bool {
        use LoginFailed::{Busy, Internal};
        !matches!(self.answer.get(), Some(Answer { login: Err(Busy | Internal), .. }))
    }

    /// Whether they are no guess the next time.
    fn is_trusted(&self) -> bool {
        match self.answer.get().map(|answer| &answer.login) {
            Some(Ok(_)) => true,
            Some(Err(LoginFailed::Credentials)) => false,
            Some(Err(_)) | None => self.trusted,
        }
    }

    /// Since when right credentials do not hold any more; none for those that still do, and for
    /// checks that someone waits for.
    fn idle_since(&self, now: Instant) -> Option<Instant> {
        self.answer.get().map(|answer| answer.until).filter(|until| *until <= now)
    }
}

/// Who was right once is trusted for as long as there is room. When it is full, all else goes first,
/// but for checks that someone waits for; then of those that do not hold any more the older half.
fn make_room(entries: &mut HashMap<Hash, Arc<Known>>, now: Instant) {
    let is_awaited =
        |known: &Arc<Known>| !known.answer.initialized() && Arc::strong_count(known) > 1;
    entries.retain(|_, known| known.is_trusted() || is_awaited(known));
    if entries.len() < CAPACITY {
        return;
    }
    let mut idle: Vec<_> = entries.values().filter_map(|known| known.idle_since(now)).collect();
    idle.sort_unstable();
    if let Some(middle) = idle.get(idle.len() / 2) {
        entries.retain(|_, known| known.idle_since(now).is_none_or(|since| since > *middle));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str) -> Result<Caller, LoginFailed> {
        Ok(Caller::super_user(name))
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    // covers: http.auth.cache-keyed
    #[test]
    fn names_and_passwords_do_not_run_together_and_keys_differ() {
        let cache = Cache::new(Duration::ZERO);
        assert_ne!(cache.hash(HERE, "ab", "c"), cache.hash(HERE, "a", "bc"));
        assert_ne!(cache.hash(HERE, "a", "b"), cache.hash([10, 0, 0, 1].into(), "a", "b"));
        assert_ne!(cache.hash(HERE, "a", "b"), Cache::new(Duration::ZERO).hash(HERE, "a", "b"));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_bounded_and_wrong_ones_make_room_for_right_ones() {
        let cache = Cache::new(Duration::from_secs(30));
        let keep = |name: &str, login| {
            let _ = cache.entry(HERE, name, "x").answer.set(cache.answer(login));
        };
        keep("bob", caller("bob"));
        for n in 0..2 * CAPACITY {
            keep(&n.to_string(), Err(LoginFailed::Credentials));
        }
        assert!(cache.entries().len() <= CAPACITY);
        assert!(cache.entry(HERE, "bob", "x").answer.initialized());
        for n in 0..CAPACITY + 99 {
            let name = n.to_string();
            keep(&name, caller(&name));
        }
        assert!(cache.entries().len() <= CAPACITY);
        tokio::time::advance(Duration::from_secs(31)).await;
        keep("ann", caller("ann"));
        assert!(cache.entry(HERE, "ann", "x").answer.initialized(), "the idle ones make room");
    }

    // covers: http.auth.trust-kept
    #[tokio::test(start_paused = true)]
    async fn refused_attempts_take_the_trust_from_nobody() {
        let cache = Cache::new(Duration::from_secs(30));
        let answer = |name: &str, login| {
            let known = cache.entry(HERE, name, "x");
            let _ = known.answer.set(cache.answer(login));
            cache.settle(&known);
        };
        answer("bob", caller("bob"));
        tokio::time::advance(Duration::from_secs(31)).await;
        for n in 0..2 * CAPACITY {
            answer(&n.to_string(), Err(LoginFailed::Busy));
        }
        assert_eq!(cache.entries().len(), 1, "what nobody has looked at is not kept");
        for n in 0..2 * CAPACITY {
            answer(&n.to_string(), Err(LoginFailed::Credentials));
        }
        // Nor does it lose the trust when it finds no place in the queue itself.
        for login in [Err(LoginFailed::Busy), Err(LoginFailed::Internal), caller("bob")] {
            assert!(cache.entry(HERE, "bob", "x").trusted);
            answer("bob", login);
        }
        tokio::time::advance(Duration::from_secs(31)).await;
        answer("bob", Err(LoginFailed::Credentials));
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(!cache.entry(HERE, "bob", "x").trusted);
    }
}
