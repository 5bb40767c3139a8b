//! The node's own files: an authority, and a certificate that it signed.
//!
//! Private keys are made once, and certificates from them, each file whole and in this order:
//! password, authority's key, authority, node's key, node's certificate. Whatever a start that was
//! killed has left, the next one goes on from there, and nothing that others rely upon is made
//! twice.

use std::{collections::BTreeSet, net::IpAddr};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use super::{
    Error, SOON, Wanted,
    check::{self, Checked, Contents, OWN, Paths},
    folder::{AUTHORITY, AUTHORITY_KEY, CERTIFICATE, KEY, Locked},
};
use crate::pem::{self, Details, NotAKey};

/// Who joins later trusts the authority too, and nobody can replace it everywhere at once.
const AUTHORITY_LASTS: SignedDuration = SignedDuration::from_hours(20 * 365 * 24);
/// As long as that of HTTPS.
pub(super) const LASTS: SignedDuration = SignedDuration::from_hours(800 * 24);

/// The authority, and its private key where it is here.
pub(super) struct Authority {
    pub(super) pem: Zeroizing<Vec<u8>>,
    pub(super) details: Details,
    pub(super) key: Option<KeyPair>,
}

pub(super) fn paths(folder: &Locked) -> Paths {
    Paths {
        certificate: folder.file(CERTIFICATE),
        private_key: folder.file(KEY),
        authority: folder.file(AUTHORITY),
    }
}

/// The node's files, after whatever is missing, ends soon, or lacks a name has been made, if that
/// can be done here.
pub(super) fn load_or_make(folder: &Locked, wanted: &Wanted) -> Result<Checked, Error> {
    let authority = Authority::load_or_make(folder)?;
    let there = load(folder);
    let key = match (&authority.key, there) {
        (Some(_), Ok(checked)) if is_good(&checked, wanted) => return Ok(checked),
        (None, Ok(checked)) => {
            warn_of_names(&checked, wanted);
            return Ok(checked);
        }
        (None, Err(error)) => return Err(error),
        (Some(key), _) => key,
    };
    let node_key = match read_key(folder, KEY, OWN.private_key)? {
        Some(node_key) => node_key,
        None => make_key(folder, KEY)?,
    };
    // The names that it was once issued with are the operator's wish too.
    let mut names = names_of_this_node(wanted);
    names.extend(names_so_far(folder, &node_key));
    let lasts = LASTS;
    let made = issue(&authority, key, &node_key, &wanted.node_name, names, lasts)?;
    folder.write(CERTIFICATE, made.as_bytes())?;
    load(folder)
}

/// Reads and checks the files that are there.
pub(super) fn load(folder: &Locked) -> Result<Checked, Error> {
    let missing = |name: &str| Error::Missing {
        missing: folder.file(name),
        there: "another of the node's cluster files is there",
        advice: OWN.advice,
    };
    let read = |name: &str| folder.read(name)?.ok_or_else(|| missing(name));
    let (certificate, private_key) = (read(CERTIFICATE)?, read(KEY)?);
    let authority = read(AUTHORITY)?;
    let contents =
        Contents { certificate: &certificate, private_key: &private_key, authority: &authority };
    check::check(&OWN, &paths(folder), contents)
}

impl Authority {
    /// The one in the folder; a new one when there is nothing at all.
    pub(super) fn load_or_make(folder: &Locked) -> Result<Authority, Error> {
        let key =
            read_key(folder, AUTHORITY_KEY, "the private key of the cluster's own authority")?;
        let authority = folder.read(AUTHORITY)?;
        match (key, authority) {
            (None, None) if folder.read(CERTIFICATE)?.is_some() => Err(Error::Missing {
                missing: folder.file(AUTHORITY),
                there: "a certificate that it signed is there",
                advice: "put it back, or import a bundle of 'cert issue'",
            }),
            (None, None) => {
                let key = make_key(folder, AUTHORITY_KEY)?;
                Self::make(folder, key)
            }
            (Some(key), None) => Self::make(folder, key),
            (key, Some(pem)) => Self::read(folder, key, pem),
        }
    }

