//! The node's users: who they are, and whether someone is one of them.
//!
//! A password is checked by argon2id once, and then known for a while. Wrong ones are slowed by
//! address and user name; no account is ever locked, and a password that was right lately is not
//! slowed at all. Whether the name, the password or the right to log in was missing is told to
//! nobody, by no text and no time: an unknown user costs what a wrong password costs.

mod cache;
mod guesses;
mod password;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, sync::Arc, time::Duration};

use zeroize::Zeroizing;

use crate::{
    dispatch::{Caller, Role},
    store::{self, Store, User},
};
use cache::{Answer, Cache};
use guesses::Guesses;
use password::{Busy, Passwords};

/// The longest user name, in bytes.
pub const MAX_USERNAME: usize = 256;
/// The longest password, in bytes.
pub const MAX_PASSWORD: usize = 1024;

const SUPER_USER: &str = "super_user";
const CLUSTER_USER: &str = "cluster_user";
/// What a wrong password that is known to be wrong waits for: it costs nothing, and is not counted.
const REPEATED: Duration = Duration::from_secs(1);

/// The users of this node; clones share one state.
#[derive(Clone)]
pub struct Users(Arc<Inner>);

struct Inner {
    store: Store,
    passwords: Passwords,
    cache: Cache,
    guesses: Guesses,
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

/// Why the users were not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is empty, too long, or could not be used in HTTP's Basic scheme.
    #[error("a user name has 1 to {MAX_USERNAME} bytes, no colon and no control character")]
    Name,
    /// The password is empty or too long.
    #[error("a password has 1 to {MAX_PASSWORD} bytes")]
    Password,
    /// Someone has that name, or is super_user already where the first one was to be made.
    #[error("user '{0}' cannot be added: the name is taken, or there is a super_user already")]
    Taken(String),
    /// Nobody has that name.
    #[error("user '{0}' does not exist")]
    Unknown(String),
    /// Too many passwords wait to be hashed.
    #[error("too many logins at the same time, try again")]
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

impl Users {
    /// The users in `store`. Credentials that were checked hold for `cache_ttl`; zero checks each
    /// time.
    pub fn open(store: Store, cache_ttl: Duration) -> Users {
        Users(Arc::new(Inner {
            store,
            passwords: Passwords::new(),
            cache: Cache::new(cache_ttl),
            guesses: Guesses::new(),
        }))
    }

    /// Whether there is a super_user, active or not.
    pub async fn has_super_user(&self) -> Result<bool, Error> {
        Ok(self.0.store.has_role(SUPER_USER).await?)
    }

    /// Adds the super_user of a node that has none.
    pub async fn create_first_super_user(
        &self,
        username: &str,
        password: &str,
    ) -> Result<(), Error> {
        let user = self.0.user(username, password, &Role::SuperUser).await?;
        self.change(
            username,
            Error::Taken,
            |store| async move { store.add_first_with_role(user).await },
        )
        .await
    }

    /// Adds a user, who may log in at once.
    pub async fn add(&self, username: &str, password: &str, role: &Role) -> Result<(), Error> {
        let user = self.0.user(username, password, role).await?;
        self.change(username, Error::Taken, |store| async move { store.add_user(user).await }).await
    }

    /// Changes a user; what they logged in with before counts no more once this returns.
    pub async fn alter(&self, username: &str, change: Change) -> Result<(), Error> {
        let hash = match change.password {
            Some(password) => Some(self.0.hash(&password).await?),
            None => None,
        };
        let apply = move |user: &mut User| {
            user.password_hash = hash.unwrap_or_else(|| std::mem::take(&mut user.password_hash));
            user.active = change.active.unwrap_or(user.active);
            if let Some(role) = change.role {
                user.role = role_name(&role).to_owned();
            }
        };
        let name = username.to_owned();
        let alter = |store: Store| async move { store.change_user(&name, apply).await };
        self.change(username, Error::Unknown, alter).await
    }

    /// Removes a user; they are out once this returns.
    pub async fn remove(&self, username: &str) -> Result<(), Error> {
        let name = username.to_owned();
        let remove = |store: Store| async move { store.remove_user(&name).await };
        self.change(username, Error::Unknown, remove).await
    }

