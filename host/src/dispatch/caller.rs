//! Who asks.

/// The user that an operation is performed for. Whoever makes one vouches for it: dispatch does
/// not ask for a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user's name.
    pub username: String,
    /// What the user may do.
    pub role: Role,
}

/// What a user may do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// Everything.
    SuperUser,
    /// Joining nodes to a cluster, and nothing in the operations API.
    ClusterUser,
    /// A role of another name: nothing, until it is given a right.
    Named(String),
}

impl Caller {
    /// A caller who may do everything.
    pub fn super_user(username: impl Into<String>) -> Self {
        Self { username: username.into(), role: Role::SuperUser }
    }
}
