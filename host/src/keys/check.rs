//! Whether a certificate, its private key and its authority belong together, and are of use to a
//! node: what nats-server, or the other nodes, would find out later and say less clearly.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use tokio_rustls::rustls::{
    CertificateError, Error as TlsError, InconsistentKeys, RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    pki_types::{CertificateDer, UnixTime},
    server::{ParsedCertificate, WebPkiClientVerifier},
    sign::CertifiedKey,
};

use super::Error;
use crate::pem::{self, Details, NotAKey};

/// What errors call the three.
#[derive(Debug, Clone, Copy)]
pub(super) struct Labels {
    pub(super) certificate: &'static str,
    pub(super) private_key: &'static str,
    pub(super) authority: &'static str,
    /// What to do when one has expired.
    pub(super) advice: &'static str,
}

/// The operator's files.
pub(super) const GIVEN: Labels = Labels {
    certificate: "clustering.tls.certificate",
    private_key: "clustering.tls.privateKey",
    authority: "clustering.tls.certificateAuthority",
    advice: "put a new one into its place",
};

/// The node's own.
pub(super) const OWN: Labels = Labels {
    certificate: "the node's cluster certificate",
    private_key: "the node's cluster key",
    authority: "the cluster's certificate authority",
    advice: "issue a new one with 'cert issue' where the authority was made, and import it here",
};

/// Where the three are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paths {
    pub(super) certificate: PathBuf,
    pub(super) private_key: PathBuf,
    pub(super) authority: PathBuf,
}

/// What the three hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contents<'a> {
    pub(super) certificate: &'a [u8],
    pub(super) private_key: &'a [u8],
    pub(super) authority: &'a [u8],
}

/// A certificate with its key and its authority, all of them good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) certificate: Details,
    /// The SHA-256 of the certificate.
    pub(super) fingerprint: String,
    /// The first authority of those that are trusted.
    pub(super) authority: Details,
    /// The SHA-256 of all that are trusted; of one, that of its certificate.
    pub(super) authority_fingerprint: String,
    /// The authority that ends first.
    pub(super) authority_expires: Timestamp,
}

/// Reads and checks the operator's files.
pub(super) fn given(paths: &Paths) -> Result<Checked, Error> {
    let read = |key, path: &Path| {
        pem::read(path).map_err(|source| Error::Read { key, path: path.to_owned(), source })
    };
    let private_key = read(GIVEN.private_key, &paths.private_key)?;
    is_private(GIVEN.private_key, &paths.private_key)?;
    let certificate = read(GIVEN.certificate, &paths.certificate)?;
    let authority = read(GIVEN.authority, &paths.authority)?;
    for (key, path) in
        [(GIVEN.certificate, &paths.certificate), (GIVEN.authority, &paths.authority)]
    {
        is_not_for_others_to_write(key, path)?;
    }
    let contents =
        Contents { certificate: &certificate, private_key: &private_key, authority: &authority };
    check(&GIVEN, paths, contents)
}

/// A group may read what root has put there for it, as `ssl-cert` does.
fn is_private(key: &'static str, path: &Path) -> Result<(), Error> {
    let Ok(metadata) = path.metadata() else { return Ok(()) };
    let mode = metadata.mode() & 0o777;
    let forbidden = if metadata.uid() == 0 { 0o027 } else { 0o077 };
    if mode & forbidden != 0 {
        return Err(Error::Readable { key, path: path.to_owned(), mode });
    }
    Ok(())
}

fn is_not_for_others_to_write(key: &'static str, path: &Path) -> Result<(), Error> {
    let Ok(metadata) = path.metadata() else { return Ok(()) };
    let mode = metadata.mode() & 0o777;
    if mode & 0o002 != 0 {
        return Err(Error::Writable { key, path: path.to_owned(), mode });
    }
    Ok(())
}

