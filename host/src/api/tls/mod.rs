//! TLS: the certificate in use, and looking whether there is a newer one.

mod error;
mod files;
mod self_made;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::Config;
use crate::pem;
pub use error::TlsError;
use files::Loaded;

/// How often the files are looked at. What renews a certificate does so weeks before its end.
const LOOK: Duration = Duration::from_secs(3600);
/// An end that is nearer is warned of, and a self-made certificate is renewed.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Where the certificate and its key are.
#[derive(Debug, Clone)]
enum Source {
    /// The operator's.
    Given { certificate: PathBuf, key: PathBuf },
    /// Ours, in this folder, for this address.
    SelfMade { folder: PathBuf, host: IpAddr },
}

impl Source {
    fn of(config: &Config) -> Result<Source, TlsError> {
        match (&config.certificate, &config.private_key, &config.keys) {
            (Some(certificate), Some(key), _) => {
                Ok(Source::Given { certificate: certificate.clone(), key: key.clone() })
            }
            (Some(_), None, _) => Err(TlsError::Half { null: "tls.privateKey" }),
            (None, Some(_), _) => Err(TlsError::Half { null: "tls.certificate" }),
            (None, None, Some(folder)) => {
                Ok(Source::SelfMade { folder: folder.clone(), host: config.host })
            }
            (None, None, None) => Err(TlsError::None),
        }
    }

    async fn load(&self) -> Result<Loaded, TlsError> {
        let source = self.clone();
        let load = tokio::task::spawn_blocking(move || match source {
            Source::Given { certificate, key } => files::load(&certificate, &key),
            Source::SelfMade { folder, host } => self_made::load_or_make(&folder, host),
        });
        load.await.unwrap_or_else(|error| Err(TlsError::Lost(error.to_string())))
    }
}

/// The certificate of the TLS port.
pub(super) struct Tls {
    source: Source,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

/// What new connections are shown.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    fn get(&self) -> Arc<CertifiedKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

impl Tls {
    /// Loads the certificate, or makes one.
    pub(super) async fn open(config: &Config) -> Result<Tls, TlsError> {
        let source = Source::of(config)?;
        let loaded = source.load().await?;
        tell(&loaded);
        let current = Arc::new(Current(RwLock::new(loaded.key)));
        let mut server = ServerConfig::builder_with_provider(pem::provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(server));
        Ok(Tls { source, current, acceptor })
    }

    /// What makes a TLS connection of one that was accepted.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Keeps the certificate fresh, for as long as it is polled: a file that was renewed is used
    /// without a restart.
    pub(super) async fn keep_fresh(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.refresh().await;
        }
    }

    async fn refresh(&self) {
        let current = self.current.get();
        match self.source.load().await {
            Ok(loaded) if loaded.key.cert == current.cert => warn_of_end(&loaded),
            Ok(loaded) => {
                tell(&loaded);
                let mut place = self.current.0.write().unwrap_or_else(PoisonError::into_inner);
                *place = loaded.key;
            }
            Err(error) => {
                tracing::error!("the certificate in use is kept, the new one cannot be: {error}");
            }
        }
    }
}

fn tell(loaded: &Loaded) {
    tracing::info!(
        file = %loaded.file.display(),
        sha256 = loaded.fingerprint,
        expires = loaded.expires.map(tracing::field::display),
        "TLS certificate"
    );
    warn_of_end(loaded);
}

fn warn_of_end(loaded: &Loaded) {
    let Some(expires) = loaded.expires else { return };
    let left = expires.duration_since(Timestamp::now());
    let file = loaded.file.display();
    if left.is_negative() {
        tracing::warn!(%file, %expires, "the TLS certificate has expired: clients will refuse it");
    } else if left < SOON {
        let days = left.as_hours() / 24;
        tracing::warn!(%file, %expires, days, "the TLS certificate expires soon");
    }
}
