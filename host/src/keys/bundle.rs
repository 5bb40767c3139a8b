//! Bundles: all that a node needs to join a cluster, in one file that one node writes and another
//! one takes.
//!
//! An import first puts the bundle itself into `keys/`, then writes the files, and then removes it.
//! One that was cut short is finished by whoever opens the folder next.

use std::{
    fs::{self, Permissions},
    io::{ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rcgen::KeyPair;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::{
    Error, GivenPassword, Summary,
    check::{self, Checked, Contents, Labels, Paths},
    check_hosts,
    folder::{AUTHORITY, AUTHORITY_KEY, CERTIFICATE, Folder, IMPORT, KEY, Locked},
    own::{self, Authority},
    password,
};
use crate::{
    node_name,
    pem::{self, Details},
};

/// The version of the form that a bundle has.
const FORM: u32 = 1;
const LABELS: Labels = Labels {
    certificate: "the bundle's certificate",
    private_key: "the bundle's private key",
    authority: "the bundle's certificate authority",
    advice: "issue a new bundle",
};

/// What is in the file, as JSON.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Bundle {
    /// The form's version.
    harper_cluster_bundle: u32,
    /// The name of the node that it is for.
    node: String,
    certificate: String,
    private_key: String,
    certificate_authority: String,
    password: String,
    /// Of all the rest: what was cut off, or edited by hand, is no bundle any more.
    checksum: String,
}

impl Drop for Bundle {
    fn drop(&mut self) {
        self.private_key.zeroize();
        self.password.zeroize();
    }
}

/// A bundle that was made.
pub struct Issued {
    bundle: Zeroizing<String>,
    checked: Checked,
}

/// A bundle that was taken.
#[derive(Debug)]
#[non_exhaustive]
pub struct Imported {
    /// The node that it was issued for.
    pub node: String,
    /// What the node has now.
    pub summary: Summary,
}

/// Makes a bundle for another node of the cluster of the node in `root_path`: a certificate from its
/// own authority, for `node` and the names or IP addresses `hosts`, and the cluster's password.
/// Both are made when the node has neither yet. It waits for other processes that work on the files,
/// for 10 s.
///
/// # Errors
/// A name cannot be one, the files are broken, or the authority's private key is not here.
pub fn issue(
    root_path: &Path,
    node: &str,
    hosts: &[String],
    password: &GivenPassword,
) -> Result<Issued, Error> {
    node_name::check(node)?;
    check_hosts(hosts)?;
    let folder = Folder::of(root_path).lock()?;
    finish_import(&folder)?;
    let password = super::find_password(&folder, password.read()?, true)?;
    let authority = Authority::load_or_make(&folder)?;
    let Some(authority_key) = &authority.key else {
        return Err(Error::NoAuthority { path: folder.file(AUTHORITY_KEY) });
    };
    let key = KeyPair::generate().map_err(own::make_failed)?;
    let names = own::names(node, hosts);
    let certificate = own::issue(&authority, authority_key, &key, node, names, own::LASTS)?;
    let mut bundle = Bundle {
        harper_cluster_bundle: FORM,
        node: node.to_owned(),
        certificate,
        private_key: key.serialize_pem(),
        certificate_authority: String::from_utf8_lossy(&authority.pem).into_owned(),
        password: password.as_str().to_owned(),
        checksum: String::new(),
    };
    bundle.checksum = bundle.sum();
    // What the other node would refuse is better refused here.
    let checked = bundle.check(&folder.file(AUTHORITY))?;
    let text = serde_json::to_string_pretty(&bundle).map_err(|e| Error::Make(e.to_string()))?;
    Ok(Issued { bundle: Zeroizing::new(text + "\n"), checked })
}

impl Issued {
    /// Writes the bundle into a new file that its owner alone can read.
    ///
    /// # Errors
    /// The file exists, or cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.as_file().set_permissions(Permissions::from_mode(0o600))?;
            file.write_all(self.bundle.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist_noclobber(path)?;
            fs::File::open(folder)?.sync_all()
        };
        write().map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Error::Exists { path: path.to_owned() },
            _ => Error::Write { folder: folder.to_owned(), source: error },
        })
    }

    /// What the other node gets.
    pub fn summary(&self) -> Summary {
        Summary::of(&self.checked, PathBuf::new(), false)
    }
}

