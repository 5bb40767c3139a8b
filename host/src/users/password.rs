//! Hashing and checking passwords with argon2id, a few at a time and off the runtime.

use std::sync::Arc;

use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Argon2's own default is what OWASP asks for: argon2id, 19456 KiB, 2 passes, 1 lane.
fn argon2() -> Argon2<'static> {
    Argon2::default()
}

/// What a password is checked against when there is no such user, so that both cost the same. The
/// hash is random bytes: no password has it.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$\
    8W3QdJ0YrA5nBvC1xZkLmQ$2m7Hq0o5yKx9TzF4uVwRjE6sN1cGdPbLXaYi3kUhQv8";

/// How many run at the same time: two cores and 38 MiB at most go into logins.
const RUNNING: usize = 2;
/// How many more may wait, about half a second's work.
const WAITING: usize = 62;

/// Runs argon2.
pub(super) struct Passwords {
    places: Semaphore,
    running: Arc<Semaphore>,
    /// How often argon2 was started.
    #[cfg(test)]
    pub(super) runs: Arc<std::sync::atomic::AtomicUsize>,
}

/// Too many wait already, or the runtime is shutting down.
#[derive(Debug)]
pub(super) struct Busy;

impl Passwords {
    pub(super) fn new() -> Passwords {
        Passwords {
            places: Semaphore::new(RUNNING + WAITING),
            running: Arc::new(Semaphore::new(RUNNING)),
            #[cfg(test)]
            runs: Arc::default(),
        }
    }

    /// Whether the password has this hash; without one the answer is no, after the same work.
    pub(super) async fn matches(
        &self,
        password: Zeroizing<String>,
        hash: Option<String>,
    ) -> Result<bool, Busy> {
        self.run(move || {
            let known = hash.is_some();
            let hash = hash.as_deref().unwrap_or(NOBODY);
            let matches = PasswordHash::new(hash)
                .is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok());
            known && matches
        })
        .await
    }

    /// The password's hash with a fresh salt, as a PHC string.
    pub(super) async fn hash(&self, password: Zeroizing<String>) -> Result<String, Busy> {
        let hashed = self.run(move || argon2().hash_password(password.as_bytes()));
        // It fails only without memory or randomness.
        hashed.await?.map(|hash| hash.to_string()).map_err(|_| Busy)
    }

    async fn run<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let _place = self.places.try_acquire().map_err(|_| Busy)?;
        let permit = self.running.clone().acquire_owned().await.map_err(|_| Busy)?;
        #[cfg(test)]
        self.runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // The permit goes along: when the caller goes away, the work still counts.
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            f()
        });
        done.await.map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: http.auth.argon2id
    #[test]
    fn nobodys_hash_costs_what_ours_cost() {
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let ours: PasswordHash = argon2().hash_password(b"x").unwrap();
        assert_eq!(nobody.algorithm, ours.algorithm);
        assert_eq!(nobody.version, ours.version);
        assert_eq!(nobody.params, ours.params);
        assert_eq!(ours.params.to_string(), "m=19456,t=2,p=1");
        assert_eq!(nobody.salt.unwrap().len(), ours.salt.unwrap().len());
        assert_eq!(nobody.hash.unwrap().len(), ours.hash.unwrap().len());
    }

    // covers: http.auth.few-at-a-time
    #[tokio::test]
    async fn the_queue_is_bounded() {
        let passwords = Arc::new(Passwords::new());
        let _places = passwords.places.acquire_many((RUNNING + WAITING) as u32).await.unwrap();
        assert!(passwords.hash("x".to_owned().into()).await.is_err());
    }

    #[tokio::test]
    async fn work_whose_caller_left_keeps_its_permit() {
        let passwords = Arc::new(Passwords::new());
        let (finish, wait) = std::sync::mpsc::channel::<()>();
        let (started, running) = tokio::sync::oneshot::channel();
        let caller = tokio::spawn({
            let passwords = passwords.clone();
            async move {
                let work = passwords.run(move || {
                    started.send(()).unwrap();
                    wait.recv().unwrap();
                });
                work.await
            }
        });
        running.await.unwrap();
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        assert_eq!(passwords.running.available_permits(), RUNNING - 1);
        finish.send(()).unwrap();
        passwords.running.acquire_many(RUNNING as u32).await.unwrap().forget();
    }
}
