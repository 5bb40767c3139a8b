//! The node's users: who they are, and whether someone is one of them.
//!
//! A password is checked by argon2id once, and then known for a while. Wrong ones are slowed by
//! address and user name; no account is ever locked, and a password that was right lately is not
//! slowed at all. Whether the name, the password or the right to log in was missing is told to
//! nobody, by no text and no time: an unknown user costs what a wrong password costs.

mod cache;
mod guesses;
mod password;
mod queue;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::registry::Registry;
use zeroize::Zeroizing;

use crate::{
    dispatch::{Caller, Origin, Role},
    metrics::Counters,
    store::{self, Changed, Store, User},
};
use cache::{Answer, Cache};
use guesses::Guesses;
use password::{Busy, Passwords};
use queue::Class;

/// The longest user name, in bytes.
pub const MAX_USERNAME: usize = 256;
/// The longest password, in bytes.
pub const MAX_PASSWORD: usize = 1024;

const SUPER_USER: &str = "super_user";
const CLUSTER_USER: &str = "cluster_user";
/// What an attempt waits for that costs nothing and is not counted: a password that is known to be
/// wrong, and one that came too soon after others.
const SLOWED: Duration = Duration::from_secs(1);

/// How often someone is looked at again whom a change of users has overtaken.
const LOOKS: usize = 4;

/// The users of this node; clones share one state.
#[derive(Clone)]
pub struct Users(Arc<Inner>);

struct Inner {
    store: Store,
    passwords: Passwords,
    cache: Cache,
    guesses: Guesses,
    registry: Registry,
    failures: Counters<1>,
    /// How often any user was changed.
    changes: AtomicU64,
}

/// Why nobody was logged in. The texts are for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginFailed {
    /// No such user, another password, or a user who may not log in here.
    #[error("Login failed")]
    Credentials,
    /// More logins wait to be checked than can be soon.
    #[error("Too many logins at the same time, try again")]
    Busy,
    /// The users could not be read; the cause is in the log.
    #[error("Internal error")]
    Internal,
}

impl LoginFailed {
    /// Its name in metrics.
    fn name(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Busy => "busy",
            Self::Internal => "internal",
        }
    }
}

/// Why the users were not changed. The texts are for the client, but for that of `Store`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is empty, too long, or could not be used in HTTP's Basic scheme.
    #[error("'username' must have 1 to {MAX_USERNAME} bytes, no colon and no control character")]
    Name,
    /// The password is empty or too long.
    #[error("'password' must have 1 to {MAX_PASSWORD} bytes")]
    Password,
    /// The role's name is empty, too long, or no text.
    #[error("'role' must have 1 to {MAX_USERNAME} bytes and no control character")]
    Role,
    /// The role is one of the two that mean something, misspelled.
    #[error("'role' is '{given}': did you mean '{meant}'?")]
    MisspelledRole {
        /// What was given.
        given: String,
        /// What was probably meant.
        meant: &'static str,
    },
    /// Someone has that name.
    #[error("User '{0}' already exists")]
    Taken(String),
    /// Someone is super_user already, or has that name, where the first one was to be made.
    #[error("there is a super_user already, or a user '{0}'")]
    NotFirst(String),
    /// Nobody has that name.
    #[error("User '{0}' does not exist")]
    Unknown(String),
    /// Without this one nobody could manage the node over the network.
    #[error("User '{0}' is the last active super_user: add another one first")]
    LastSuperUser(String),
    /// Too many passwords wait to be hashed.
    #[error("Too many logins at the same time, try again")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<Busy> for Error {
    fn from(_: Busy) -> Error {
        Error::Busy
    }
}

/// A user, without the password.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserInfo {
    /// The name they log in with.
    pub username: String,
    /// What they may do.
    pub role: Role,
    /// Whether they may log in.
    pub active: bool,
    /// When they were added, in milliseconds since 1970.
    pub created: i64,
    /// When they were changed last, in milliseconds since 1970.
    pub updated: i64,
}

impl From<User> for UserInfo {
    fn from(user: User) -> UserInfo {
        let User { username, role, active, created, updated, .. } = user;
        UserInfo { username, role: Role::of_name(role), active, created, updated }
    }
}

/// What to change of a user; what is none stays.
#[derive(Default)]
pub struct Change {
    /// The new password.
    pub password: Option<Zeroizing<String>>,
    /// The new role.
    pub role: Option<Role>,
    /// Whether they may log in.
    pub active: Option<bool>,
}

/// Fails for what cannot be a user's name.
pub fn check_username(name: &str) -> Result<(), Error> {
    let fits = (1..=MAX_USERNAME).contains(&name.len());
    if fits && !name.contains(|c: char| c == ':' || c.is_control()) {
        Ok(())
    } else {
        Err(Error::Name)
    }
}

