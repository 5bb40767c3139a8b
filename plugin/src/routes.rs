//! A route, and the two lists of routes in the configuration.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::capabilities::{Capabilities, Change, Clock, Config, ConfigError, Log};
use crate::operation::Error;
use crate::validate::Violations;

/// Where the configuration keeps the hub server's routes.
pub const HUB_ROUTES: &str = "clustering.hubServer.cluster.network.routes";
/// Where the configuration keeps the leaf server's routes.
pub const LEAF_ROUTES: &str = "clustering.leafServer.network.routes";

/// How long a change is tried again when others change the configuration meanwhile, and how often
/// at most. Many writers at a small file take turns within milliseconds, and each of them may need
/// as many attempts as there are others.
const PATIENCE: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 1000;
const LONGEST_PAUSE: Duration = Duration::from_millis(128);

/// The address of another node's server. It ends up in a URL that carries a password, so the host
/// is a host name or an IP address and nothing else.
#[derive(Debug, Clone, Serialize)]
pub struct Route {
    host: String,
    port: u16,
}

/// What makes two routes the same: host in lower case, IPv6 in its canonical form, no final dot.
pub type Key = (String, u16);

impl Route {
    /// Reads one route of a request; what is wrong with it goes to `violations`.
    fn read(value: &Value, label: &str, violations: &mut Violations) -> Option<Self> {
        let Some(object) = value.as_object() else {
            violations.add(label, "must be an object");
            return None;
        };
        let host_label = format_args!("{label}.host");
        let host = violations.required_at(object, "host", host_label).and_then(|host| {
            let Some(host) = host.as_str() else {
                violations.add(host_label, "must be a string");
                return None;
            };
            if !is_host(host) {
                violations.add(host_label, "must be a host name, an IPv4 or an IPv6 address");
            }
            Some(host)
        });
        let port_label = format_args!("{label}.port");
        let port = violations.required_at(object, "port", port_label).and_then(|port| {
            let Some(number) = number(port) else {
                violations.add(port_label, "must be a number");
                return None;
            };
            let port = as_port(number);
            if port.is_none() {
                violations.add(port_label, "must be an integer from 1 to 65535");
            }
            port
        });
        Some(Self { host: host?.to_owned(), port: port? })
    }

    /// Reads `host:port`, as a server writes the address of another, with an IPv6 address in
    /// brackets.
    pub fn of_url(url: &str) -> Option<Self> {
        let (host, port) = url.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(host) => host.strip_suffix(']').filter(|host| host.parse::<Ipv6Addr>().is_ok())?,
            None if host.contains(':') => return None,
            None => host,
        };
        let port = port.parse().ok().filter(|port| *port != 0)?;
        is_host(host).then(|| Self { host: host.to_owned(), port })
    }

    /// What makes this route the same as another.
    pub fn key(&self) -> Key {
        (canonical_host(&self.host), self.port)
    }
}

/// Host and port of what stands in the file, if it is a route.
fn parts(value: &Value) -> Option<(&str, u16)> {
    let host = value.get("host")?.as_str().filter(|host| is_host(host))?;
    Some((host, as_port(number(value.get("port")?)?)?))
}

fn key_in_file(value: &Value) -> Option<Key> {
    let (host, port) = parts(value)?;
    Some((canonical_host(host), port))
}

/// Reads `routes` of a request.
pub fn read_routes(request: &Map<String, Value>, violations: &mut Violations) -> Vec<Route> {
    let routes = violations.required_array(request, "routes").unwrap_or_default();
    let read = |(i, route)| Route::read(route, &format!("routes[{i}]"), violations);
    routes.iter().enumerate().filter_map(read).collect()
}

/// A host name, an IPv4 or an IPv6 address. Underscores are allowed: they are no host name's by
/// the letter of RFC 1123, but common in container networks.
fn is_host(host: &str) -> bool {
    if host.parse::<Ipv4Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok() {
        return true;
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A name whose last label is a number is read as an IPv4 address by resolvers, in ways that
    // differ: 1.2.3, 0x7f.1, 999.1.1.1.
    let is_numeric = |label: &str| {
        label.bytes().all(|b| b.is_ascii_digit())
            || label.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x"))
    };
    name.len() <= 253
        && name.split('.').all(is_label)
        && !name.rsplit('.').next().is_some_and(is_numeric)
}

fn canonical_host(host: &str) -> String {
    match host.parse::<Ipv6Addr>() {
        Ok(address) => address.to_string(),
        Err(_) => host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase(),
    }
}

/// A number, or a string of digits.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(digits)
            if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) =>
        {
            digits.parse().ok()
        }
        _ => None,
    }
}

/// A port: a number, or a string of digits.
pub fn port(value: &Value) -> Option<u16> {
    number(value).and_then(as_port)
}

fn as_port(number: f64) -> Option<u16> {
    let port = number as u16;
    (port != 0 && f64::from(port) == number).then_some(port)
}

/// One of the two lists, item by item as the configuration has it.
#[derive(Debug, Clone, PartialEq)]
struct List {
    path: &'static str,
    items: Vec<Value>,
    is_changed: bool,
}

