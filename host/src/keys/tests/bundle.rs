//! Bundles: issued on one node, imported on another.

use serde_json::{Value, json};

use super::*;

fn node2(root: &TempDir) -> Result<ClusterFiles, Error> {
    ClusterFiles::open(Wanted::new(root.path(), "node2"))
}

/// Of a bundle with these parts.
fn checksum(bundle: &Value) -> String {
    let form = bundle["harperClusterBundle"].as_u64().unwrap() as u32;
    let mut bytes = form.to_be_bytes().to_vec();
    for part in ["node", "certificate", "privateKey", "certificateAuthority", "password"] {
        let part = bundle[part].as_str().unwrap_or_default();
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part.as_bytes());
    }
    crate::pem::fingerprint(&bytes).replace(':', "").to_lowercase()
}

// covers: keys.bundle
#[test]
fn a_second_node_gets_all_that_it_needs() {
    let (first, second) = (root(), root());
    let file = bundle_for(&first, "node2");
    assert_eq!(mode(&file), 0o600);
    let imported = import(&second.path().join("not/yet/there"), &file, false).unwrap();
    assert_eq!((imported.node.as_str(), imported.summary.issues), ("node2", false));
    for name in ["node2", "localhost", "127.0.0.1", "10.0.0.2"] {
        assert!(imported.summary.names.iter().any(|there| there == name), "{name}");
    }
    import(second.path(), &file, false).unwrap();
    let keys = second.path().join("keys");
    assert_eq!((mode(&keys), mode(&keys.join(KEY))), (0o700, 0o600));
    assert_eq!(read(&second, IMPORT), None);
    let (one, two) = (open(&first).unwrap(), node2(&second).unwrap());
    assert_eq!(one.password(), two.password());
    assert_eq!(one.checked.authority_fingerprint, two.checked.authority_fingerprint);
    assert_eq!(read(&second, AUTHORITY_KEY), None, "the authority's key stays where it is");
    assert_ne!(read(&first, KEY), read(&second, KEY));
    import(second.path(), &bundle_for(&first, "node3"), false).unwrap();
    let three = ClusterFiles::open(Wanted::new(second.path(), "node3")).unwrap();
    assert_eq!(three.checked.certificate.common_name, "node3", "again, of the same cluster");
}

/// The node that issues takes a bundle too: for the names by which others reach it.
#[test]
fn the_first_node_keeps_the_names_of_its_own_bundle() {
    let first = root();
    open(&first).unwrap();
    let authority_key = read(&first, AUTHORITY_KEY);
    import(first.path(), &bundle_for(&first, "node1"), false).unwrap();
    assert_eq!(read(&first, AUTHORITY_KEY), authority_key);
    own::write_certificate_with(&first, days(20), &["10.0.0.2".to_owned()]);
    let names = open(&first).unwrap().checked.certificate.names;
    assert!(names.iter().any(|name| name == "10.0.0.2"), "{names:?}");
}

#[test]
fn a_bundle_has_the_password_of_the_environment() {
    let (first, second) = (root(), root());
    let given = GivenPassword::Text(Zeroizing::new("given".to_owned()));
    ClusterFiles::open(Wanted { password: given.clone(), ..wanted(&first) }).unwrap();
    let error = issue(first.path(), "node2", &[], &GivenPassword::Nothing).err().unwrap();
    assert!(error.to_string().contains("set CLUSTERING_PASSWORD"), "{error}");
    let file = first.path().join("b");
    issue(first.path(), "node2", &[], &given).unwrap().write(&file).unwrap();
    import(second.path(), &file, false).unwrap();
    assert_eq!(node2(&second).unwrap().password().as_str(), "given");
}

#[test]
fn only_the_node_with_the_authority_issues() {
    let (first, second) = (root(), root());
    import(second.path(), &bundle_for(&first, "node2"), false).unwrap();
    let error = issue(second.path(), "node3", &[], &GivenPassword::Nothing).err().unwrap();
    assert!(matches!(error, Error::NoAuthority { .. }), "{error}");
    for (node, hosts) in [("a b", vec![]), ("node3", vec!["a b".to_owned()])] {
        issue(first.path(), node, &hosts, &GivenPassword::Nothing).err().unwrap();
    }
    let there = bundle_for(&first, "node4");
    let before = fs::read(&there).unwrap();
    let again = issue(first.path(), "node4", &[], &GivenPassword::Nothing).unwrap();
    assert!(matches!(again.write(&there).unwrap_err(), Error::Exists { .. }));
    assert_eq!(fs::read(&there).unwrap(), before);
}

// covers: keys.bundle.other-authority
#[test]
fn another_cluster_is_left_by_force_alone() {
    let (first, second) = (root(), root());
    node2(&second).unwrap();
    let file = bundle_for(&first, "node2");
    let before = MADE.map(|name| read(&second, name));
    let error = import(second.path(), &file, false).unwrap_err();
    assert!(matches!(error, Error::OtherAuthority { .. }), "{error}");
    let text = error.to_string();
    let end = "only with --force; the private key of its authority is then removed";
    assert!(text.ends_with(end), "{text}");
    assert_eq!(MADE.map(|name| read(&second, name)), before);
    import(second.path(), &file, true).unwrap();
    assert_eq!(node2(&second).unwrap().password(), open(&first).unwrap().password());
    assert_eq!(read(&second, AUTHORITY_KEY), None, "it would sign for the cluster that was left");
}

