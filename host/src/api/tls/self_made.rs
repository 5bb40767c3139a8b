//! A certificate of the node's own, for when the operator gives none: nobody vouches for it, so a
//! client has to be given a copy of it, or its fingerprint.
//!
//! The key is made once, and each certificate from it: a client that knows the key by itself need
//! not be told of a new certificate, and no crash leaves a certificate and a key that do not fit.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};
use tokio_rustls::rustls::{
    client::verify_server_name, pki_types::ServerName, server::ParsedCertificate,
};
use zeroize::Zeroizing;

use super::{
    SOON, TlsError,
    files::{self, Loaded},
};
use crate::config::remove_left_overs;
use crate::pem;

pub(super) const KEY: &str = "self-signed-key.pem";
pub(super) const CERTIFICATE: &str = "self-signed-certificate.pem";
/// How a file's name begins until it is whole.
const NEW: &str = ".self-signed.new-";
/// What an error calls the key's file.
const OWN_KEY: &str = "the node's own TLS key";
/// Some clients take no certificate that lasts for longer than 825 days.
pub(super) const LASTS: SignedDuration = SignedDuration::from_hours(800 * 24);

/// The certificate in `folder`; a new one when there is none, when it ends soon, or when it is not
/// one for `host`.
pub(super) fn load_or_make(folder: &Path, host: IpAddr) -> Result<Loaded, TlsError> {
    let failed = |source| TlsError::Make { folder: folder.to_owned(), source };
    let (key_file, file) = (folder.join(KEY), folder.join(CERTIFICATE));
    pem::make_private(folder).map_err(failed)?;
    let key = match key_file.try_exists() {
        Ok(true) => {
            pem::keep_private(&key_file, 0o600).map_err(failed)?;
            read_key(&key_file)?
        }
        Ok(false) => make_key(folder, &key_file).map_err(failed)?,
        Err(error) => return Err(failed(error)),
    };
    if let Ok(loaded) = files::load(&file, &key_file)
        && still_good(&loaded, host)
    {
        // Nobody else needs one now.
        remove_left_overs(folder, NEW);
        return Ok(loaded);
    }
    let certificate = make(&key, host).map_err(|error| failed(io::Error::other(error)))?;
    write(folder, &file, certificate.as_bytes()).map_err(failed)?;
    files::load(&file, &key_file)
}

fn read_key(path: &Path) -> Result<KeyPair, TlsError> {
    let pem = files::read(OWN_KEY, path)?;
    let key = files::parse_key(OWN_KEY, path, &pem)?;
    KeyPair::try_from(&key)
        .map_err(|_| TlsError::PrivateKey { key: OWN_KEY, path: path.to_owned() })
}

fn make_key(folder: &Path, path: &Path) -> io::Result<KeyPair> {
    let key = KeyPair::generate().map_err(io::Error::other)?;
    write(folder, path, Zeroizing::new(key.serialize_pem()).as_bytes())?;
    Ok(key)
}

fn write(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    pem::write_whole(folder, NEW, path, bytes)
}

fn still_good(loaded: &Loaded, host: IpAddr) -> bool {
    let lasts = loaded.expires.is_some_and(|end| end.duration_since(Timestamp::now()) >= SOON);
    let Some(certificate) = loaded.key.cert.first() else { return false };
    let names_host = ParsedCertificate::try_from(certificate).is_ok_and(|certificate| {
        let name = ServerName::IpAddress(host.to_canonical().into());
        host.is_unspecified() || verify_server_name(&certificate, &name).is_ok()
    });
    lasts && names_host
}

fn make(key: &KeyPair, host: IpAddr) -> Result<String, rcgen::Error> {
    let mut certificate = CertificateParams::new(Vec::from_iter(names(host)))?;
    certificate.distinguished_name = DistinguishedName::new();
    // A client that knows several nodes tells them apart by it.
    let id = pem::fingerprint(key.public_key_raw()).replace(':', "");
    let name = format!("harper-host {}", &id[..16]);
    certificate.distinguished_name.push(DnType::CommonName, name);
    certificate.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    certificate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    certificate.serial_number = Some(pem::fresh_serial()?);
    pem::set_validity(&mut certificate, Timestamp::now() + LASTS);
    Ok(certificate.self_signed(key)?.pem())
}

/// What the node may be called by its clients.
fn names(host: IpAddr) -> BTreeSet<String> {
    let mut names = BTreeSet::from([
        "localhost".to_owned(),
        Ipv4Addr::LOCALHOST.to_string(),
        Ipv6Addr::LOCALHOST.to_string(),
    ]);
    if !host.is_unspecified() {
        names.insert(host.to_canonical().to_string());
    }
    names.extend(pem::machine_name());
    names
}
