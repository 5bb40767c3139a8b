//! Loading a certificate and its key, and saying what is wrong with them.

use std::{
    fmt::Write,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::{
    Error, InconsistentKeys,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use x509_cert::der::Decode;
use zeroize::Zeroizing;

use super::{TlsError, provider};

pub(super) const CERTIFICATE: &str = "tls.certificate";
pub(super) const PRIVATE_KEY: &str = "tls.privateKey";
/// Stands in the PEM of each kind of private key that has a passphrase.
const ENCRYPTED: &[u8] = b"ENCRYPTED";
/// A chain of certificates has a few kilobytes.
const MOST_BYTES: u64 = 1 << 20;

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
    let key = provider()
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
        expires: expires(der),
        fingerprint: fingerprint(der),
        key: Arc::new(fitting),
    })
}

/// The private key that a file holds.
pub(super) fn parse_key(
    key: &'static str,
    path: &Path,
    bytes: &[u8],
) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|_| {
        let path = path.to_owned();
        if bytes.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED) {
            return TlsError::Encrypted { key, path };
        }
        TlsError::NotPem { key, path, what: "private key" }
    })
}

/// A file's bytes, which may be a secret.
pub(super) fn read(key: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let read = || {
        // A pipe would be waited for.
        if !path.metadata()?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(16 << 10));
        File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(io::Error::other(format!("it has more than {MOST_BYTES} bytes")));
        }
        Ok(bytes)
    };
    read().map_err(|source| TlsError::Read { key, path: path.to_owned(), source })
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(CERTIFICATE, path)?;
    match CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>() {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => {
            let (key, what) = (CERTIFICATE, "certificate");
            Err(TlsError::NotPem { key, path: path.to_owned(), what })
        }
    }
}

fn expires(der: &[u8]) -> Option<Timestamp> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    let end = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    Timestamp::from_second(end.as_secs().try_into().ok()?).ok()
}

/// The SHA-256, as `openssl x509 -fingerprint` writes it.
pub(super) fn fingerprint(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(95);
    for byte in Sha256::digest(bytes) {
        let separator = if text.is_empty() { "" } else { ":" };
        let _ = write!(text, "{separator}{byte:02X}");
    }
    text
}
