//! What a certificate says of itself.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use x509_cert::{
    Certificate,
    der::{Decode, Encode},
    ext::pkix::{SubjectAltName, name::GeneralName},
    time::Time,
};

/// What a certificate says of itself, whoever vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Details {
    /// The common name of its subject; empty when it has none.
    pub(crate) common_name: String,
    /// The host names and IP addresses that it is for, in its order.
    pub(crate) names: Vec<String>,
    pub(crate) begins: Timestamp,
    pub(crate) expires: Timestamp,
    /// The public key, as DER: the same in every certificate that was made from one private key.
    pub(crate) public_key: Vec<u8>,
}

impl Details {
    /// None when it is no certificate.
    pub(crate) fn of(der: &[u8]) -> Option<Details> {
        let certificate = Certificate::from_der(der).ok()?;
        let said = certificate.tbs_certificate();
        let common_name = said.subject().common_name().ok().flatten();
        let names = said.get_extension::<SubjectAltName>().ok()?;
        let names = names.map(|(_, names)| names.0).unwrap_or_default();
        Some(Details {
            common_name: common_name.map(String::from).unwrap_or_default(),
            names: names.iter().filter_map(host).collect(),
            begins: timestamp(said.validity().not_before)?,
            expires: timestamp(said.validity().not_after)?,
            public_key: said.subject_public_key_info().to_der().ok()?,
        })
    }
}

fn host(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let v4 = || <[u8; 4]>::try_from(bytes).map(|v4| IpAddr::V4(Ipv4Addr::from(v4)));
            let v6 = || <[u8; 16]>::try_from(bytes).map(|v6| IpAddr::V6(Ipv6Addr::from(v6)));
            v4().or_else(|_| v6()).map(|address| address.to_string()).ok()
        }
        _ => None,
    }
}

fn timestamp(time: Time) -> Option<Timestamp> {
    Timestamp::from_second(time.to_unix_duration().as_secs().try_into().ok()?).ok()
}

/// When a certificate ends; none when that cannot be read.
pub(crate) fn expires(der: &[u8]) -> Option<Timestamp> {
    let certificate = Certificate::from_der(der).ok()?;
    timestamp(certificate.tbs_certificate().validity().not_after)
}

/// The SHA-256, as `openssl x509 -fingerprint` writes it.
pub(crate) fn fingerprint(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(95);
    for byte in Sha256::digest(bytes) {
        let separator = if text.is_empty() { "" } else { ":" };
        let _ = write!(text, "{separator}{byte:02X}");
    }
    text
}
