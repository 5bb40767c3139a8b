//! As whom an operation is called on another node.

use anyhow::Result;
use zeroize::Zeroizing;

use super::arguments::Arguments;
use super::call::Options;
use super::target::{Url, variable};
use super::{Usage, output, prompt};

/// Pairs of variables, the first ones first: Harper's own for this, and those of a first start.
const VARIABLES: [(&str, &str); 2] =
    [("CLI_TARGET_USERNAME", "CLI_TARGET_PASSWORD"), ("HDB_ADMIN_USERNAME", "HDB_ADMIN_PASSWORD")];

/// A user's name and password.
pub(super) struct Login {
    pub username: String,
    pub password: Zeroizing<String>,
}

impl Login {
    /// From the command line, the environment or the terminal, in this order. A password of the
    /// environment is only for the user that it belongs to.
    pub(super) fn find(arguments: &mut Arguments, options: &Options, url: &Url) -> Result<Self> {
        let pairs =
            || VARIABLES.iter().map(|(name, password)| (variable(name), variable(password)));
        let named_here = arguments.username.is_some();
        let username = arguments.username.take().or_else(|| pairs().find_map(|(name, _)| name));
        let username = match username {
            Some(username) => username,
            None => ask_username(url)?,
        };
        if username.is_empty() || username.contains([':', '\0', '\r', '\n']) {
            return Err(Usage("a user's name is not empty and has no colon".into()).into());
        }
        let password = match arguments.password.take() {
            Some(_) if options.password_stdin => {
                return Err(Usage("the password is given twice".into()).into());
            }
            Some(password) => password,
            None if options.password_stdin => prompt::password_from_stdin()?,
            None => {
                // The first pair's may stand alone, for a name that the command line gives.
                let mut known = pairs().enumerate().filter(|(n, (name, _))| match name {
                    Some(name) => *name == username,
                    None => *n == 0 && named_here,
                });
                match known.find_map(|(_, (_, password))| password) {
                    Some(password) => Zeroizing::new(password),
                    None => ask_password(&username, url)?,
                }
            }
        };
        Ok(Self { username, password })
    }
}

impl Login {
    /// The one that the command line or the environment has whole.
    pub(super) fn without_asking(arguments: &Arguments) -> Option<Self> {
        let mut pairs =
            VARIABLES.iter().map(|(name, password)| (variable(name), variable(password)));
        match (&arguments.username, &arguments.password) {
            (Some(username), Some(password)) => {
                Some(Self { username: username.clone(), password: password.clone() })
            }
            (named, None) => pairs.find_map(|(name, password)| {
                let username = name.filter(|name| named.as_ref().is_none_or(|one| one == name))?;
                Some(Self { username, password: Zeroizing::new(password?) })
            }),
            (None, Some(_)) => None,
        }
    }
}

fn ask_username(url: &Url) -> Result<String> {
    if !prompt::can_ask() {
        return Err(nobody(url));
    }
    prompt::ask(&format!("User at {url}: "))
}

fn ask_password(username: &str, url: &Url) -> Result<Zeroizing<String>> {
    if !prompt::can_ask() {
        return Err(nobody(url));
    }
    prompt::ask_password(&format!("Password of {} at {url}: ", output::printable(username)))
}

fn nobody(url: &Url) -> anyhow::Error {
    Usage(format!(
        "{url} asks for a login: set CLI_TARGET_USERNAME and CLI_TARGET_PASSWORD, or give \
         username= and --password-stdin, or call it on a terminal to be asked"
    ))
    .into()
}