/// Checks what was read.
pub(super) fn check(
    labels: &Labels,
    paths: &Paths,
    contents: Contents<'_>,
) -> Result<Checked, Error> {
    let chain = parse(labels.certificate, &paths.certificate, contents.certificate)?;
    let authorities = parse(labels.authority, &paths.authority, contents.authority)?;
    let certificate = details(labels.certificate, &paths.certificate, chain.first())?;
    let mut trusted = RootCertStore::empty();
    let (mut authority, mut out_of_time) = (None, None);
    let mut ends = Timestamp::MAX;
    for trustee in &authorities {
        let details = details(labels.authority, &paths.authority, Some(trustee))?;
        // Among others it does no harm: nobody trusts it.
        if let Err(error) = is_in_time(labels.authority, &paths.authority, &details, labels.advice)
        {
            out_of_time = Some(error);
            continue;
        }
        trusted.add(trustee.clone()).map_err(|error| Error::Certificate {
            key: labels.authority,
            path: paths.authority.clone(),
            reason: error.to_string(),
        })?;
        ends = ends.min(details.expires);
        authority.get_or_insert(details);
    }
    let authority = match (authority, out_of_time) {
        (Some(authority), _) => authority,
        (None, Some(error)) => return Err(error),
        (None, None) => details(labels.authority, &paths.authority, None)?,
    };
    is_in_time(labels.certificate, &paths.certificate, &certificate, labels.advice)?;
    fits(labels, paths, &chain, contents.private_key)?;
    is_signed(labels, paths, &chain, trusted)?;
    Ok(Checked {
        fingerprint: pem::fingerprint(chain.first().map_or(&[][..], |first| first.as_ref())),
        authority_fingerprint: pem::fingerprint(
            &authorities.iter().flat_map(|one| one.iter().copied()).collect::<Vec<_>>(),
        ),
        authority_expires: ends,
        certificate,
        authority,
    })
}

fn parse(
    key: &'static str,
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let what = "certificate";
    pem::certificates(bytes).ok_or_else(|| Error::NotPem { key, path: path.to_owned(), what })
}

fn details(
    key: &'static str,
    path: &Path,
    certificate: Option<&CertificateDer<'_>>,
) -> Result<Details, Error> {
    certificate.and_then(|certificate| Details::of(certificate)).ok_or_else(|| Error::Certificate {
        key,
        path: path.to_owned(),
        reason: "its encoding is broken".into(),
    })
}

fn is_in_time(
    key: &'static str,
    path: &Path,
    certificate: &Details,
    advice: &'static str,
) -> Result<(), Error> {
    let now = Timestamp::now();
    let (path, expired, begins) = (path.to_owned(), certificate.expires, certificate.begins);
    if expired < now {
        return Err(Error::Expired { key, path, expired, advice });
    }
    if begins > now {
        return Err(Error::NotYet { key, path, begins });
    }
    Ok(())
}

fn fits(
    labels: &Labels,
    paths: &Paths,
    chain: &[CertificateDer<'static>],
    private_key: &[u8],
) -> Result<(), Error> {
    let (key, path) = (labels.private_key, paths.private_key.clone());
    let private_key = match pem::private_key(private_key) {
        Ok(private_key) => private_key,
        Err(NotAKey::Encrypted) => return Err(Error::Encrypted { key, path }),
        Err(NotAKey::NotPem) => return Err(Error::NotPem { key, path, what: "private key" }),
    };
    let Ok(private_key) = pem::provider().key_provider.load_private_key(private_key) else {
        return Err(Error::PrivateKey { key, path });
    };
    match CertifiedKey::new(chain.to_vec(), private_key).keys_match() {
        Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
        Err(TlsError::InconsistentKeys(_)) => {
            Err(Error::Mismatch { key, path, certificate: paths.certificate.clone() })
        }
        Err(error) => Err(Error::Certificate {
            key: labels.certificate,
            path: paths.certificate.clone(),
            reason: error.to_string(),
        }),
    }
}

/// The chain as those see it who are called, and those who call.
fn is_signed(
    labels: &Labels,
    paths: &Paths,
    chain: &[CertificateDer<'static>],
    trusted: RootCertStore,
) -> Result<(), Error> {
    let (key, path) = (labels.certificate, paths.certificate.clone());
    let Some((certificate, between)) = chain.split_first() else { return Ok(()) };
    let trusted = Arc::new(trusted);
    let provider = pem::provider();
    let algorithms = provider.signature_verification_algorithms.all;
    let now = UnixTime::now();
    let as_server = ParsedCertificate::try_from(certificate).and_then(|parsed| {
        verify_server_cert_signed_by_trust_anchor(&parsed, &trusted, between, now, algorithms)
    });
    let as_client = WebPkiClientVerifier::builder_with_provider(trusted, provider)
        .build()
        .map_err(|error| TlsError::General(error.to_string()))
        .and_then(|verifier| verifier.verify_client_cert(certificate, between, now).map(|_| ()));
    for (result, lacks) in [(as_server, "servers"), (as_client, "clients")] {
        match result {
            Ok(()) => {}
            Err(TlsError::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => {
                return Err(Error::NotSigned { key, path, authority: paths.authority.clone() });
            }
            Err(TlsError::InvalidCertificate(
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
            )) => return Err(Error::Usage { key, path, lacks }),
            Err(error) => {
                return Err(Error::Certificate { key, path, reason: error.to_string() });
            }
        }
    }
    Ok(())
}
