//! The cluster's password: the operator's word at each start, else the one that was made at first.
//!
//! nats-server needs it in the clear after every restart, so it is kept, for the node's user alone,
//! and apart from the users of the API.

use std::{fmt, path::PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};
use zeroize::Zeroizing;

use super::{
    Error,
    folder::{Locked, PASSWORD},
};
use crate::pem;

const VARIABLE: &str = "CLUSTERING_PASSWORD";
const FILE_VARIABLE: &str = "CLUSTERING_PASSWORD_FILE";
/// Nobody types it, and it goes into URLs.
const LONGEST: usize = 512;
/// 256 bits.
const RANDOM_BYTES: usize = 32;

/// The cluster's password as the operator gives it, for this start alone: it is not kept.
#[derive(Clone, Default)]
pub enum GivenPassword {
    /// Not at all: the one below `keys/` counts.
    #[default]
    Nothing,
    /// In `CLUSTERING_PASSWORD`.
    Text(Zeroizing<String>),
    /// In this file, which `CLUSTERING_PASSWORD_FILE` names. A line end after it does not count.
    File(PathBuf),
}

/// Without the password.
impl fmt::Debug for GivenPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Text(_) => f.write_str("Text(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl GivenPassword {
    /// What `CLUSTERING_PASSWORD` and `CLUSTERING_PASSWORD_FILE` say. An empty variable is none.
    ///
    /// # Errors
    /// Both are set, or the first is no text.
    pub fn from_environment() -> Result<Self, Error> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        match (variable(VARIABLE), variable(FILE_VARIABLE)) {
            (Some(_), Some(_)) => Err(Error::PasswordTwice),
            (None, None) => Ok(Self::Nothing),
            (None, Some(path)) => Ok(Self::File(path.into())),
            (Some(text), None) => match text.into_string() {
                Ok(text) => Ok(Self::Text(Zeroizing::new(text))),
                Err(_) => Err(Error::Password { what: VARIABLE, reason: "is not UTF-8" }),
            },
        }
    }

    /// The password; none when none is given.
    pub(super) fn read(&self) -> Result<Option<Zeroizing<String>>, Error> {
        match self {
            Self::Nothing => Ok(None),
            Self::Text(text) => check(VARIABLE, text.clone()).map(Some),
            Self::File(path) => {
                let what = FILE_VARIABLE;
                let bytes = pem::read(path).map_err(|source| Error::PasswordFile {
                    what,
                    path: path.clone(),
                    source,
                })?;
                parse(what, &bytes).map(Some)
            }
        }
    }
}

/// The one that is kept; none when there is none.
pub(super) fn kept(folder: &Locked) -> Result<Option<Zeroizing<String>>, Error> {
    let bytes = folder.read(PASSWORD)?;
    bytes.map(|bytes| parse("keys/cluster-password", &bytes)).transpose()
}

/// Makes one, and keeps it.
pub(super) fn make(folder: &Locked) -> Result<Zeroizing<String>, Error> {
    let mut random = Zeroizing::new([0; RANDOM_BYTES]);
    getrandom::fill(&mut *random).map_err(|error| Error::Make(error.to_string()))?;
    let password = Zeroizing::new(Base64UrlUnpadded::encode_string(&*random));
    keep(folder, &password)?;
    Ok(password)
}

pub(super) fn keep(folder: &Locked, password: &str) -> Result<(), Error> {
    let line = Zeroizing::new(format!("{password}\n"));
    folder.write(PASSWORD, line.as_bytes())
}

fn parse(what: &'static str, bytes: &[u8]) -> Result<Zeroizing<String>, Error> {
    let text =
        str::from_utf8(bytes).map_err(|_| Error::Password { what, reason: "is not UTF-8" })?;
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    check(what, Zeroizing::new(text.to_owned()))
}

/// What nats-server would take for another password, or for none, is refused.
pub(super) fn check(
    what: &'static str,
    password: Zeroizing<String>,
) -> Result<Zeroizing<String>, Error> {
    let reason = if password.is_empty() {
        "is empty"
    } else if password.len() > LONGEST {
        "has more than 512 bytes"
    } else if password.chars().any(char::is_control) {
        "has control characters, such as the end of a line"
    } else if password.starts_with("$2") {
        "begins with $2, which nats-server takes for a bcrypt hash"
    } else {
        return Ok(password);
    };
    Err(Error::Password { what, reason })
}
