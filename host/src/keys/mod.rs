//! What a node shows to the other nodes of its cluster: a certificate, its private key, the
//! authority that signed it, and the cluster's password.
//!
//! The operator gives the first three in `clustering.tls`, or the node makes them in `keys/`: the
//! first node is its own authority and issues [bundles](issue) for others, which [import] them.
//!
//! | file in `keys/` | what it is |
//! | --- | --- |
//! | `cluster-ca-key.pem` | the authority's private key, on the node where it was made |
//! | `cluster-ca.pem` | the authority, which every node of the cluster trusts |
//! | `cluster-key.pem`, `cluster-certificate.pem` | the node's own |
//! | `cluster-password` | the cluster's password, unless the environment gives it |
//! | `cluster-import.json` | a bundle, while it is being imported |
//! | `cluster.lock` | locked by whoever works on them |
//!
//! Every file is replaced as a whole, and made in an order such that a start that is killed leaves
//! what the next one goes on from. Nothing here waits for a network; all but
//! [`ClusterFiles::keep_fresh`] blocks its thread, for 10 s at most where another process is at work
//! on the files.

mod bundle;
mod check;
mod error;
mod folder;
mod fresh;
mod own;
mod password;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use zeroize::Zeroizing;

use crate::{node_name, pem};
pub use bundle::{Imported, Issued, import, issue};
use check::{Checked, Paths};
pub use error::Error;
use folder::{AUTHORITY, AUTHORITY_KEY, CERTIFICATE, Folder, Locked};
pub use password::GivenPassword;

/// An end that is nearer is warned of, and the node's own certificate is renewed.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What a node wants its files to be.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The node's folder.
    pub root_path: PathBuf,
    /// `clustering.nodeName`.
    pub node_name: String,
    /// `clustering.tls.certificate`; a relative path is below the node's folder, as are the others.
    pub certificate: Option<PathBuf>,
    /// `clustering.tls.privateKey`.
    pub private_key: Option<PathBuf>,
    /// `clustering.tls.certificateAuthority`.
    pub certificate_authority: Option<PathBuf>,
    /// Host names and IP addresses by which others reach the node. The loopback addresses, the
    /// node's name, and the machine's name and addresses need not be among them; 0.0.0.0 and :: say
    /// nothing.
    pub hosts: Vec<String>,
    /// The cluster's password, if the operator gives it.
    pub password: GivenPassword,
}

impl Wanted {
    /// Files of the node's own making, and no name but its own.
    pub fn new(root_path: impl Into<PathBuf>, node_name: impl Into<String>) -> Wanted {
        Wanted {
            root_path: root_path.into(),
            node_name: node_name.into(),
            certificate: None,
            private_key: None,
            certificate_authority: None,
            hosts: Vec::new(),
            password: GivenPassword::Nothing,
        }
    }

    /// The operator's files; none when the node makes its own.
    fn given(&self) -> Result<Option<Paths>, Error> {
        let below = |path: &Path| self.root_path.join(path);
        match (&self.certificate, &self.private_key, &self.certificate_authority) {
            (None, None, None) => Ok(None),
            (Some(certificate), Some(private_key), Some(authority)) => Ok(Some(Paths {
                certificate: below(certificate),
                private_key: below(private_key),
                authority: below(authority),
            })),
            (None, ..) => Err(Error::Half { missing: "clustering.tls.certificate" }),
            (_, None, _) => Err(Error::Half { missing: "clustering.tls.privateKey" }),
            (.., None) => Err(Error::Half { missing: "clustering.tls.certificateAuthority" }),
        }
    }
}

/// A node's files, all there and all good when they were opened.
pub struct ClusterFiles {
    wanted: Wanted,
    paths: Paths,
    checked: Checked,
    password: Zeroizing<String>,
}

/// Without the password.
impl fmt::Debug for ClusterFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterFiles").field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl ClusterFiles {
    /// Finds the operator's files or the node's own, makes of the latter what is missing, and checks
    /// that nodes of the cluster will take them. It blocks, as said above.
    ///
    /// # Errors
    /// They cannot be used: the text names the key of the configuration, or the file.
    pub fn open(wanted: Wanted) -> Result<ClusterFiles, Error> {
        node_name::check(&wanted.node_name)?;
        check_hosts(&wanted.hosts)?;
        let given = wanted.password.read()?;
        // The lock is held until both are there: an import changes both.
        let (paths, checked, password) = match wanted.given()? {
            Some(paths) => {
                let checked = check::given(&paths)?;
                let password = match given {
                    Some(password) => password,
                    None => find_password(&lock(&wanted)?, None, false)?,
                };
                (paths, checked, password)
            }
            None => {
                let folder = lock(&wanted)?;
                let password = find_password(&folder, given, true)?;
                (own::paths(&folder), own::load_or_make(&folder, &wanted)?, password)
            }
        };
        tell(&checked, &paths.certificate);
        Ok(ClusterFiles { wanted, paths, checked, password })
    }

    /// The PEM file with the node's certificate, and those between it and the authority.
    pub fn certificate(&self) -> &Path {
        &self.paths.certificate
    }

    /// The PEM file with its private key.
    pub fn private_key(&self) -> &Path {
        &self.paths.private_key
    }

    /// The PEM file with the authority, whose certificates the node takes from others.
    pub fn certificate_authority(&self) -> &Path {
        &self.paths.authority
    }

    /// The cluster's password, in the clear.
    pub fn password(&self) -> &Zeroizing<String> {
        &self.password
    }
}

