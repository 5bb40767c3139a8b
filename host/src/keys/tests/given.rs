//! The operator's files, and what can be wrong with them.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::*;

/// An authority of the operator's.
pub(super) struct Company {
    params: CertificateParams,
    key: KeyPair,
}

impl Company {
    pub(super) fn new() -> Company {
        Self::lasting(days(100))
    }

    fn lasting(lasts: SignedDuration) -> Company {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "Company");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        pem::set_validity(&mut params, Timestamp::now() + lasts);
        if lasts.is_negative() {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        }
        Company { params, key: KeyPair::generate().unwrap() }
    }

    fn pem(&self) -> String {
        self.params.self_signed(&self.key).unwrap().pem()
    }

    /// A certificate for a node, with what `change` makes of it.
    pub(super) fn signs(
        &self,
        key: &KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> String {
        let mut node = CertificateParams::new(["localhost".to_owned()]).unwrap();
        node.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        pem::set_validity(&mut node, Timestamp::now() + days(100));
        change(&mut node);
        let issuer = Issuer::from_params(&self.params, &self.key);
        node.signed_by(key, &issuer).unwrap().pem()
    }
}

/// Writes the three into the node's folder: what there is of each.
pub(super) fn give(root: &TempDir, company: &Company, key: &KeyPair, certificate: &str) -> Wanted {
    let file = |name: &str, text: &str| {
        let path = root.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        Some(PathBuf::from(name))
    };
    Wanted {
        certificate: file("c.pem", certificate),
        private_key: file("k.pem", &key.serialize_pem()),
        certificate_authority: file("ca.pem", &company.pem()),
        ..wanted(root)
    }
}

fn good() -> (TempDir, Wanted) {
    let (root, company, key) = (root(), Company::new(), KeyPair::generate().unwrap());
    let certificate = company.signs(&key, |_| {});
    let wanted = give(&root, &company, &key, &certificate);
    (root, wanted)
}

fn refused(wanted: Wanted) -> String {
    ClusterFiles::open(wanted).unwrap_err().to_string()
}

// covers: keys.given
#[test]
fn they_are_used_where_they_are() {
    let (root, wanted) = good();
    let files = ClusterFiles::open(wanted.clone()).unwrap();
    assert_eq!(files.certificate(), root.path().join("c.pem"));
    assert_eq!(files.private_key(), root.path().join("k.pem"));
    assert_eq!(files.certificate_authority(), root.path().join("ca.pem"));
    let again = ClusterFiles::open(wanted).unwrap();
    assert_eq!(again.password(), files.password(), "the password is made and kept");
    for name in [AUTHORITY_KEY, AUTHORITY, KEY, CERTIFICATE] {
        assert_eq!(read(&root, name), None, "{name}");
    }
}

// covers: keys.given.together
#[test]
fn they_belong_together() {
    let (_root, all) = good();
    for (given, missing) in [
        (Wanted { certificate: None, ..all.clone() }, "clustering.tls.certificate"),
        (Wanted { private_key: None, ..all.clone() }, "clustering.tls.privateKey"),
        (Wanted { certificate_authority: None, ..all }, "clustering.tls.certificateAuthority"),
    ] {
        let error = refused(given);
        assert!(error.ends_with(&format!("and {missing} is null")), "{error}");
    }
}

