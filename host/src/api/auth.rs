//! The credentials that a request brings: in the Basic header, or else in its body.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use base64ct::{Base64, Encoding};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::connection::{Peer, Remote};
use super::reply::Refusal;
use crate::dispatch::Caller;
use crate::users::Users;

/// A name and a password, not verified.
#[derive(Debug, PartialEq)]
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: Zeroizing<String>,
}

/// The header's credentials, none without a header. Another scheme, two headers, or one that is not
/// well-formed UTF-8 is as good as no login.
pub(super) fn in_header(headers: &HeaderMap) -> Result<Option<Credentials>, Refusal> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(header), None) => {
            let basic = header.to_str().ok().and_then(basic);
            basic.map(Some).ok_or_else(Refusal::must_login)
        }
        (Some(_), Some(_)) => Err(Refusal::must_login()),
    }
}

/// Who has logged in to read what is no operation; none on the socket, where everybody may.
pub(super) async fn reader(
    users: &Users,
    peer: &Peer,
    headers: &HeaderMap,
) -> Result<Option<Caller>, Refusal> {
    let Remote::Address(address) = peer.remote else { return Ok(None) };
    let given = in_header(headers)?.ok_or_else(Refusal::must_login)?;
    Ok(Some(users.verify(&given.username, &given.password, address).await?))
}

fn basic(header: &str) -> Option<Credentials> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(Base64::decode_vec(encoded.trim_matches(' ')).ok()?);
    let (username, password) = str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(Credentials { username: username.to_owned(), password: password.to_owned().into() })
}

/// The credentials in a body from someone unknown: the rest is skipped, so that no stranger makes
/// us build what it describes.
pub(super) fn in_body(body: &[u8]) -> Option<Credentials> {
    #[derive(Deserialize)]
    struct Login {
        username: String,
        password: String,
    }
    let login: Login = serde_json::from_slice(body).ok()?;
    Some(Credentials { username: login.username, password: login.password.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(value: &[u8]) -> Result<Option<Credentials>, Refusal> {
        let value = axum::http::HeaderValue::from_bytes(value).unwrap();
        in_header(&HeaderMap::from_iter([(AUTHORIZATION, value)]))
    }

    fn encoded(credentials: &[u8]) -> String {
        Base64::encode_string(credentials)
    }

    #[test]
    fn well_formed_headers() {
        for (sent, username, password) in
            [("bob:x", "bob", "x"), ("bob:a:b:", "bob", "a:b:"), (":", "", ""), ("é:ü", "é", "ü")]
        {
            for scheme in ["Basic ", "bAsIc ", "Basic   "] {
                let value = format!("{scheme}{}", encoded(sent.as_bytes()));
                let credentials = header(value.as_bytes()).unwrap().unwrap();
                assert_eq!((&*credentials.username, &**credentials.password), (username, password));
            }
        }
        assert!(in_header(&HeaderMap::new()).unwrap().is_none());
    }

    #[test]
    fn what_is_not_well_formed_is_no_login() {
        let bob = encoded(b"bob:x");
        for value in [
            "",
            "Basic",
            "Basic ",
            "Basic !",
            &bob,
            "Basic Ym9iOng",
            &format!("Basic{bob}"),
            &format!("Bearer {bob}"),
            &format!("Basic {bob} {bob}"),
            &format!("Basic\t{bob}"),
            &format!("Basic {}", encoded(b"bob")),
            &format!("Basic {}", encoded(b"bob:\xff")),
            &format!("Basic {bob}\u{e9}"),
        ] {
            assert!(header(value.as_bytes()).is_err(), "{value}");
        }
        let mut two = HeaderMap::new();
        for _ in 0..2 {
            two.append(AUTHORIZATION, format!("Basic {bob}").parse().unwrap());
        }
        assert!(in_header(&two).is_err());
    }

    #[test]
    fn bodies() {
        let bob = in_body(br#"{"operation":{"a":[1]},"password":"x","username":"bob"}"#).unwrap();
        assert_eq!((&*bob.username, &**bob.password), ("bob", "x"));
        for body in [
            "",
            "{",
            "[]",
            "null",
            r#"{"username":"bob"}"#,
            r#"{"password":"x"}"#,
            r#"{"username":"bob","password":1}"#,
            r#"{"username":"bob","password":"x"} x"#,
            r#"{"username":"bob","username":"eve","password":"x"}"#,
            r#"{"username":"bob","password":"x""#,
        ] {
            assert!(in_body(body.as_bytes()).is_none(), "{body}");
        }
        let deep = format!(r#"{{"username":"b","password":"x","a":{}"#, "[".repeat(1 << 20));
        assert!(in_body(deep.as_bytes()).is_none());
    }
}
