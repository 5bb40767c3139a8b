//! Reading: bytes of a file, and what they hold.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use zeroize::Zeroizing;

/// Stands in the PEM of each kind of private key that has a passphrase.
const ENCRYPTED: &[u8] = b"ENCRYPTED";
/// A chain of certificates has a few kilobytes.
const MOST_BYTES: u64 = 1 << 20;

/// Why bytes are no private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAKey {
    /// It has a passphrase, which nobody could give here.
    Encrypted,
    /// There is none in PEM.
    NotPem,
}

/// A file's bytes, which may be a secret.
pub(crate) fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
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
}

/// The first private key.
pub(crate) fn private_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, NotAKey> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|_| {
        match bytes.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED) {
            true => NotAKey::Encrypted,
            false => NotAKey::NotPem,
        }
    })
}

/// All certificates; none when there is none, or one that is no PEM.
pub(crate) fn certificates(bytes: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(bytes).collect::<Result<_, _>>().ok()?;
    Some(all).filter(|all| !all.is_empty())
}
