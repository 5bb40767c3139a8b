//! Why the cluster's files cannot be used, as the operator reads it.

use std::{io, path::PathBuf};

use jiff::Timestamp;

use crate::node_name::NodeNameError;

/// Why there are no files for the cluster. Each text names the key of the configuration, or the
/// file, that is to be changed; none holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Of the three keys in `clustering.tls` some are given, and others not.
    #[error(
        "clustering.tls.certificate, privateKey and certificateAuthority belong together, and \
         {missing} is null"
    )]
    Half {
        /// The one that is missing.
        missing: &'static str,
    },
    /// A name of a node that none can have.
    #[error(transparent)]
    NodeName(#[from] NodeNameError),
    /// A name of a host that no client could ask for.
    #[error("'{0}' is neither a host name nor an IP address")]
    Host(String),
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
    /// The private key cannot be used without a passphrase, which nobody could give here.
    #[error("{key}: {} is encrypted: take the passphrase off", path.display())]
    Encrypted {
        /// The key, or what the file is.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A certificate is not one, or of a kind that cannot be used.
    #[error("{key}: {} is no certificate that can be used: {reason}", path.display())]
    Certificate {
        /// The key, or what the file is.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
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
        "{key}: {} does not fit the certificate in {} (where there are several, the first)",
        path.display(), certificate.display()
    )]
    Mismatch {
        /// The key, or what the file is.
        key: &'static str,
        /// The file of the private key.
        path: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// A certificate has ended.
    #[error("{key}: the certificate in {} expired at {expired}: {advice}", path.display())]
    Expired {
        /// The key, or what the file is.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// When.
        expired: Timestamp,
        /// What to do.
        advice: &'static str,
    },
    /// A certificate has not begun.
    #[error(
        "{key}: the certificate in {} is valid from {begins} on only: is the clock right?",
        path.display()
    )]
    NotYet {
        /// The key, or what the file is.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// When it begins.
        begins: Timestamp,
    },
    /// The authority did not sign the certificate.
    #[error(
        "{key}: the certificate in {} was not signed by the authority in {}",
        path.display(), authority.display()
    )]
    NotSigned {
        /// The key, or what the file is.
        key: &'static str,
        /// The file of the certificate.
        path: PathBuf,
        /// The file of the authority.
        authority: PathBuf,
    },
    /// A node both accepts connections and makes them, and the certificate is not for one of these.
    #[error(
        "{key}: the certificate in {} must be for servers and for clients (extended key usages \
         serverAuth and clientAuth), and is not for {lacks}", path.display()
    )]
    Usage {
        /// The key, or what the file is.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// `servers` or `clients`.
        lacks: &'static str,
    },
    /// Others may read a private key.
    #[error(
        "{key}: others on this machine can read {} (mode {mode:04o}): chmod 600 it",
        path.display()
    )]
    Readable {
        /// The key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Others may change whom the node trusts.
    #[error(
        "{key}: others on this machine can write {} (mode {mode:04o}): chmod 644 it",
        path.display()
    )]
    Writable {
        /// The key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The folder for keys, or a file in it, cannot be made.
    #[error("the cluster's keys cannot be written in {}: {source}", folder.display())]
    Write {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process works on the files for too long.
    #[error("{} has been locked by another process for more than {seconds} s", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Some of the files are gone, and those that are there do not suffice to make them.
    #[error("{} is missing, and {there}: {advice}", missing.display())]
    Missing {
        /// The file that is gone.
        missing: PathBuf,
        /// What is there, and shows that there was one.
        there: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// The authority's private key is not that of the authority.
    #[error(
        "{} is not the private key of the authority in {}: take the one away that does not belong \
         there", path.display(), authority.display()
    )]
    ForeignKey {
        /// The private key's file.
        path: PathBuf,
        /// The authority's file.
        authority: PathBuf,
    },
    /// The cluster's password is given in two places.
    #[error("CLUSTERING_PASSWORD and CLUSTERING_PASSWORD_FILE are both set: set one")]
    PasswordTwice,
    /// The file with the cluster's password cannot be read.
    #[error("{what}: {} cannot be read: {source}", path.display())]
    PasswordFile {
        /// Where the file's path comes from.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The cluster's password is none that can be used.
    #[error("{what}: the cluster's password {reason}")]
    Password {
        /// Where it comes from.
        what: &'static str,
        /// What is wrong with it; not the password.
        reason: &'static str,
    },
    /// There is nothing yet.
    #[error(
        "there is no cluster certificate in {} yet: a start with clustering, 'cert issue' or \
         'cert import' makes one", folder.display()
    )]
    Nothing {
        /// The folder for keys.
        folder: PathBuf,
    },
    /// The node cannot vouch for others.
    #[error(
        "{} is missing: this node's certificate came from another node; issue others where the \
         authority was made", path.display()
    )]
    NoAuthority {
        /// Where the authority's private key would be.
        path: PathBuf,
    },
    /// A bundle is none.
    #[error("{} is no bundle of 'cert issue': {reason}", path.display())]
    NoBundle {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A bundle is not as it was issued.
    #[error("the bundle {} is damaged: {reason}; copy it again, or issue a new one", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How it shows.
        reason: String,
    },
    /// The node belongs to another cluster.
    #[error(
        "this node belongs to a cluster already, with the authority {ours}, and the bundle to \
         another, with {theirs}, for which the node leaves its own only with --force{loses}"
    )]
    OtherAuthority {
        /// The SHA-256 of the authority's certificate here, or `unknown`.
        ours: String,
        /// That in the bundle.
        theirs: String,
        /// What is lost beside; empty, or `; …`.
        loses: &'static str,
    },
    /// A file that is to be made is there.
    #[error("{} exists already, and is left as it is: name another with --out", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Keys or certificates cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Make(String),
    /// The files could not be looked at.
    #[error("the cluster's files could not be loaded: {0}")]
    Lost(String),
}