/// Fails for what cannot be a password.
pub fn check_password(password: &str) -> Result<(), Error> {
    if (1..=MAX_PASSWORD).contains(&password.len()) { Ok(()) } else { Err(Error::Password) }
}

/// Fails for what cannot be a role's name.
pub fn check_role(role: &str) -> Result<(), Error> {
    let fits = (1..=MAX_USERNAME).contains(&role.len());
    if !fits || role.contains(char::is_control) {
        return Err(Error::Role);
    }
    let letters = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let is_like = |meant: &&str| *meant != role && letters(meant) == letters(role);
    match [SUPER_USER, CLUSTER_USER].into_iter().find(is_like) {
        Some(meant) => Err(Error::MisspelledRole { given: role.to_owned(), meant }),
        None => Ok(()),
    }
}

impl Users {
    /// The users in `store`. Credentials that were checked hold for `cache_ttl`; zero checks each
    /// time.
    pub fn open(store: Store, cache_ttl: Duration) -> Users {
        let failures = Counters::default();
        let mut registry = Registry::with_prefix("harper");
        registry.register("logins_failed", "Logins that failed", failures.clone());
        Users(Arc::new(Inner {
            registry,
            failures,
            changes: AtomicU64::new(0),
            store,
            passwords: Passwords::new(),
            cache: Cache::new(cache_ttl),
            guesses: Guesses::new(),
        }))
    }

    /// Another number after any user was changed: whoever was verified before may be out.
    pub(crate) fn generation(&self) -> u64 {
        self.0.changes.load(Ordering::SeqCst)
    }

    /// Whether changes of users can be kept; the database takes none after its disk has failed.
    pub(crate) fn can_be_changed(&self) -> bool {
        self.0.store.takes_writes()
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// Whether there is a super_user, active or not.
    pub async fn has_super_user(&self) -> Result<bool, Error> {
        Ok(self.0.store.has_role(SUPER_USER).await?)
    }

    /// All users, in the order of their names.
    pub async fn list(&self) -> Result<Vec<UserInfo>, Error> {
        Ok(self.0.store.users().await?.into_iter().map(UserInfo::from).collect())
    }

    /// The user of that name.
    pub async fn info(&self, username: &str) -> Result<Option<UserInfo>, Error> {
        Ok(self.0.store.user(username).await?.map(UserInfo::from))
    }

    /// Adds the super_user of a node that has none.
    pub async fn create_first_super_user(
        &self,
        username: &str,
        password: &str,
    ) -> Result<(), Error> {
        let user = self.0.user(username, password, &Role::SuperUser, true).await?;
        let add = |store: Store| async move { store.add_first_with_role(user).await };
        self.change(username, add).await?.then_some(()).ok_or(Error::NotFirst(username.into()))
    }

    /// Adds a user, who may log in at once if they are active.
    pub async fn add(
        &self,
        username: &str,
        password: &str,
        role: &Role,
        active: bool,
    ) -> Result<(), Error> {
        let user = self.0.user(username, password, role, active).await?;
        let add = |store: Store| async move { store.add_user(user).await };
        self.change(username, add).await?.then_some(()).ok_or(Error::Taken(username.into()))
    }

    /// Changes a user; what they logged in with before counts no more once this returns. The last
    /// active super_user stays one.
    pub async fn alter(&self, username: &str, change: Change) -> Result<(), Error> {
        if let Some(role) = &change.role {
            check_role(role.name())?;
        }
        let hash = match change.password {
            Some(password) => Some(self.0.hash(&password).await?),
            None => None,
        };
        let apply = move |user: &mut User| {
            user.password_hash = hash.unwrap_or_else(|| std::mem::take(&mut user.password_hash));
            user.active = change.active.unwrap_or(user.active);
            if let Some(role) = change.role {
                user.role = role.name().to_owned();
            }
            user.updated = now().max(user.updated + 1);
        };
        let name = username.to_owned();
        let alter = |store: Store| async move { store.change_user(&name, SUPER_USER, apply).await };
        outcome(self.change(username, alter).await?, username)
    }

    /// Removes a user, but not the last active super_user; they are out once this returns.
    pub async fn remove(&self, username: &str) -> Result<(), Error> {
        let name = username.to_owned();
        let remove = |store: Store| async move { store.remove_user(&name, SUPER_USER).await };
        outcome(self.change(username, remove).await?, username)
    }

    /// Writes, then forgets what was known of the user, also of checks that read the record before
    /// it. In a task of its own: a caller who goes away in between must not leave the old password
    /// valid.
    async fn change<F, T: Send + 'static>(
        &self,
        username: &str,
        write: impl FnOnce(Store) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, store::Error>> + Send + 'static,
    {
        let (users, name) = (self.clone(), username.to_owned());
        let write = write(self.0.store.clone());
        let written = tokio::spawn(async move {
            let done = write.await;
            users.0.cache.forget(&name);
            users.0.changes.fetch_add(1, Ordering::SeqCst);
            done
        });
        Ok(written.await.unwrap_or(Err(store::Error::Lost))?)
    }

    /// Who this is, for a client at address `peer`, as the users are when it returns: a check waits
    /// for its turn, and who was changed meanwhile is looked at again. Dropping the future stops
    /// nothing halfway.
    pub async fn verify(
        &self,
        username: &str,
        password: &str,
        peer: IpAddr,
    ) -> Result<Caller, LoginFailed> {
        let mut login = Err(LoginFailed::Busy);
        for _ in 0..LOOKS {
            let generation = self.generation();
            login = self.0.login(username, password, peer).await;
            if login.is_err() || self.generation() == generation {
                break;
            }
            // Not to be believed if this was the last look.
            login = Err(LoginFailed::Busy);
        }
        if let Err(failed) = login {
            self.0.failures.get_or_create(&[("reason", failed.name().to_owned())]).inc();
        }
        login.map(|caller| caller.with_origin(Origin::Address(peer)))
    }
}

impl Inner {
    async fn login(
        &self,
        username: &str,
        password: &str,
        peer: IpAddr,
    ) -> Result<Caller, LoginFailed> {
        if username.len() > MAX_USERNAME || password.len() > MAX_PASSWORD {
            return Err(LoginFailed::Credentials);
        }
        let known = self.cache.entry(peer, username, password);
        if let Some(answer) = known.answer.get() {
            if answer.login.is_err() {
                tokio::time::sleep(SLOWED).await;
            }
            return answer.login.clone();
        }
        let check = || self.check(username, password, peer, known.trusted);
        let login = known.answer.get_or_init(check).await.login.clone();
        self.cache.settle(&known);
        login
    }

