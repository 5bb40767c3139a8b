//! Why there is no TLS, as the operator reads it.

use std::{io, path::PathBuf};

use tokio_rustls::rustls;

/// Why the API cannot serve TLS. Each text names the key of the configuration, or the file, that
/// is to be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// There is a certificate without a key, or a key without a certificate.
    #[error("tls.certificate and tls.privateKey belong together, and {null} is null")]
    Half {
        /// The one that is missing.
        null: &'static str,
    },
    /// There is no certificate, and no folder to keep a self-made one in.
    #[error("operationsApi.network.securePort needs tls.certificate and tls.privateKey")]
    None,
    /// A file cannot be read.
    #[error("{key}: {} cannot be read: {source}", path.display())]
    Read {
        /// The key, or what the file is.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not have what it should.
    #[error("{key}: {} holds no {what} in PEM (\"-----BEGIN …\")", path.display())]
    NotPem {
        /// The key, or what the file is.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should have.
        what: &'static str,
    },
    /// The key cannot be used without a passphrase, which nobody could give here.
    #[error("{key}: {} is encrypted: take the passphrase off", path.display())]
    Encrypted {
        /// The key, or what the file is.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The certificate is not one.
    #[error("tls.certificate: {} is no certificate that can be used: {source}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// The private key is damaged, or of a kind that is not supported.
    #[error(
        "{key}: the private key in {} cannot be used: RSA, ECDSA P-256 or P-384, or Ed25519 can",
        path.display()
    )]
    PrivateKey {
        /// The key, or what the file is.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The private key is that of another certificate.
    #[error(
        "tls.privateKey: {} does not fit the certificate in {} (where there are several, the \
         first)", private_key.display(), certificate.display()
    )]
    Mismatch {
        /// The file of the key.
        private_key: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// The self-made certificate cannot be made.
    #[error("the TLS certificate cannot be made in {}: {source}", folder.display())]
    Make {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
    /// The files could not be looked at.
    #[error("the TLS certificate could not be loaded: {0}")]
    Lost(String),
}
