//! The table `system.users`: key the user's name, value the record as JSON.

use redb::{ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use super::{Error, Store};

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is done, durably.
    Done,
    /// There is no such user; nothing was changed.
    Unknown,
    /// Nobody active would have the role that someone must have; nothing was changed.
    LastOfRole,
}

pub(super) const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("system.users");

/// One user as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name they log in with, and the key of the record.
    pub username: String,
    /// `super_user`, `cluster_user`, or the name of a role.
    pub role: String,
    /// Whether they may log in.
    pub active: bool,
    /// The password's argon2id hash as a PHC string.
    pub password_hash: String,
    /// When the record was made, in milliseconds since 1970.
    #[serde(default)]
    pub created: i64,
    /// When it was changed last, in milliseconds since 1970.
    #[serde(default)]
    pub updated: i64,
}

impl User {
    fn is_active(&self, role: &str) -> bool {
        self.active && self.role == role
    }
}

impl Store {
    /// The user of that name.
    pub async fn user(&self, username: &str) -> Result<Option<User>, Error> {
        let username = username.to_owned();
        self.read(move |t| {
            let found = t.open_table(TABLE)?.get(username.as_str())?;
            found.map(|v| decode(v.value())).transpose()
        })
        .await
    }

    /// Whether any user has that role, active or not.
    pub async fn has_role(&self, role: &'static str) -> Result<bool, Error> {
        self.read(move |t| any_with_role(&t.open_table(TABLE)?, role)).await
    }

    /// Adds a user whose name is free; false, and nothing changed, when it is not.
    pub async fn add_user(&self, user: User) -> Result<bool, Error> {
        self.write(move |t| {
            let mut table = t.open_table(TABLE)?;
            let free = table.get(user.username.as_str())?.is_none();
            if free {
                table.insert(user.username.as_str(), encode(&user)?.as_slice())?;
            }
            Ok(free)
        })
        .await
    }

    /// Adds a user who is the first of their role; false, and nothing changed, when someone has
    /// the role or the name.
    pub async fn add_first_with_role(&self, user: User) -> Result<bool, Error> {
        self.write(move |t| {
            let mut table = t.open_table(TABLE)?;
            let first =
                !any_with_role(&table, &user.role)? && table.get(user.username.as_str())?.is_none();
            if first {
                table.insert(user.username.as_str(), encode(&user)?.as_slice())?;
            }
            Ok(first)
        })
        .await
    }

    /// All users, in the order of their names.
    pub async fn users(&self) -> Result<Vec<User>, Error> {
        self.read(|t| t.open_table(TABLE)?.iter()?.map(|entry| decode(entry?.1.value())).collect())
            .await
    }

    /// Changes a user's record with `f`. The name stays, and so does the last active user of the
    /// role `needed`.
    pub async fn change_user(
        &self,
        username: &str,
        needed: &'static str,
        f: impl FnOnce(&mut User) + Send + 'static,
    ) -> Result<Changed, Error> {
        let username = username.to_owned();
        self.write(move |t| {
            let mut table = t.open_table(TABLE)?;
            let found = table.get(username.as_str())?.map(|v| decode(v.value())).transpose()?;
            let Some(mut user) = found else { return Ok(Changed::Unknown) };
            let had = user.is_active(needed);
            f(&mut user);
            user.username = username;
            if had && !user.is_active(needed) && is_last(&table, &user.username, needed)? {
                return Ok(Changed::LastOfRole);
            }
            table.insert(user.username.as_str(), encode(&user)?.as_slice())?;
            Ok(Changed::Done)
        })
        .await
    }

    /// Removes a user, unless they are the last active one of the role `needed`.
    pub async fn remove_user(
        &self,
        username: &str,
        needed: &'static str,
    ) -> Result<Changed, Error> {
        let username = username.to_owned();
        self.write(move |t| {
            let mut table = t.open_table(TABLE)?;
            let found = table.get(username.as_str())?.map(|v| decode(v.value())).transpose()?;
            let Some(user) = found else { return Ok(Changed::Unknown) };
            if user.is_active(needed) && is_last(&table, &username, needed)? {
                return Ok(Changed::LastOfRole);
            }
            table.remove(username.as_str())?;
            Ok(Changed::Done)
        })
        .await
    }
}

/// Whether nobody but `username` is an active user of the role.
fn is_last(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    username: &str,
    role: &str,
) -> Result<bool, Error> {
    for entry in table.iter()? {
        let user = decode(entry?.1.value())?;
        if user.username != username && user.is_active(role) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn any_with_role(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    role: &str,
) -> Result<bool, Error> {
    for entry in table.iter()? {
        if decode(entry?.1.value())?.role == role {
            return Ok(true);
        }
    }
    Ok(false)
}

fn decode(value: &[u8]) -> Result<User, Error> {
    serde_json::from_slice(value).map_err(Error::Value)
}

fn encode(user: &User) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(user).map_err(Error::Value)
}