    fn make(folder: &Locked, key: KeyPair) -> Result<Authority, Error> {
        let mut certificate = authority_params(&key)?;
        certificate.serial_number = Some(pem::fresh_serial().map_err(make_failed)?);
        pem::set_validity(&mut certificate, Timestamp::now() + AUTHORITY_LASTS);
        let made = certificate.self_signed(&key).map_err(make_failed)?.pem();
        folder.write(AUTHORITY, made.as_bytes())?;
        // A node that should have taken a bundle first would join nobody, and nothing fails.
        tracing::info!(
            "this node has begun a cluster of its own, whose authority it is: others join it with \
             what 'harper-host cert issue' makes here. To join the cluster of another node \
             instead, stop this one, take a bundle of that one with 'harper-host cert import \
             --force', and start it again"
        );
        Self::read(folder, Some(key), Zeroizing::new(made.into_bytes()))
    }

    fn read(
        folder: &Locked,
        key: Option<KeyPair>,
        pem: Zeroizing<Vec<u8>>,
    ) -> Result<Authority, Error> {
        let path = folder.file(AUTHORITY);
        let details = pem::certificates(&pem).and_then(|all| Details::of(all.first()?));
        let Some(details) = details else {
            return Err(Error::NotPem { key: OWN.authority, path, what: "certificate" });
        };
        if key.as_ref().is_some_and(|key| !has_key(&details, key)) {
            let authority = path;
            return Err(Error::ForeignKey { path: folder.file(AUTHORITY_KEY), authority });
        }
        Ok(Authority { pem, details, key })
    }
}

/// Whether the certificate is for this key.
pub(super) fn has_key(certificate: &Details, key: &KeyPair) -> bool {
    key.subject_public_key_info() == certificate.public_key
}

/// All of it follows from the key: what signs needs no more than that.
fn authority_params(key: &KeyPair) -> Result<CertificateParams, Error> {
    let mut certificate = CertificateParams::new(Vec::new()).map_err(make_failed)?;
    certificate.distinguished_name = DistinguishedName::new();
    certificate.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    certificate.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Whoever has the certificates of two clusters tells them apart by it.
    let id = pem::fingerprint(key.public_key_raw()).replace(':', "");
    let name = format!("harper-host cluster {}", &id[..16]);
    certificate.distinguished_name.push(DnType::CommonName, name);
    Ok(certificate)
}

/// A certificate for a node, as PEM, which does not outlast the authority.
pub(super) fn issue(
    authority: &Authority,
    authority_key: &KeyPair,
    node_key: &KeyPair,
    node_name: &str,
    names: BTreeSet<String>,
    lasts: SignedDuration,
) -> Result<String, Error> {
    let mut certificate = CertificateParams::new(Vec::from_iter(names)).map_err(make_failed)?;
    certificate.distinguished_name = DistinguishedName::new();
    certificate.distinguished_name.push(DnType::CommonName, node_name);
    certificate.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Each server of the cluster also calls others.
    certificate.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    certificate.use_authority_key_identifier_extension = true;
    certificate.serial_number = Some(pem::fresh_serial().map_err(make_failed)?);
    let ends = (Timestamp::now() + lasts).min(authority.details.expires);
    pem::set_validity(&mut certificate, ends);
    let issuer = Issuer::new(authority_params(authority_key)?, authority_key);
    let made = certificate.signed_by(node_key, &issuer).map_err(make_failed)?;
    Ok(made.pem())
}

pub(super) fn make_failed(error: rcgen::Error) -> Error {
    Error::Make(error.to_string())
}

