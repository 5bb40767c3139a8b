//! Versions of rows.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Which write a row is the result of. The larger one wins, on all nodes alike.
///
/// A node's timestamps are strictly increasing, so that a version names one request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// Microseconds since 1970, by the clock of the node that wrote it; later when it had already
    /// seen a later one.
    pub timestamp: u64,
    /// The node's name; empty of a node that has none.
    pub node: String,
}

impl Version {
    /// When it was written, in milliseconds since 1970.
    pub fn milliseconds(&self) -> u64 {
        self.timestamp / 1000
    }

    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        out.extend(self.timestamp.to_be_bytes());
        // Names are checked where they come from; they have some dozens of bytes.
        let length = u16::try_from(self.node.len()).unwrap_or(u16::MAX);
        out.extend(length.to_be_bytes());
        out.extend_from_slice(&self.node.as_bytes()[..usize::from(length)]);
    }

    /// What [`write_to`](Self::write_to) has written, and what comes after it.
    pub(super) fn read_from(bytes: &[u8]) -> Option<(Version, &[u8])> {
        let (timestamp, bytes) = bytes.split_first_chunk()?;
        let (length, bytes) = bytes.split_first_chunk()?;
        let (node, rest) = bytes.split_at_checked(u16::from_be_bytes(*length).into())?;
        let node = str::from_utf8(node).ok()?.to_owned();
        Some((Version { timestamp: u64::from_be_bytes(*timestamp), node }, rest))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.timestamp, self.node)
    }
}

/// The text is no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no version")]
pub struct NoVersion;

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let (timestamp, node) = text.split_once('-').ok_or(NoVersion)?;
        let timestamp = timestamp.parse().map_err(|_| NoVersion)?;
        Ok(Version { timestamp, node: node.to_owned() })
    }
}

/// Tells the time; clones are the same clock. The default is the machine's.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl WallClock {
    /// A clock of your own: microseconds since 1970.
    pub fn new(now: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Microseconds since 1970.
    pub fn now(&self) -> u64 {
        (self.0)()
    }

    /// Milliseconds since 1970.
    pub(super) fn milliseconds(&self) -> u64 {
        self.now() / 1000
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
        })
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WallClock").field(&self.now()).finish()
    }
}

/// The timestamp after `last`, when the wall clock shows `now`.
pub(super) fn after(last: u64, now: u64) -> u64 {
    now.max(last.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_one_wins_and_a_tie_goes_by_the_name() {
        let version = |timestamp, node: &str| Version { timestamp, node: node.into() };
        assert!(version(2, "a") > version(1, "b"));
        assert!(version(2, "b") > version(2, "a"));
        let one = version(1_700_000_000_000_000, "node-1");
        assert_eq!(one.to_string().parse(), Ok(one.clone()));
        let mut bytes = Vec::new();
        one.write_to(&mut bytes);
        bytes.push(7);
        assert_eq!(Version::read_from(&bytes), Some((one, &[7][..])));
        assert_eq!("x".parse::<Version>(), Err(NoVersion));
    }

    // covers: layer.versions
    #[test]
    fn timestamps_increase_whatever_the_clock_does() {
        assert_eq!(after(5, 9), 9);
        assert_eq!(after(9, 9), 10);
        assert_eq!(after(9, 3), 10);
    }
}