    async fn check(&self, username: &str, password: &str, peer: IpAddr, trusted: bool) -> Answer {
        let attempt = match trusted {
            true => None,
            false => match self.guesses.attempt(peer, username) {
                Some(attempt) => Some(attempt),
                // Too fast to be looked at. It may have been right, so it is not said to be wrong.
                None => {
                    tokio::time::sleep(SLOWED).await;
                    return self.cache.answer(Err(LoginFailed::Busy));
                }
            },
        };
        let class = match &attempt {
            None => Class::Known,
            Some(attempt) => {
                attempt.turn().await;
                Class::Stranger(attempt.failures)
            }
        };
        let login = self.look_at(class, username, password).await;
        match (&login, attempt) {
            (_, None) | (Err(LoginFailed::Credentials), _) => {}
            (Ok(_), Some(attempt)) => self.guesses.succeeded(attempt),
            // Nobody has looked at it.
            (Err(LoginFailed::Busy | LoginFailed::Internal), Some(attempt)) => {
                self.guesses.take_back(attempt);
            }
        }
        self.cache.answer(login)
    }

    async fn look_at(
        &self,
        class: Class,
        username: &str,
        password: &str,
    ) -> Result<Caller, LoginFailed> {
        let user = self.store.user(username).await.map_err(|error| {
            tracing::error!(%error, "the users cannot be read");
            LoginFailed::Internal
        })?;
        let (hash, user) = match user {
            Some(User { username, role, active, password_hash, .. }) => {
                let role = Role::of_name(role);
                let may = active && role != Role::ClusterUser;
                (Some(password_hash), may.then(|| Caller::new(username, role)))
            }
            None => (None, None),
        };
        let password = Zeroizing::new(password.to_owned());
        match self.passwords.matches(class, password, hash).await {
            Ok(true) => user.ok_or(LoginFailed::Credentials),
            Ok(false) => Err(LoginFailed::Credentials),
            Err(Busy) => Err(LoginFailed::Busy),
        }
    }

    async fn user(
        &self,
        username: &str,
        password: &str,
        role: &Role,
        active: bool,
    ) -> Result<User, Error> {
        check_username(username)?;
        check_role(role.name())?;
        let password_hash = self.hash(password).await?;
        let (created, updated) = (now(), now());
        let (username, role) = (username.to_owned(), role.name().to_owned());
        Ok(User { username, role, active, password_hash, created, updated })
    }

    async fn hash(&self, password: &str) -> Result<String, Error> {
        check_password(password)?;
        Ok(self.passwords.hash(Zeroizing::new(password.to_owned())).await?)
    }
}

fn outcome(changed: Changed, username: &str) -> Result<(), Error> {
    match changed {
        Changed::Done => Ok(()),
        Changed::Unknown => Err(Error::Unknown(username.to_owned())),
        Changed::LastOfRole => Err(Error::LastSuperUser(username.to_owned())),
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
