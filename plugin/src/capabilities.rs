//! What the logic needs of its host, as traits: the component's imports implement them, and so do
//! the fakes of the unit tests. Each mirrors the WIT interface of its name, which documents it.

#![expect(async_fn_in_trait, reason = "a component is one thread, so no future has to be Send")]

use std::time::Duration;

use serde_json::Value;

/// Everything an operation may use.
pub trait Capabilities: Config + Clock + Log {}

impl<T: Config + Clock + Log> Capabilities for T {}

/// The configuration file, by key path (`wit/config.wit`).
pub trait Config {
    /// Reads the values at `paths`, all from one state of the file.
    async fn get<const N: usize>(&self, paths: [&str; N]) -> Result<Snapshot<N>, ConfigError>;

    /// Writes all changes at once, if the file is still at `expected`.
    async fn set(&self, expected: &str, changes: &[Change<'_>]) -> Result<(), ConfigError>;
}

/// Values read at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot<const N: usize> {
    /// The state of the file that they were read from.
    pub revision: String,
    /// One value for each path, in the order asked for. A missing key reads as null.
    pub values: [Value; N],
}

/// A value to be put at a key path.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// The key path, its keys joined with dots.
    pub path: &'a str,
    /// The new value.
    pub value: Value,
}

/// Why the configuration could not be read or written. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// The file is no longer in the state that was expected.
    Conflict,
    /// Anything that reading again does not mend, as a sentence for the caller.
    Failed(String),
}

/// Time (`wit/clock.wit`).
pub trait Clock {
    /// Nanoseconds since some moment before this call. Never goes back.
    fn monotonic(&self) -> u64;

    /// Waits.
    async fn sleep(&self, duration: Duration);
}

/// The host's log (`wit/log.wit`).
pub trait Log {
    /// Something is wrong, and the operation goes on.
    fn warn(&self, message: &str);
}