/// The private key in a file; none when there is none. One that is broken is not replaced: it may
/// be a slip of a hand, and the right one be elsewhere.
pub(super) fn read_key(
    folder: &Locked,
    name: &str,
    key: &'static str,
) -> Result<Option<KeyPair>, Error> {
    let Some(bytes) = folder.read(name)? else { return Ok(None) };
    let path = folder.file(name);
    let der: PrivateKeyDer<'_> = match pem::private_key(&bytes) {
        Ok(der) => der,
        Err(NotAKey::Encrypted) => return Err(Error::Encrypted { key, path }),
        Err(NotAKey::NotPem) => return Err(Error::NotPem { key, path, what: "private key" }),
    };
    KeyPair::try_from(&der).map(Some).map_err(|_| Error::PrivateKey { key, path })
}

fn make_key(folder: &Locked, name: &str) -> Result<KeyPair, Error> {
    let key = KeyPair::generate().map_err(make_failed)?;
    folder.write(name, Zeroizing::new(key.serialize_pem()).as_bytes())?;
    Ok(key)
}

/// Whether the certificate will do for longer, for this node and all its names.
fn is_good(checked: &Checked, wanted: &Wanted) -> bool {
    let certificate = &checked.certificate;
    // No later end can be had of an authority that ends soon.
    let ends_late = certificate.expires.duration_since(Timestamp::now()) >= SOON
        || checked.authority.expires.duration_since(Timestamp::now()) < SOON;
    ends_late
        && certificate.common_name == wanted.node_name
        && missing_names(checked, wanted).is_empty()
}

/// The names that the certificate lacks. What this machine is called is no reason to renew it.
fn missing_names(checked: &Checked, wanted: &Wanted) -> Vec<String> {
    let mut names = names(&wanted.node_name, &wanted.hosts);
    names.retain(|name| !checked.certificate.names.contains(name));
    names.into_iter().collect()
}

fn warn_of_names(checked: &Checked, wanted: &Wanted) {
    let missing = missing_names(checked, wanted);
    let common_name = &checked.certificate.common_name;
    if *common_name != wanted.node_name {
        tracing::warn!(
            node = wanted.node_name,
            certificate = common_name,
            "the cluster certificate was issued for a node with another name"
        );
    } else if !missing.is_empty() {
        let missing = missing.join(", ");
        tracing::warn!(missing, "the cluster certificate lacks names of this node");
    }
}

/// The names in a certificate for a node, in their canonical form, in which they are compared.
pub(super) fn names(node_name: &str, hosts: &[String]) -> BTreeSet<String> {
    // Its own servers and its own client meet on loopback.
    let mut names: BTreeSet<_> = ["localhost", "127.0.0.1", "::1"].map(String::from).into();
    names.extend(Some(node_name.to_lowercase()).filter(|name| pem::is_dns_name(name)));
    for host in hosts {
        names.insert(match host.parse::<IpAddr>() {
            // All addresses are none in particular.
            Ok(address) if address.is_unspecified() => continue,
            Ok(address) => address.to_canonical().to_string(),
            Err(_) => host.trim_end_matches('.').to_lowercase(),
        });
    }
    names
}

fn names_of_this_node(wanted: &Wanted) -> BTreeSet<String> {
    let mut names = names(&wanted.node_name, &wanted.hosts);
    names.extend(pem::machine_name().map(|name| name.to_lowercase()));
    names.extend(machine_addresses());
    names
}

/// By which other machines may reach this one.
fn machine_addresses() -> impl Iterator<Item = String> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let reachable = interfaces.into_iter().filter(|one| !one.is_loopback() && !one.is_link_local());
    reachable.map(|one| one.ip().to_canonical().to_string())
}

/// Those of the certificate that is there for this key.
fn names_so_far(folder: &Locked, key: &KeyPair) -> Vec<String> {
    let certificate = || Details::of(pem::certificates(&folder.read(CERTIFICATE).ok()??)?.first()?);
    certificate().filter(|there| has_key(there, key)).map(|there| there.names).unwrap_or_default()
}
