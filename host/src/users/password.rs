//! Hashing and checking passwords with argon2id, a few at a time and off the runtime.

#[cfg(test)]
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use argon2::{
    ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use zeroize::Zeroizing;

use super::queue::{Class, Queue};

/// Argon2's own default is what OWASP asks for: argon2id, 19456 KiB, 2 passes, 1 lane.
fn params() -> Params {
    Params::default()
}

/// What a password is checked against when there is no such user, so that both cost the same. The
/// hash is random bytes: no password has it.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$\
    8W3QdJ0YrA5nBvC1xZkLmQ$2m7Hq0o5yKx9TzF4uVwRjE6sN1cGdPbLXaYi3kUhQv8";

/// Runs argon2.
pub(super) struct Passwords {
    pub(super) queue: Queue,
    /// Kept while others run or wait: what is freed and taken again and again, glibc loses gigabytes
    /// of.
    memory: Arc<Mutex<Vec<Memory>>>,
    /// How often argon2 was started.
    #[cfg(test)]
    pub(super) runs: Arc<AtomicUsize>,
    /// How often there was no memory that was kept.
    #[cfg(test)]
    made: Arc<AtomicUsize>,
}

/// What one run fills: 19 MiB.
type Memory = Vec<Block>;

/// Too many wait already, or for too long, or the runtime is shutting down.
#[derive(Debug)]
pub(super) struct Busy;

impl Passwords {
    pub(super) fn new() -> Passwords {
        Passwords {
            queue: Queue::new(),
            memory: Arc::default(),
            #[cfg(test)]
            runs: Arc::default(),
            #[cfg(test)]
            made: Arc::default(),
        }
    }

    /// Whether the password has this hash; without one the answer is no, after the same work.
    pub(super) async fn matches(
        &self,
        class: Class,
        password: Zeroizing<String>,
        hash: Option<String>,
    ) -> Result<bool, Busy> {
        self.run(class, move |memory| {
            let known = hash.is_some();
            let hash = hash.as_deref().unwrap_or(NOBODY);
            let matches = PasswordHash::new(hash).ok().and_then(|hash| {
                let params = Params::try_from(&hash).ok()?;
                let is_argon2id = hash.algorithm == ARGON2ID_IDENT;
                let found = compute(&password, hash.salt.as_ref()?, &params, memory)?;
                // Compared in constant time.
                Some(is_argon2id && Some(found) == hash.hash)
            });
            known && matches == Some(true)
        })
        .await
    }

    /// The password's hash with a fresh salt, as a PHC string. Only super_users set passwords, so no
    /// stranger is in their way.
    pub(super) async fn hash(&self, password: Zeroizing<String>) -> Result<String, Busy> {
        let hashed = self.run(Class::Known, move |memory| {
            let mut salt = [0; 16];
            getrandom::fill(&mut salt).ok()?;
            let salt = Salt::new(&salt).ok()?;
            let hash = PasswordHash {
                algorithm: ARGON2ID_IDENT,
                version: Some(Version::V0x13.into()),
                params: ParamsString::try_from(&params()).ok()?,
                salt: Some(salt),
                hash: Some(compute(&password, &salt, &params(), memory)?),
            };
            Some(hash.to_string())
        });
        // It fails only without memory or randomness.
        hashed.await?.ok_or(Busy)
    }

    async fn run<T: Send + 'static>(
        &self,
        class: Class,
        f: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let turn = self.queue.turn(class).await.ok_or(Busy)?;
        #[cfg(test)]
        let made = {
            self.runs.fetch_add(1, Relaxed);
            self.made.clone()
        };
        let (kept, queue) = (self.memory.clone(), self.queue.clone());
        // The turn goes along: when the caller goes away, the work still counts.
        let done = tokio::task::spawn_blocking(move || {
            let lock = || kept.lock().unwrap_or_else(PoisonError::into_inner);
            let mut memory = lock().pop().unwrap_or_else(|| {
                #[cfg(test)]
                made.fetch_add(1, Relaxed);
                Memory::new()
            });
            let value = f(&mut memory);
            lock().push(memory);
            drop(turn);
            if queue.is_idle() {
                let unused = std::mem::take(&mut *lock());
                drop(unused);
            }
            value
        });
        done.await.map_err(|_| Busy)
    }
}

fn compute(password: &str, salt: &Salt, params: &Params, memory: &mut Memory) -> Option<Output> {
    memory.resize(params.block_count(), Block::new());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
    let (password, blocks) = (password.as_bytes(), memory.as_mut_slice());
    argon2.hash_password_into_with_memory(password, salt, &mut out, blocks).ok()?;
    Output::new(&out).ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::users::queue::RUNNING;

    // covers: http.auth.argon2id
    #[tokio::test]
    async fn nobodys_hash_costs_what_ours_cost() {
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let ours = Passwords::new().hash("x".to_owned().into()).await.unwrap();
        let ours = PasswordHash::new(&ours).unwrap();
        assert_eq!(nobody.algorithm, ours.algorithm);
        assert_eq!(nobody.version, ours.version);
        assert_eq!(nobody.params, ours.params);
        assert_eq!(ours.params.to_string(), "m=19456,t=2,p=1");
        assert_eq!(nobody.salt.unwrap().len(), ours.salt.unwrap().len());
        assert_eq!(nobody.hash.unwrap().len(), ours.hash.unwrap().len());
    }

    /// As the library by itself writes and reads them.
    #[tokio::test]
    async fn hashes_are_argon2s_own() {
        use argon2::{PasswordHasher, PasswordVerifier};
        let passwords = Passwords::new();
        let password = || "right".to_owned().into();
        let ours = passwords.hash(password()).await.unwrap();
        assert!(Argon2::default().verify_password(b"right", &ours[..]).is_ok());
        let theirs: PasswordHash = Argon2::default().hash_password(b"right").unwrap();
        assert!(
            passwords.matches(Class::Known, password(), Some(theirs.to_string())).await.unwrap()
        );
        for wrong in ["", "x", &theirs.to_string().replace("argon2id", "argon2i")] {
            assert!(
                !passwords.matches(Class::Known, password(), Some(wrong.into())).await.unwrap(),
                "{wrong}"
            );
        }
        let other = "wrong".to_owned().into();
        assert!(!passwords.matches(Class::Known, other, Some(theirs.to_string())).await.unwrap());
    }

    // covers: http.auth.memory
    #[tokio::test]
    async fn memory_is_used_again_and_then_given_back() {
        let passwords = Arc::new(Passwords::new());
        let tries = (0..40).map(|_| passwords.matches(Class::Known, "x".to_owned().into(), None));
        futures_util::future::join_all(tries).await;
        assert!((1..=RUNNING).contains(&passwords.made.load(Relaxed)), "for all of them");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !passwords.memory.lock().unwrap().is_empty() {
            assert!(Instant::now() < deadline, "it is not given back");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn work_whose_caller_left_keeps_its_turn() {
        let passwords = Arc::new(Passwords::new());
        let (finish, wait) = std::sync::mpsc::channel::<()>();
        let (started, running) = tokio::sync::oneshot::channel();
        let caller = tokio::spawn({
            let passwords = passwords.clone();
            async move {
                let work = passwords.run(Class::Known, move |_| {
                    started.send(()).unwrap();
                    wait.recv().unwrap();
                });
                work.await
            }
        });
        running.await.unwrap();
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        assert_eq!(passwords.queue.free(), RUNNING - 1);
        finish.send(()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while passwords.queue.free() < RUNNING {
            assert!(Instant::now() < deadline, "it is not given back");
            tokio::task::yield_now().await;
        }
    }
}