impl List {
    fn read(path: &'static str, value: Value) -> Result<Self, Error> {
        match value {
            Value::Null => Ok(Self { path, items: Vec::new(), is_changed: false }),
            Value::Array(items) => Ok(Self { path, items, is_changed: false }),
            _ => Err(Error::Failed(format!(
                "'{path}' in the configuration must be a list of routes"
            ))),
        }
    }

    fn keys(&self) -> impl Iterator<Item = Key> {
        self.items.iter().filter_map(key_in_file)
    }

    /// For a caller: routes as host and port. What stands in the file by hand and is no route is
    /// shown as it stands, so that it can be found.
    fn shown(self, log: &impl Log) -> Value {
        let mut others = 0;
        let mut show = |item: Value| match parts(&item) {
            None => {
                others += 1;
                item
            }
            Some(_) if is_as_shown(&item) => item,
            Some((host, port)) => json!(Route { host: host.to_owned(), port }),
        };
        let shown = self.items.into_iter().map(&mut show).collect();
        if others > 0 {
            log.warn(&format!(
                "{others} items of '{}' in the configuration are no routes",
                self.path
            ));
        }
        shown
    }

    fn into_change(self) -> Change<'static> {
        let Self { path, items, .. } = self;
        Change { path, value: if items.is_empty() { Value::Null } else { Value::Array(items) } }
    }
}

/// Whether a route in the file looks as a caller is shown it, as those do that were set here.
fn is_as_shown(route: &Value) -> bool {
    route.as_object().is_some_and(|route| {
        route.keys().eq(["host", "port"]) && route.get("port").is_some_and(Value::is_u64)
    })
}

/// Both lists, read at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteLists {
    hub: List,
    leaf: List,
}

/// Which server a list belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The hub.
    Hub,
    /// The leaf.
    Leaf,
}

impl RouteLists {
    /// Reads both lists.
    pub async fn read(config: &impl Config) -> Result<Self, Error> {
        Ok(Self::read_with_revision(config).await?.0)
    }

    async fn read_with_revision(config: &impl Config) -> Result<(Self, String), Error> {
        let snapshot =
            config.get([HUB_ROUTES, LEAF_ROUTES]).await.map_err(|error| match error {
                ConfigError::Conflict => Error::Conflict(CONFLICT.into()),
                ConfigError::Failed(message) => Error::Failed(message),
            })?;
        let [hub, leaf] = snapshot.values;
        let lists =
            Self { hub: List::read(HUB_ROUTES, hub)?, leaf: List::read(LEAF_ROUTES, leaf)? };
        Ok((lists, snapshot.revision))
    }

    /// Reads both lists, lets `edit` change them, and writes what changed: again from the start
    /// when someone else wrote meanwhile, so `edit` may run more than once.
    pub async fn change<T>(
        host: &impl Capabilities,
        edit: impl Fn(&mut Self) -> T,
    ) -> Result<T, Error> {
        let start = Duration::from_nanos(host.monotonic());
        for _ in 0..ATTEMPTS {
            let began = Duration::from_nanos(host.monotonic());
            if began.saturating_sub(start) > PATIENCE {
                break;
            }
            let (mut lists, revision) = Self::read_with_revision(host).await?;
            let result = edit(&mut lists);
            let changed = [lists.hub, lists.leaf].into_iter().filter(|list| list.is_changed);
            let changes: Vec<_> = changed.map(List::into_change).collect();
            // Without a change also: what was read may be what another writer is about to lose.
            match host.set(&revision, &changes).await {
                Ok(()) => return Ok(result),
                Err(ConfigError::Conflict) => pause(host, began).await,
                Err(ConfigError::Failed(message)) => return Err(Error::Failed(message)),
            }
        }
        Err(Error::Conflict(CONFLICT.into()))
    }

    /// The keys of all routes in both lists.
    pub fn keys(&self) -> HashSet<Key> {
        self.hub.keys().chain(self.leaf.keys()).collect()
    }

    /// Adds routes at the end of one list.
    pub fn append(&mut self, server: Server, routes: &[Route]) {
        let list = match server {
            Server::Hub => &mut self.hub,
            Server::Leaf => &mut self.leaf,
        };
        list.items.extend(routes.iter().map(|route| json!(route)));
        list.is_changed |= !routes.is_empty();
    }

    /// Removes from both lists every route whose key is in `keys`.
    pub fn remove(&mut self, keys: &HashSet<Key>) {
        for list in [&mut self.hub, &mut self.leaf] {
            let before = list.items.len();
            list.items.retain(|item| !key_in_file(item).is_some_and(|key| keys.contains(&key)));
            list.is_changed |= list.items.len() != before;
        }
    }

    /// The hub's list for a caller.
    pub fn hub_shown(self, log: &impl Log) -> Value {
        self.hub.shown(log)
    }

    /// Both lists for a caller: `{"hub": […], "leaf": […]}`.
    pub fn shown(self, log: &impl Log) -> Value {
        // `json!` would copy both.
        let lists = [("hub", self.hub.shown(log)), ("leaf", self.leaf.shown(log))];
        lists.into_iter().map(|(server, list)| (server.to_owned(), list)).collect()
    }
}

