//! Loading a certificate and its key, and saying what is wrong with them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use tokio_rustls::rustls::{
    Error, InconsistentKeys,
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::CertifiedKey,
};
use zeroize::Zeroizing;

use super::TlsError;
use crate::pem::{self, NotAKey};

pub(super) const CERTIFICATE: &str = "tls.certificate";
pub(super) const PRIVATE_KEY: &str = "tls.privateKey";

/// A certificate that is ready to be shown.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) key: Arc<CertifiedKey>,
    /// Where the certificate came from.
    pub(super) file: PathBuf,
    /// When it ends; none when that cannot be read.
    pub(super) expires: Option<Timestamp>,
    /// That of the certificate.
    pub(super) fingerprint: String,
}

/// Loads the operator's files.
pub(super) fn load(certificate: &Path, private_key: &Path) -> Result<Loaded, TlsError> {
    let chain = chain(certificate)?;
    let key = parse_key(PRIVATE_KEY, private_key, &read(PRIVATE_KEY, private_key)?)?;
    let key = pem::provider()
        .key_provider
        .load_private_key(key)
        .map_err(|_| TlsError::PrivateKey { key: PRIVATE_KEY, path: private_key.to_owned() })?;
    let fitting = CertifiedKey::new(chain, key);
    match fitting.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => {
            let (private_key, certificate) = (private_key.to_owned(), certificate.to_owned());
            return Err(TlsError::Mismatch { private_key, certificate });
        }
        Err(source) => return Err(TlsError::Certificate { path: certificate.into(), source }),
    }
    let der = fitting.cert.first().map_or(&[][..], |first| first.as_ref());
    Ok(Loaded {
        file: certificate.to_owned(),
        expires: pem::expires(der),
        fingerprint: pem::fingerprint(der),
        key: Arc::new(fitting),
    })
}

/// The private key that a file holds.
pub(super) fn parse_key(
    key: &'static str,
    path: &Path,
    bytes: &[u8],
) -> Result<PrivateKeyDer<'static>, TlsError> {
    pem::private_key(bytes).map_err(|fault| {
        let path = path.to_owned();
        match fault {
            NotAKey::Encrypted => TlsError::Encrypted { key, path },
            NotAKey::NotPem => TlsError::NotPem { key, path, what: "private key" },
        }
    })
}

/// A file's bytes, which may be a secret.
pub(super) fn read(key: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    pem::read(path).map_err(|source| TlsError::Read { key, path: path.to_owned(), source })
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let (key, what) = (CERTIFICATE, "certificate");
    pem::certificates(&read(key, path)?).ok_or_else(|| TlsError::NotPem {
        key,
        path: path.to_owned(),
        what,
    })
}
