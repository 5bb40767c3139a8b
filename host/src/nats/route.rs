//! Addresses of other nodes.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value;

/// Where a server of another node is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Route {
    /// A host name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// An entry of a list that is no route, by its index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{list}[{index}]' is no route: it needs a host and a port, and is passed over")]
pub struct RouteError {
    /// The key of the list.
    pub list: String,
    /// Where in the list, from 0.
    pub index: usize,
}

impl Route {
    /// The routes in the value of the configuration's key `list`, in their order and each once, and
    /// what stands there and is none.
    pub fn read_list(list: &str, value: &Value) -> (Vec<Route>, Vec<RouteError>) {
        let (mut routes, mut errors) = (Vec::new(), Vec::new());
        // No list at all is an error of the first entry.
        let entries = match value {
            Value::Null => &[][..],
            Value::Array(entries) => entries,
            other => std::slice::from_ref(other),
        };
        for (index, entry) in entries.iter().enumerate() {
            match Self::read(entry) {
                Some(route) if routes.contains(&route) => {}
                Some(route) => routes.push(route),
                None => errors.push(RouteError { list: list.to_owned(), index }),
            }
        }
        (routes, errors)
    }

    fn read(entry: &Value) -> Option<Self> {
        let port = match &entry["port"] {
            Value::String(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok()?
            }
            number => u16::try_from(number.as_u64()?).ok()?,
        };
        let route = Self { host: canonical(entry["host"].as_str()?)?, port };
        (port != 0).then_some(route)
    }

    /// Whether it is what it should be; a host ends up in a URL with a password before it.
    pub(super) fn is_valid(&self) -> bool {
        canonical(&self.host).is_some() && self.port != 0
    }
}

/// As a URL has it.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// One form for each host, and none for what is no host.
fn canonical(host: &str) -> Option<String> {
    if let Ok(address) = host.parse::<Ipv6Addr>() {
        return Some(address.to_string());
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let is_name = name.len() <= 253 && name.split('.').all(is_label);
    (host.parse::<Ipv4Addr>().is_ok() || is_name).then(|| name.to_ascii_lowercase())
}
