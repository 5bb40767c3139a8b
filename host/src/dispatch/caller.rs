//! Who asks.

use std::fmt;
use std::net::IpAddr;

const SUPER_USER: &str = "super_user";
const CLUSTER_USER: &str = "cluster_user";

/// The user that an operation is performed for. Whoever makes one vouches for it: dispatch does
/// not ask for a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user's name.
    pub username: String,
    /// What the user may do.
    pub role: Role,
    /// From where.
    pub origin: Origin,
}

/// From where a request came, for the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Over the network, from this address.
    Address(IpAddr),
    /// Over the Unix socket in the node's folder.
    Socket,
    /// From the program that this host is a part of.
    Program,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Socket => f.write_str("socket"),
            Self::Program => f.write_str("program"),
        }
    }
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

impl Role {
    /// The role of that name.
    pub fn of_name(name: impl Into<String>) -> Self {
        let name = name.into();
        match name.as_str() {
            SUPER_USER => Self::SuperUser,
            CLUSTER_USER => Self::ClusterUser,
            _ => Self::Named(name),
        }
    }

    /// The role's name.
    pub fn name(&self) -> &str {
        match self {
            Self::SuperUser => SUPER_USER,
            Self::ClusterUser => CLUSTER_USER,
            Self::Named(name) => name,
        }
    }
}

impl Caller {
    /// A caller who may do everything, in this program.
    pub fn super_user(username: impl Into<String>) -> Self {
        Self::new(username, Role::SuperUser)
    }

    /// A caller in this program.
    pub fn new(username: impl Into<String>, role: Role) -> Self {
        Self { username: username.into(), role, origin: Origin::Program }
    }

    /// The same, coming from elsewhere.
    pub fn with_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }
}