/// Takes the bundle in `file` for the node in `root_path`, which is made if there is none. A running
/// node uses what came after a restart. Nothing is changed unless all of the bundle is good.
///
/// # Errors
/// The bundle is none, or broken, or, unless `force` is true, from another cluster than the one that
/// the node belongs to.
pub fn import(root_path: &Path, file: &Path, force: bool) -> Result<Imported, Error> {
    let bytes = pem::read(file).map_err(|source| {
        let path = file.to_owned();
        Error::Read { key: "the bundle", path, source }
    })?;
    let bundle = Bundle::parse(file, &bytes)?;
    let checked = bundle.check(file)?;
    let keys = Folder::of(root_path);
    let folder = keys.lock()?;
    finish_import(&folder)?;
    if !force {
        stays(&folder, &checked)?;
    }
    folder.write(IMPORT, &bytes)?;
    finish_import(&folder)?;
    let issues = folder.read(AUTHORITY_KEY)?.is_some();
    let summary = Summary::of(&checked, folder.file(CERTIFICATE), issues);
    Ok(Imported { node: bundle.node.clone(), summary })
}

/// Refuses to leave the cluster that the node belongs to.
fn stays(folder: &Locked, bundle: &Checked) -> Result<(), Error> {
    let ours = folder.read(AUTHORITY)?;
    let has_key = folder.read(AUTHORITY_KEY)?.is_some();
    if ours.is_none() && !has_key {
        return Ok(());
    }
    let ours = ours.and_then(|ours| pem::certificates(&ours)?.into_iter().next());
    let details = ours.as_ref().and_then(|ours| Details::of(ours));
    if details.is_some_and(|ours| ours.public_key == bundle.authority.public_key) {
        return Ok(());
    }
    Err(Error::OtherAuthority {
        ours: ours.map_or_else(|| "unknown".into(), |ours| pem::fingerprint(&ours)),
        theirs: bundle.authority_fingerprint.clone(),
        loses: if has_key { "; the private key of its authority is then removed" } else { "" },
    })
}

/// Goes on with an import from wherever it was cut short.
pub(super) fn finish_import(folder: &Locked) -> Result<(), Error> {
    let Some(bytes) = folder.read(IMPORT)? else { return Ok(()) };
    let file = folder.file(IMPORT);
    let bundle = Bundle::parse(&file, &bytes)?;
    let authority = pem::certificates(bundle.certificate_authority.as_bytes());
    let authority = authority.and_then(|all| Details::of(all.first()?));
    // The key of the cluster that is left would be taken for that of the one that is joined.
    let keeps = match own::read_key(folder, AUTHORITY_KEY, "the authority's private key") {
        Ok(Some(key)) => authority.is_some_and(|authority| own::has_key(&authority, &key)),
        Ok(None) | Err(_) => false,
    };
    if !keeps {
        folder.remove(AUTHORITY_KEY)?;
    }
    password::keep(folder, &bundle.password)?;
    folder.write(AUTHORITY, bundle.certificate_authority.as_bytes())?;
    folder.write(KEY, bundle.private_key.as_bytes())?;
    folder.write(CERTIFICATE, bundle.certificate.as_bytes())?;
    folder.remove(IMPORT)
}

impl Bundle {
    /// The error says where, and nothing of what is there.
    fn parse(path: &Path, bytes: &[u8]) -> Result<Bundle, Error> {
        let wrong = |reason: String| Error::NoBundle { path: path.to_owned(), reason };
        let damaged = |reason: String| Error::Damaged { path: path.to_owned(), reason };
        let bundle: Bundle = serde_json::from_slice(bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            match error.classify() {
                Category::Eof if !bytes.trim_ascii().is_empty() => {
                    damaged("it ends too early".into())
                }
                _ => wrong(format!("line {line}, column {column} is not as it should be")),
            }
        })?;
        if bundle.harper_cluster_bundle != FORM {
            return Err(wrong(format!(
                "it has form {}, and this harper-host knows {FORM}",
                bundle.harper_cluster_bundle
            )));
        }
        if bundle.checksum != bundle.sum() {
            return Err(damaged("its checksum does not fit".into()));
        }
        Ok(bundle)
    }

    /// The SHA-256 of all but the checksum, each part with its length before it.
    fn sum(&self) -> String {
        let mut sum = Sha256::new();
        sum.update(self.harper_cluster_bundle.to_be_bytes());
        for part in [
            &self.node,
            &self.certificate,
            &self.private_key,
            &self.certificate_authority,
            &self.password,
        ] {
            sum.update((part.len() as u64).to_be_bytes());
            sum.update(part.as_bytes());
        }
        sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn check(&self, path: &Path) -> Result<Checked, Error> {
        node_name::check(&self.node)?;
        password::check("the bundle", Zeroizing::new(self.password.clone()))?;
        let paths = Paths {
            certificate: path.to_owned(),
            private_key: path.to_owned(),
            authority: path.to_owned(),
        };
        let contents = Contents {
            certificate: self.certificate.as_bytes(),
            private_key: self.private_key.as_bytes(),
            authority: self.certificate_authority.as_bytes(),
        };
        check::check(&LABELS, &paths, contents)
    }
}