/// Where the files are, and what is in them.
fn prepare(wanted: &Wanted) -> Result<(Paths, Checked), Error> {
    if let Some(paths) = wanted.given()? {
        let checked = check::given(&paths)?;
        return Ok((paths, checked));
    }
    let folder = lock(wanted)?;
    let checked = own::load_or_make(&folder, wanted)?;
    Ok((own::paths(&folder), checked))
}

/// The node's own files, as whole as they can be without making new ones.
fn lock(wanted: &Wanted) -> Result<Locked, Error> {
    let folder = Folder::of(&wanted.root_path).lock()?;
    bundle::finish_import(&folder)?;
    Ok(folder)
}

/// The password that is given, or kept, or, where nothing was ever made, a new one. `own` says that
/// the node's files are of its own making: an authority without a password is then one whose
/// password was given, and another one would keep the nodes apart.
fn find_password(
    folder: &Locked,
    given: Option<Zeroizing<String>>,
    own: bool,
) -> Result<Zeroizing<String>, Error> {
    if let Some(password) = given {
        return Ok(password);
    }
    if let Some(password) = password::kept(folder)? {
        return Ok(password);
    }
    if own && (folder.read(AUTHORITY)?.is_some() || folder.read(AUTHORITY_KEY)?.is_some()) {
        return Err(Error::Missing {
            missing: folder.file(folder::PASSWORD),
            there: "the cluster's certificate authority is there",
            advice: "set CLUSTERING_PASSWORD or CLUSTERING_PASSWORD_FILE, as at the first start, or \
                     put the file back",
        });
    }
    password::make(folder)
}

/// What a node has, to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// The name in the certificate: that of the node, in one that a node issued.
    pub node: String,
    /// The host names and IP addresses that the certificate is for.
    pub names: Vec<String>,
    /// When the certificate ends.
    pub expires: Timestamp,
    /// The SHA-256 of the certificate.
    pub fingerprint: String,
    /// The SHA-256 of the authority's certificate.
    pub authority_fingerprint: String,
    /// When the authority ends.
    pub authority_expires: Timestamp,
    /// Whether the authority's private key is here, so that the node can issue for others.
    pub issues: bool,
    /// The file of the certificate; empty in a bundle.
    pub certificate: PathBuf,
}

impl Summary {
    fn of(checked: &Checked, certificate: PathBuf, issues: bool) -> Summary {
        Summary {
            node: checked.certificate.common_name.clone(),
            names: checked.certificate.names.clone(),
            expires: checked.certificate.expires,
            fingerprint: checked.fingerprint.clone(),
            authority_fingerprint: checked.authority_fingerprint.clone(),
            authority_expires: checked.authority_expires,
            issues,
            certificate,
        }
    }
}

/// What the node has now. Nothing is made, but an import that was cut short is finished.
///
/// # Errors
/// There is nothing, or what is there cannot be used.
pub fn show(wanted: &Wanted) -> Result<Summary, Error> {
    if let Some(paths) = wanted.given()? {
        let checked = check::given(&paths)?;
        return Ok(Summary::of(&checked, paths.certificate, false));
    }
    let keys = Folder::of(&wanted.root_path);
    let nothing = || Error::Nothing { folder: keys.path().to_owned() };
    if !keys.path().exists() {
        return Err(nothing());
    }
    let folder = keys.lock()?;
    bundle::finish_import(&folder)?;
    if folder.read(CERTIFICATE)?.is_none() && folder.read(AUTHORITY)?.is_none() {
        return Err(nothing());
    }
    let checked = own::load(&folder)?;
    let issues = folder.read(AUTHORITY_KEY)?.is_some();
    Ok(Summary::of(&checked, folder.file(CERTIFICATE), issues))
}

fn check_hosts(hosts: &[String]) -> Result<(), Error> {
    let is_host = |host: &&String| {
        host.parse::<IpAddr>().is_ok() || pem::is_dns_name(host.trim_end_matches('.'))
    };
    match hosts.iter().find(|host| !is_host(host)) {
        Some(host) => Err(Error::Host(host.escape_debug().to_string())),
        None => Ok(()),
    }
}

fn tell(checked: &Checked, file: &Path) {
    tracing::info!(
        file = %file.display(),
        sha256 = checked.fingerprint,
        expires = %checked.certificate.expires,
        authority = checked.authority_fingerprint,
        "cluster certificate"
    );
    warn_of_end(checked, file);
}

fn warn_of_end(checked: &Checked, file: &Path) {
    let left = |end: Timestamp| end.duration_since(Timestamp::now());
    let (expires, ends) = (checked.certificate.expires, checked.authority_expires);
    if left(expires) < SOON {
        let days = left(expires).as_hours() / 24;
        tracing::warn!(file = %file.display(), %expires, days, "the cluster certificate expires soon");
    }
    if left(ends) < SOON {
        let days = left(ends).as_hours() / 24;
        tracing::warn!(expires = %ends, days, "the cluster's certificate authority expires soon");
    }
}
