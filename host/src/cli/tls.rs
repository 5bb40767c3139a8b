//! TLS towards another node: its certificate must be for the host that was named, and come from
//! an authority that this machine trusts, or from the one that the user names.

use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore};

use super::target::Url;

/// What is needed before anything is sent.
pub(super) fn connector(cacert: Option<&Path>) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    match cacert {
        Some(file) => {
            let shown = file.display();
            let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
                .and_then(Iterator::collect)
                .map_err(|error| anyhow!("{shown} is not read as certificates: {error}"))?;
            if certificates.is_empty() {
                bail!("{shown} holds no certificate in the form PEM");
            }
            for certificate in certificates {
                roots.add(certificate).with_context(|| format!("{shown} cannot be used"))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                bail!("this machine trusts no certificate authority: name one with --cacert FILE");
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Shakes hands with the node at `url`.
pub(super) async fn connect(
    connector: &TlsConnector,
    stream: TcpStream,
    url: &Url,
) -> Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(url.host.clone())
        .map_err(|_| anyhow!("{url} has no name that a certificate could have"))?;
    connector.connect(name, stream).await.map_err(|error| explained(&error, url))
}

fn explained(error: &io::Error, url: &Url) -> anyhow::Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    match cause {
        Some(Error::InvalidCertificate(wrong)) => match wrong {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                anyhow!("the certificate of {url} is not for '{}': {wrong}", url.host)
            }
            // The second is that of an authority with the name of one that is trusted: a node that
            // has made itself another key, for example.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => anyhow!(
                "the certificate of {url} comes from nobody whom this machine trusts: if it is \
                 the node's own, or of an authority of yours, name that file with --cacert FILE"
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                anyhow!("the certificate of {url} has expired: {wrong}")
            }
            // The only sentence that rustls has for these is its own form for debugging.
            CertificateError::Other(_) => anyhow!(
                "the certificate of {url} is not one that a server may have: it is an authority's \
                 (made with basicConstraints CA:TRUE), or older than X.509 version 3"
            ),
            _ => anyhow!("the certificate of {url} is not accepted: {wrong}"),
        },
        Some(Error::InvalidMessage(_)) => {
            anyhow!("{url} does not speak TLS: perhaps it is at http://")
        }
        Some(other) => anyhow!("{url}: {other}"),
        None => anyhow!("{url}: {error}"),
    }
}
