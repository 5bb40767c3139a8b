//! What a message says beside its bytes.

use async_nats::HeaderMap;
use async_nats::header::HeaderValue;

use crate::data::MAX_NAME;

const ORIGIN: &str = "origin";
const TRANSACTED: &str = "transacted_nodes";

/// Bytes of the headers that name nodes, at most: NATS allows 64 KiB, and what is passed on has one
/// more. A change that comes again because its list was cut changes nothing.
const MOST_BYTES: usize = 32 << 10;

/// By which nodes a message has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passed {
    /// The node that did what it says; empty when it is not said.
    pub origin: String,
    /// The nodes that have applied it already.
    pub transacted: Vec<String>,
}

impl Passed {
    /// What the headers of a message say. What cannot be a node's name is left out.
    pub fn from_headers(headers: &HeaderMap) -> Passed {
        let transacted = headers.get_all(TRANSACTED).map(HeaderValue::as_str);
        Self::of(headers.get(ORIGIN).map(HeaderValue::as_str), transacted)
    }

    /// The same of headers as names and values.
    pub fn from_pairs(headers: &[(String, String)]) -> Passed {
        let all = |wanted: &'static str| {
            headers.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| value.as_str())
        };
        Self::of(all(ORIGIN).next(), all(TRANSACTED))
    }

    fn of<'h>(origin: Option<&'h str>, transacted: impl Iterator<Item = &'h str>) -> Passed {
        let is_name = |name: &&str| !name.is_empty() && name.len() <= MAX_NAME;
        let (origin, transacted) = (origin.filter(is_name), transacted.filter(is_name));
        let mut bytes = 0;
        let fits = |name: &&str| {
            bytes += TRANSACTED.len() + name.len() + 4;
            bytes <= MOST_BYTES
        };
        Passed {
            origin: origin.unwrap_or_default().to_owned(),
            transacted: transacted.take_while(fits).map(str::to_owned).collect(),
        }
    }

    /// Puts it into the headers of a message. A name with a line break, which no node has, is left
    /// out.
    pub fn put_into(&self, headers: &mut HeaderMap) {
        let value = |name: &str| name.parse::<HeaderValue>().ok();
        if let Some(origin) = value(&self.origin) {
            headers.insert(ORIGIN, origin);
        }
        for node in self.transacted.iter().filter_map(|name| value(name)) {
            headers.append(TRANSACTED, node);
        }
    }

    /// Whether a node has applied it already, or has made it.
    pub fn includes(&self, node: &str) -> bool {
        self.origin == node || self.transacted.iter().any(|other| other == node)
    }
}
