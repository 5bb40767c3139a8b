//! How this host itself connects to its servers, and whether the files of TLS can be used at all:
//! nats-server would say so late, and in its own words.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{ResolvesClientCert, WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, InconsistentKeys, RootCertStore,
    SignatureScheme,
};

use super::{Error, Tls};
use crate::pem;

const CERTIFICATE: &str = "clustering.tls.certificate";
const PRIVATE_KEY: &str = "clustering.tls.privateKey";
const AUTHORITY: &str = "clustering.tls.certificateAuthority";

/// The files, found good.
pub(super) struct Files {
    /// For connections to servers of the cluster.
    pub(super) client: ClientConfig,
    shown: Arc<Shown>,
}

/// The certificate that connections show, which may be renewed.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl Shown {
    fn get(&self) -> Arc<CertifiedKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl Files {
    /// Reads the files, off the runtime.
    pub(super) async fn read(tls: &Tls) -> Result<Self, Error> {
        let files = tls.clone();
        let read = tokio::task::spawn_blocking(move || read(&files)).await;
        read.unwrap_or_else(|error| Err(wrong(CERTIFICATE, &tls.certificate, error)))
    }

    /// Reads the files anew: connections that are made from now on show what they hold.
    pub(super) async fn renew(&self, tls: &Tls) -> Result<(), Error> {
        let renewed = Self::read(tls).await?.shown.get();
        *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }

    /// Whether the node's certificate is for this address.
    pub(super) fn is_for(&self, host: IpAddr) -> bool {
        let name = ServerName::from(host);
        let shown = self.shown.get();
        let certificate = shown.end_entity_cert().and_then(ParsedCertificate::try_from);
        certificate.is_ok_and(|certificate| verify_server_name(&certificate, &name).is_ok())
    }
}

fn read(tls: &Tls) -> Result<Files, Error> {
    let authorities = certificates(AUTHORITY, &tls.certificate_authority)?;
    let chain = certificates(CERTIFICATE, &tls.certificate)?;
    let bytes = pem::read(&tls.private_key).map_err(|e| wrong(PRIVATE_KEY, &tls.private_key, e))?;
    let key = pem::private_key(&bytes).map_err(|_| {
        let reason = "it holds no private key in PEM, or an encrypted one";
        wrong(PRIVATE_KEY, &tls.private_key, reason)
    })?;
    let bad = |error| wrong(CERTIFICATE, &tls.certificate, told(&error));
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        let bad = |e| wrong(AUTHORITY, &tls.certificate_authority, told(&e));
        roots.add(authority).map_err(bad)?;
    }
    let roots = Arc::new(roots);
    let provider = pem::provider();

    let signing = provider.key_provider.load_private_key(key);
    let signing = signing.map_err(|e| wrong(PRIVATE_KEY, &tls.private_key, told(&e)))?;
    let pair = CertifiedKey::new(chain, signing);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(_) => {
            return Err(wrong(PRIVATE_KEY, &tls.private_key, "it is not that of the certificate"));
        }
    }
    let Some((leaf, between)) = pair.cert.split_first() else {
        return Err(wrong(CERTIFICATE, &tls.certificate, "it holds no certificate in PEM"));
    };
    let setup = |error: rustls::server::VerifierBuilderError| {
        wrong(AUTHORITY, &tls.certificate_authority, error)
    };
    let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
    let now = UnixTime::now();
    clients.build().map_err(setup)?.verify_client_cert(leaf, between, now).map_err(bad)?;
    let servers = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
    let servers = OwnServer(servers.build().map_err(setup)?);
    let name = ServerName::from(IpAddr::from([127, 0, 0, 1]));
    servers.verify_server_cert(leaf, between, &name, &[], now).map_err(bad)?;

    let shown = Arc::new(Shown(RwLock::new(Arc::new(pair))));
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(bad)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(servers))
        .with_client_cert_resolver(shown.clone());
    Ok(Files { client, shown })
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = pem::read(path).map_err(|error| wrong(key, path, error))?;
    pem::certificates(&bytes).ok_or_else(|| wrong(key, path, "it holds no certificate in PEM"))
}

fn wrong(key: &'static str, path: &Path, reason: impl ToString) -> Error {
    Error::Tls { key, path: path.to_owned(), reason: reason.to_string() }
}

/// For the operator, who knows no names of variants.
fn told(error: &rustls::Error) -> String {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidYet, NotValidYetContext, UnknownIssuer,
    };
    let told = match error {
        rustls::Error::InvalidCertificate(error) => match error {
            UnknownIssuer | BadSignature => {
                "it is not signed by the authority in clustering.tls.certificateAuthority"
            }
            Expired | ExpiredContext { .. } => "it has expired",
            NotValidYet | NotValidYetContext { .. } => "it is not valid yet",
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "it must be for servers and for clients (both extended key usages)"
            }
            _ => return error.to_string(),
        },
        _ => return error.to_string(),
    };
    told.to_owned()
}

/// One of this node's own servers, which is called by an address: the certificate must be one of the
/// cluster's, and may be for other names, those that other nodes call it by.
#[derive(Debug)]
struct OwnServer(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for OwnServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        let verified =
            self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            Err(rustls::Error::InvalidCertificate(
                NotValidForName | NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