const CONFLICT: &str = "The configuration file is being changed by others all the while; nothing was changed, try again";

/// Waits for a time that differs between callers, in proportion to what an attempt takes: writers
/// at a small file are soon back, and those at a large one spend most of their time waiting and
/// not their budget of processor time on attempts.
async fn pause(clock: &impl Clock, attempt_began: Duration) {
    let now = clock.monotonic();
    let took = Duration::from_nanos(now).saturating_sub(attempt_began);
    let longest = (took * 4).clamp(Duration::from_millis(2), LONGEST_PAUSE);
    // The last digits of the time are all the chance there is here; they are spread over all bits.
    let chance = now.wrapping_mul(0x9E37_79B9_7F4A_7C15) as f64 / u64::MAX as f64;
    clock.sleep(longest.mul_f64(chance)).await;
}

/// The JSON schema of `routes` in a request, where they mean this.
pub fn routes_schema(description: &str) -> Value {
    json!({
        "type": "array",
        "description": description,
        "items": {
            "type": "object",
            "required": ["host", "port"],
            "properties": {
                "host": {
                    "type": "string",
                    "description": "The remote instance: a host name, an IPv4 or an IPv6 address",
                },
                "port": {
                    "description": "Its clustering port, mostly that of \
                                    clustering.hubServer.cluster.network.port there",
                    "anyOf": [
                        { "type": "integer", "minimum": 1, "maximum": 65535 },
                        { "type": "string", "pattern": "^[0-9]+$" },
                    ],
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn hosts() {
        let long_label = "a".repeat(63);
        let good = [
            "3.22.181.22",
            "::1",
            "2001:DB8::1",
            "::ffff:1.2.3.4",
            "localhost",
            "Node-1.example.org",
            "node.example.org.",
            "my_service",
            "xn--bcher-kva.example",
            "1node",
            "3com.com",
            "a",
            &long_label,
        ];
        let bad = [
            "",
            ".",
            "a..b",
            ".a",
            "-a",
            "a-",
            "a b",
            " a",
            "a\n",
            "user@host",
            "host:1",
            "host/path",
            "[::1]",
            "fe80::1%eth0",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "0x7f.0x1",
            "010.0.0.1",
            "1",
            "bücher.example",
            "a?b",
            "a#b",
            "a\\b",
            "%61",
            "$PASS",
            "a,b",
            "a\0b",
            "12345:",
            "nats://host",
        ];
        for host in good {
            assert!(is_host(host), "{host:?} is a host");
        }
        for host in bad {
            assert!(!is_host(host), "{host:?} is no host");
        }
        assert!(!is_host(&"a".repeat(64)));
        assert!(!is_host(&["abcdefg"; 40].join(".")));
    }

    #[test]
    fn routes_are_compared_by_what_they_reach() {
        for (one, other) in [
            ("Example.ORG", "example.org."),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("::FFFF:1.2.3.4", "::ffff:102:304"),
        ] {
            assert_eq!(canonical_host(one), canonical_host(other));
        }
        assert_ne!(canonical_host("::ffff:1.2.3.4"), canonical_host("1.2.3.4"));
    }

    #[test]
    fn ports() {
        let port = |value: Value| number(&value).map(as_port);
        for good in [json!(9932), json!("9932"), json!(9932.0), json!("09932")] {
            assert_eq!(port(good), Some(Some(9932)));
        }
        for outside in [
            json!(0),
            json!(65536),
            json!(-1),
            json!(1.5),
            json!("0"),
            json!("99999999999999999999"),
        ] {
            assert_eq!(port(outside), Some(None));
        }
        for no_number in [
            json!(null),
            json!(true),
            json!(""),
            json!(" 1"),
            json!("1e3"),
            json!("-1"),
            json!([1]),
        ] {
            assert_eq!(port(no_number), None);
        }
    }

    // covers: routes.conflict-409
    #[test]
    fn a_change_is_tried_again_and_given_up_in_the_end() {
        let request = json!({
            "operation": "cluster_set_routes",
            "server": "hub",
            "routes": [{ "host": "10.0.0.1", "port": 9932 }],
        });
        let host = Fake::default();
        host.conflicts.set(20);
        let reply = host.send(request.clone()).unwrap();
        assert_eq!((&reply["set"], host.writes.get()), (&request["routes"], 1));
        assert!(host.slept.get() > Duration::ZERO, "it pauses between attempts");

        // What stands there already may be what another writer is about to lose.
        host.conflicts.set(3);
        host.slept.set(Duration::ZERO);
        let reply = host.send(request.clone()).unwrap();
        assert_eq!((&reply["skipped"], host.writes.get()), (&request["routes"], 1));
        assert!(host.slept.get() > Duration::ZERO, "it has read again");

        host.config.borrow_mut().clear();
        host.conflicts.set(u32::MAX);
        assert!(matches!(host.send(request), Err(Error::Conflict(_))));
        assert_eq!(host.writes.get(), 1);
    }
}