// covers: keys.given.errors
#[test]
fn what_is_wrong_is_said_with_the_key() {
    let (root, company) = (root(), Company::new());
    let key = KeyPair::generate().unwrap();
    let certificate = company.signs(&key, |_| {});
    let begins = |error: &str, begin: &str| assert!(error.starts_with(begin), "{error}");
    let at = |name: &str| root.path().join(name).display().to_string();

    let wanted = give(&root, &company, &KeyPair::generate().unwrap(), &certificate);
    let error = format!("clustering.tls.privateKey: {} does not fit the certificate", at("k.pem"));
    begins(&refused(wanted), &error);

    let expired = company.signs(&key, |node| {
        (node.not_before, node.not_after) =
            (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    });
    let wanted = give(&root, &company, &key, &expired);
    let error = format!(
        "clustering.tls.certificate: the certificate in {} expired at 2021-01-01T00:00:00Z",
        at("c.pem")
    );
    begins(&refused(wanted), &error);

    let early = company.signs(&key, |node| {
        (node.not_before, node.not_after) =
            (rcgen::date_time_ymd(2100, 1, 1), rcgen::date_time_ymd(2101, 1, 1));
    });
    let error = refused(give(&root, &company, &key, &early));
    assert!(error.contains("is valid from 2100-01-01T00:00:00Z on only"), "{error}");

    let wanted = give(&root, &Company::new(), &key, &certificate);
    let error = format!(
        "clustering.tls.certificate: the certificate in {} was not signed by the authority in {}",
        at("c.pem"),
        at("ca.pem")
    );
    begins(&refused(wanted), &error);

    let old = Company::lasting(days(-2));
    let by_old = old.signs(&key, |_| {});
    begins(
        &refused(give(&root, &old, &key, &by_old)),
        &format!(
            "clustering.tls.certificateAuthority: the certificate in {} expired",
            at("ca.pem")
        ),
    );

    for (usage, lacks) in [
        (ExtendedKeyUsagePurpose::ServerAuth, "clients"),
        (ExtendedKeyUsagePurpose::ClientAuth, "servers"),
    ] {
        let half = company.signs(&key, |node| node.extended_key_usages = vec![usage]);
        let error = refused(give(&root, &company, &key, &half));
        begins(&error, "clustering.tls.certificate: ");
        assert!(error.ends_with(&format!("and is not for {lacks}")), "{error}");
    }

    let authority =
        company.signs(&key, |node| node.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let error = refused(give(&root, &company, &key, &authority));
    assert!(error.contains("is no certificate that can be used"), "{error}");
}

#[test]
fn files_that_are_none_are_named_with_the_key() {
    let keys = [
        ("c.pem", "clustering.tls.certificate"),
        ("k.pem", "clustering.tls.privateKey"),
        ("ca.pem", "clustering.tls.certificateAuthority"),
    ];
    for (name, key) in keys {
        let (root, wanted) = good();
        let file = root.path().join(name);
        let begin = format!("{key}: {} ", file.display());
        for bytes in ["", "x", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            fs::write(&file, bytes).unwrap();
            let error = refused(wanted.clone());
            assert!(error.starts_with(&format!("{begin}holds no ")), "{error}");
        }
        for label in ["CERTIFICATE", "PRIVATE KEY"] {
            let text = format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
            fs::write(&file, text).unwrap();
            assert!(refused(wanted.clone()).starts_with(&format!("{key}: ")));
        }
        fs::remove_file(&file).unwrap();
        assert!(refused(wanted.clone()).starts_with(&format!("{begin}cannot be read")));
        fs::create_dir(&file).unwrap();
        assert!(refused(wanted).contains("it is not a file"));
    }
    let (root, wanted) = good();
    let text = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    fs::write(root.path().join("k.pem"), text).unwrap();
    assert!(refused(wanted).ends_with("k.pem is encrypted: take the passphrase off"));
}

// covers: keys.given.private
#[test]
fn a_key_that_others_can_read_is_refused() {
    let (root, wanted) = good();
    let to = |name: &str, mode| {
        fs::set_permissions(root.path().join(name), Permissions::from_mode(mode)).unwrap();
    };
    for mode in [0o604, 0o644, 0o606, 0o620] {
        to("k.pem", mode);
        let error = refused(wanted.clone());
        let path = root.path().join("k.pem");
        let expected = format!(
            "clustering.tls.privateKey: others on this machine can read {} (mode {mode:04o}): \
             chmod 600 it",
            path.display()
        );
        assert_eq!(error, expected);
    }
    to("k.pem", 0o400);
    for (name, key) in
        [("c.pem", "clustering.tls.certificate"), ("ca.pem", "clustering.tls.certificateAuthority")]
    {
        to(name, 0o646);
        assert!(
            refused(wanted.clone())
                .starts_with(&format!("{key}: others on this machine can write"))
        );
        to(name, 0o644);
    }
    ClusterFiles::open(wanted).unwrap();
}

/// Beside the one in use an authority that is over, as operators leave them in the file.
#[test]
fn an_authority_may_have_others_beside_it() {
    let (root, company, key) = (root(), Company::new(), KeyPair::generate().unwrap());
    let certificate = company.signs(&key, |_| {});
    let wanted = give(&root, &company, &key, &certificate);
    let all = [Company::lasting(days(-2)).pem(), Company::new().pem(), company.pem()].concat();
    fs::write(root.path().join("ca.pem"), all).unwrap();
    let files = ClusterFiles::open(wanted).unwrap();
    assert!(files.checked.authority_expires > Timestamp::now());
}
