//! Which node: the one in a folder of this machine, or the one at a URL.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use harper_host::api::SOCKET_NAME;
use hyper::Uri;

use super::Usage;
use super::arguments::Arguments;
use super::call::Options;
use super::output::printable;

/// The node's folder.
#[derive(Debug, clap::Args)]
pub(super) struct Root {
    /// The node's folder; without it that in ROOTPATH, or ~/hdb
    #[arg(long, value_name = "DIR")]
    pub rootpath: Option<PathBuf>,
}

impl Root {
    /// The folder that was named, or Harper's default.
    pub(super) fn folder(&self) -> Result<PathBuf> {
        if let Some(folder) = &self.rootpath {
            return Ok(folder.clone());
        }
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        match (variable("ROOTPATH"), variable("HOME")) {
            (Some(folder), _) => Ok(folder.into()),
            (None, Some(home)) => Ok(Path::new(&home).join("hdb")),
            (None, None) => {
                Err(Usage("name the node's folder: --rootpath DIR, or ROOTPATH".into()).into())
            }
        }
    }
}

/// A variable that is set to something.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where an operation is sent.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// The node in this folder, through its socket.
    Folder(PathBuf),
    /// The node at this address.
    Url(Url),
}

impl Target {
    /// The one that the command line names, else the one of the environment.
    pub(super) fn find(arguments: &Arguments, options: &Options) -> Result<Self> {
        let of_environment = || {
            let wanted = options.root.rootpath.is_none();
            variable("CLI_TARGET").filter(|_| wanted)
        };
        let url = match (&arguments.target, &options.root.rootpath) {
            (Some(_), Some(_)) => {
                let text = "--rootpath is a node of this machine and target= another: give one";
                return Err(Usage(text.into()).into());
            }
            (url, _) => url.clone().or_else(of_environment),
        };
        match url {
            Some(url) => {
                let url = Url::read(&url)?;
                if url.in_the_clear_beyond_this_machine() && !options.allow_plaintext {
                    return Err(Usage(format!(
                        "the password would go to {url} in the clear: use https, or \
                         --allow-plaintext if everybody on the way may know it"
                    ))
                    .into());
                }
                if options.cacert.is_some() && !url.tls {
                    return Err(Usage(format!("--cacert is for https, and {url} is not")).into());
                }
                Ok(Self::Url(url))
            }
            None => {
                let needless = [
                    ("username=", arguments.username.is_some()),
                    ("password=", arguments.password.is_some()),
                    ("--password-stdin", options.password_stdin && !arguments.has_password),
                    ("--cacert", options.cacert.is_some()),
                    ("--allow-plaintext", options.allow_plaintext),
                ];
                if let Some((name, _)) = needless.iter().find(|(_, given)| *given) {
                    return Err(Usage(format!(
                        "{name} is for another node: name it with target=URL; a node of this \
                         machine knows you by its folder"
                    ))
                    .into());
                }
                Ok(Self::Folder(options.root.folder()?))
            }
        }
    }

    /// The socket of the node in a folder.
    pub(super) fn socket(folder: &Path) -> PathBuf {
        folder.join(SOCKET_NAME)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => {
                f.write_str(&printable(&Self::socket(folder).to_string_lossy()))
            }
            Self::Url(url) => url.fmt(f),
        }
    }
}

/// The address of a node's operations API.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Url {
    pub tls: bool,
    /// A name or an address, an IPv6 one without brackets.
    pub host: String,
    pub port: u16,
    /// The host as a URL has it, and the port if it was given: what goes into the header `Host`.
    pub authority: String,
    pub path: String,
}

impl Url {
    /// # Errors
    ///
    /// It is no such address. The text does not repeat it when it holds a password.
    fn read(text: &str) -> Result<Self, Usage> {
        let wrong = |reason: &str| {
            let shown = printable(text);
            Err(Usage(format!("target={shown} {reason}, such as target=https://10.0.0.2:9925")))
        };
        if text.contains('@') {
            let text = "credentials in a target can be seen in the list of processes: set \
                        CLI_TARGET_USERNAME and CLI_TARGET_PASSWORD, or give username= and \
                        --password-stdin";
            return Err(Usage(text.into()));
        }
        let Ok(uri) = text.parse::<Uri>() else {
            return wrong("is not a URL");
        };
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return wrong("must begin with https:// or http://"),
        };
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return wrong("has no host");
        }
        let port = match (uri.port_u16(), uri.authority().map(|authority| authority.as_str())) {
            (Some(0), _) => return wrong("has no port that can be called"),
            (Some(port), _) => port,
            // What is no port there is passed over by the parser.
            (None, authority) if authority != uri.host() => return wrong("has no valid port"),
            (None, _) if tls => 443,
            (None, _) => 80,
        };
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let path = uri.path_and_query().map_or_else(|| "/".into(), ToString::to_string);
        Ok(Self { tls, host: host.to_owned(), port, authority, path })
    }

    fn in_the_clear_beyond_this_machine(&self) -> bool {
        let name = self.host.strip_suffix('.').unwrap_or(&self.host);
        let here = match self.host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => name.eq_ignore_ascii_case("localhost"),
        };
        !self.tls && !here
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)?;
        if self.path == "/" { Ok(()) } else { f.write_str(&self.path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, tls, host, port, shown) in [
            ("http://127.0.0.1:9925", false, "127.0.0.1", 9925, "http://127.0.0.1:9925"),
            (
                "https://node.example.org/",
                true,
                "node.example.org",
                443,
                "https://node.example.org",
            ),
            ("HTTP://[::1]:80", false, "::1", 80, "http://[::1]:80"),
            ("http://localhost", false, "localhost", 80, "http://localhost"),
            ("https://a:1/gate?x=1", true, "a", 1, "https://a:1/gate?x=1"),
        ] {
            let url = Url::read(text).unwrap();
            assert_eq!((url.tls, url.host.as_str(), url.port), (tls, host, port), "{text}");
            assert_eq!(url.to_string(), shown);
        }
        for text in [
            "",
            "node",
            "node:9925",
            "10.0.0.2:9925",
            "ftp://node",
            "http://",
            "http:///x",
            "http://node:0",
            "http://node:x",
            "http://node:99999",
            "http://a b",
            "http://[::1",
            "/tmp/socket",
        ] {
            assert!(Url::read(text).is_err(), "{text}");
        }
        let text = Url::read("https://bob:s3cret@node").unwrap_err().0;
        assert!(text.starts_with("credentials in a target") && !text.contains("s3cret"), "{text}");
    }

    // covers: cli.plaintext
    #[test]
    fn in_the_clear_a_password_stays_on_this_machine() {
        let beyond = |text: &str| Url::read(text).unwrap().in_the_clear_beyond_this_machine();
        for here in [
            "http://localhost:1",
            "http://LOCALHOST.",
            "http://127.1.2.3",
            "http://[::1]",
            "http://[::ffff:127.0.0.1]",
            "https://example.org",
        ] {
            assert!(!beyond(here), "{here}");
        }
        for there in [
            "http://example.org",
            "http://10.0.0.2",
            "http://[fe80::1]",
            "http://localhost.example.org",
            "http://0.0.0.0",
            "http://127.0.0.1.example.org",
        ] {
            assert!(beyond(there), "{there}");
        }
    }
}