// covers: keys.bundle.validated, keys.bundle.damaged
#[test]
fn nothing_is_taken_of_a_bundle_that_is_not_good() {
    let (first, other) = (root(), root());
    let whole: Value =
        serde_json::from_slice(&fs::read(bundle_for(&first, "node2")).unwrap()).unwrap();
    let foreign: Value =
        serde_json::from_slice(&fs::read(bundle_for(&other, "node2")).unwrap()).unwrap();
    let file = first.path().join("changed.json");
    let refused = |bytes: &[u8], expected: &str| {
        let second = root();
        fs::write(&file, bytes).unwrap();
        let error = import(second.path(), &file, true).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(!error.contains(whole["password"].as_str().unwrap()), "{error}");
        assert!(!second.path().join("keys").exists(), "{expected}");
    };
    let changed = |key: &str, value: Value, expected: &str| {
        let mut bundle = whole.clone();
        bundle[key] = value;
        bundle["checksum"] = checksum(&bundle).into();
        refused(bundle.to_string().as_bytes(), expected);
    };
    let edited = |key: &str| {
        let mut bundle = whole.clone();
        let before = bundle[key].as_str().unwrap().to_owned();
        bundle[key] = json!(before + " ");
        refused(bundle.to_string().as_bytes(), "is damaged: its checksum does not fit");
    };
    assert_eq!(whole["checksum"], checksum(&whole));
    for key in ["node", "certificate", "privateKey", "certificateAuthority", "password", "checksum"]
    {
        edited(key);
    }
    let mut unsigned = whole.clone();
    unsigned.as_object_mut().unwrap().remove("checksum");
    refused(unsigned.to_string().as_bytes(), "is no bundle");
    refused(b"", "is no bundle of 'cert issue': line 1, column 0");
    refused(b"[]", "is no bundle");
    refused(b"{}", "is no bundle");
    refused(&[0xff; 100], "is no bundle");
    refused(&[b'['; 100_000], "is no bundle");
    refused(&[b' '; 2 << 20], "the bundle: ");
    let text = whole.to_string();
    for length in [1, text.len() / 2, text.len() - 1] {
        refused(&text.as_bytes()[..length], "is damaged: it ends too early");
    }
    changed("harperClusterBundle", json!(2), "it has form 2, and this harper-host knows 1");
    changed("more", json!(1), "is no bundle");
    changed("password", json!(7), "is no bundle");
    changed("node", json!("a b"), "'clustering.nodeName': 'a b' is no name for a node");
    changed("password", json!(""), "the bundle: the cluster's password is empty");
    changed("password", json!("a\nb"), "control characters");
    changed("certificate", json!("x"), "the bundle's certificate: ");
    changed("privateKey", json!("x"), "the bundle's private key: ");
    changed("certificateAuthority", json!("x"), "the bundle's certificate authority: ");
    changed("privateKey", foreign["privateKey"].clone(), "does not fit the certificate");
    changed("certificateAuthority", foreign["certificateAuthority"].clone(), "was not signed by");
}

/// However far an import came, the next one who opens the folder finishes it.
// covers: keys.bundle.killed
#[test]
fn an_import_that_was_cut_short_is_finished() {
    let (first, second) = (root(), root());
    open(&first).unwrap();
    let bundle = bundle_for(&first, "node2");
    import(second.path(), &bundle, false).unwrap();
    // In the order in which they are written, after the old authority's key is gone.
    let order = [PASSWORD, AUTHORITY, KEY, CERTIFICATE];
    for written in 0..=order.len() {
        for key_is_gone in [false, true] {
            let cut = root();
            node2(&cut).unwrap();
            write(&cut, IMPORT, fs::read(&bundle).unwrap());
            if key_is_gone || written > 0 {
                remove(&cut, AUTHORITY_KEY);
            }
            for name in &order[..written] {
                write(&cut, name, read(&second, name).unwrap());
            }
            let files = node2(&cut).unwrap();
            assert_eq!(files.password(), open(&first).unwrap().password());
            for name in order {
                assert_eq!(read(&cut, name), read(&second, name), "{name} after {written}");
            }
            assert_eq!((read(&cut, IMPORT), read(&cut, AUTHORITY_KEY)), (None, None));
        }
    }
}

#[test]
fn what_there_is_is_shown_and_nothing_made() {
    let (first, second) = (root(), root());
    assert!(matches!(show(&wanted(&first)).unwrap_err(), Error::Nothing { .. }));
    assert!(!first.path().join("keys").exists());
    fs::create_dir(first.path().join("keys")).unwrap();
    assert!(matches!(show(&wanted(&first)).unwrap_err(), Error::Nothing { .. }));
    let files = open(&first).unwrap();
    let summary = show(&wanted(&first)).unwrap();
    assert_eq!((summary.node.as_str(), summary.issues), ("node1", true));
    assert_eq!(summary.fingerprint, files.checked.fingerprint);
    assert_eq!(summary.certificate, files.certificate());
    let imported = import(second.path(), &bundle_for(&first, "node2"), false).unwrap().summary;
    assert_eq!(show(&wanted(&second)).unwrap(), imported);
    assert_eq!(imported.authority_fingerprint, summary.authority_fingerprint);
}

/// It cannot be renewed where the authority is not.
#[test]
fn an_imported_certificate_that_has_expired_is_refused_with_advice() {
    let (first, second) = (root(), root());
    open(&first).unwrap();
    own::write_certificate(&first, days(-2));
    for name in [PASSWORD, AUTHORITY, KEY, CERTIFICATE] {
        fs::create_dir_all(second.path().join("keys")).unwrap();
        write(&second, name, read(&first, name).unwrap());
    }
    let error = open(&second).unwrap_err();
    assert!(matches!(error, Error::Expired { .. }), "{error}");
    assert!(error.to_string().contains("issue a new one with 'cert issue'"), "{error}");
}