    /// Writes, then forgets what was known of the user, also of checks that read the record before
    /// it. In a task of its own: a caller who goes away in between must not leave the old password
    /// valid.
    async fn change<F>(
        &self,
        username: &str,
        not_done: fn(String) -> Error,
        write: impl FnOnce(Store) -> F,
    ) -> Result<(), Error>
    where
        F: Future<Output = Result<bool, store::Error>> + Send + 'static,
    {
        let (users, name) = (self.clone(), username.to_owned());
        let write = write(self.0.store.clone());
        let written = tokio::spawn(async move {
            let done = write.await;
            users.0.cache.forget(&name);
            done
        });
        match written.await.unwrap_or(Err(store::Error::Lost))? {
            true => Ok(()),
            false => Err(not_done(username.to_owned())),
        }
    }

    /// Who this is, for a client at address `peer`. Dropping the future stops nothing halfway.
    pub async fn verify(
        &self,
        username: &str,
        password: &str,
        peer: IpAddr,
    ) -> Result<Caller, LoginFailed> {
        if username.len() > MAX_USERNAME || password.len() > MAX_PASSWORD {
            return Err(LoginFailed::Credentials);
        }
        let known = self.0.cache.entry(peer, username, password);
        if let Some(answer) = known.answer.get() {
            if answer.login.is_err() {
                tokio::time::sleep(REPEATED).await;
            }
            return answer.login.clone();
        }
        let check = || self.0.check(username, password, peer, known.trusted);
        known.answer.get_or_init(check).await.login.clone()
    }
}

impl Inner {
    async fn check(&self, username: &str, password: &str, peer: IpAddr, trusted: bool) -> Answer {
        let attempt = if trusted { None } else { Some(self.guesses.attempt(peer, username)) };
        match &attempt {
            None => {}
            Some(Some(attempt)) => attempt.turn().await,
            // Too fast: not looked at, which the answer does not tell.
            Some(None) => {
                tokio::time::sleep(guesses::LONGEST).await;
                return self.cache.passing(Err(LoginFailed::Credentials));
            }
        }
        let login = self.look_at(username, password).await;
        if let (Ok(_), Some(Some(attempt))) = (&login, attempt) {
            self.guesses.succeeded(attempt);
        }
        self.cache.answer(login)
    }

    async fn look_at(&self, username: &str, password: &str) -> Result<Caller, LoginFailed> {
        let user = self.store.user(username).await.map_err(|error| {
            tracing::error!(%error, "the users cannot be read");
            LoginFailed::Internal
        })?;
        let (hash, user) = match user {
            Some(User { username, role, active, password_hash }) => {
                let may = active && role != CLUSTER_USER;
                (Some(password_hash), may.then(|| Caller { username, role: role_named(role) }))
            }
            None => (None, None),
        };
        let password = Zeroizing::new(password.to_owned());
        match self.passwords.matches(password, hash).await {
            Ok(true) => user.ok_or(LoginFailed::Credentials),
            Ok(false) => Err(LoginFailed::Credentials),
            Err(Busy) => Err(LoginFailed::Busy),
        }
    }

    async fn user(&self, username: &str, password: &str, role: &Role) -> Result<User, Error> {
        let fits = (1..=MAX_USERNAME).contains(&username.len());
        if !fits || username.contains(|c: char| c == ':' || c.is_control()) {
            return Err(Error::Name);
        }
        Ok(User {
            username: username.to_owned(),
            role: role_name(role).to_owned(),
            active: true,
            password_hash: self.hash(password).await?,
        })
    }

    async fn hash(&self, password: &str) -> Result<String, Error> {
        if !(1..=MAX_PASSWORD).contains(&password.len()) {
            return Err(Error::Password);
        }
        Ok(self.passwords.hash(Zeroizing::new(password.to_owned())).await?)
    }
}

fn role_named(name: String) -> Role {
    match name.as_str() {
        SUPER_USER => Role::SuperUser,
        CLUSTER_USER => Role::ClusterUser,
        _ => Role::Named(name),
    }
}

fn role_name(role: &Role) -> &str {
    match role {
        Role::SuperUser => SUPER_USER,
        Role::ClusterUser => CLUSTER_USER,
        Role::Named(name) => name,
    }
}
