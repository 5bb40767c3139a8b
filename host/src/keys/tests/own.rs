//! Files of the node's own making.

use super::super::own as keys_own;
use super::*;

// covers: keys.made
#[test]
fn they_are_made_once_and_for_their_owner_alone() {
    let root = root();
    let files = open(&root).unwrap();
    let keys = root.path().join("keys");
    assert_eq!(files.certificate(), keys.join(CERTIFICATE));
    assert_eq!(files.private_key(), keys.join(KEY));
    assert_eq!(files.certificate_authority(), keys.join(AUTHORITY));
    assert_eq!(mode(&keys), 0o700);
    let all = || MADE.map(|name| read(&root, name).unwrap());
    for name in MADE {
        assert_eq!(mode(&keys.join(name)), 0o600, "{name}");
    }
    let made = all();
    assert_eq!(open(&root).unwrap().password(), files.password());
    assert_eq!(all(), made, "and then they stay");
    let left = files.checked.certificate.expires.duration_since(Timestamp::now());
    assert!(left <= keys_own::LASTS && left > keys_own::LASTS - days(2), "{left}");
    assert_eq!(fs::read_dir(&keys).unwrap().count(), MADE.len() + 1, "these, and the lock");
}

// covers: keys.names
#[test]
fn the_names_of_the_node_are_in_the_certificate() {
    let root = root();
    let hosts = ["10.0.0.1", "0.0.0.0", "FE80::0:1", "::ffff:10.0.0.9", "Node.Example."];
    let wanted = Wanted { hosts: hosts.map(String::from).into(), ..wanted(&root) };
    let names = ClusterFiles::open(wanted).unwrap().checked.certificate.names;
    for name in [
        "localhost",
        "127.0.0.1",
        "::1",
        "node1",
        "10.0.0.1",
        "fe80::1",
        "10.0.0.9",
        "node.example",
    ] {
        assert!(names.iter().any(|there| there == name), "{name}: {names:?}");
    }
    assert!(!names.iter().any(|name| name == "0.0.0.0"), "{names:?}");
}

#[test]
fn names_that_cannot_be_are_refused() {
    let root = root();
    for name in ["", "a b", "a.b", "a,b", "*", "a>", "a/b", "a\u{7}", &"x".repeat(65)] {
        let error = ClusterFiles::open(Wanted::new(root.path(), name)).unwrap_err();
        assert!(matches!(error, Error::NodeName(_)), "{name:?}: {error}");
        assert!(!error.to_string().contains('\u{7}'));
    }
    for host in ["", "a b", "10.0.0.300:1", "https://a", "ä\u{1b}"] {
        let wanted = Wanted { hosts: vec![host.into()], ..wanted(&root) };
        let error = ClusterFiles::open(wanted).unwrap_err();
        assert!(matches!(error, Error::Host(_)), "{host:?}: {error}");
    }
    assert!(!root.path().join("keys").exists(), "before anything was made");
}

/// A name that is no host name, for a node of Harper's may have one.
#[test]
fn a_node_may_be_called_what_no_host_could() {
    let root = root();
    let files = ClusterFiles::open(Wanted::new(root.path(), "Knöten 1".replace(' ', "_"))).unwrap();
    assert_eq!(files.checked.certificate.common_name, "Knöten_1");
}

// covers: keys.renewed
#[test]
fn a_certificate_that_will_not_do_is_made_anew_from_the_same_key() {
    let root = root();
    let first = open(&root).unwrap();
    let rest = [PASSWORD, AUTHORITY_KEY, AUTHORITY, KEY].map(|name| read(&root, name));
    let mut last = first.checked.fingerprint;
    let mut is_made_anew = |why: &str, wanted: Wanted| {
        let files = ClusterFiles::open(wanted.clone()).unwrap();
        assert_ne!(files.checked.fingerprint, last, "{why}");
        last = ClusterFiles::open(wanted).unwrap().checked.fingerprint;
        assert_eq!(last, files.checked.fingerprint, "{why}: and then it stays");
        assert_eq!([PASSWORD, AUTHORITY_KEY, AUTHORITY, KEY].map(|name| read(&root, name)), rest);
        files.checked.certificate
    };
    write_certificate(&root, days(-2));
    is_made_anew("expired", wanted(&root));
    write_certificate(&root, days(29));
    is_made_anew("it expires soon", wanted(&root));
    write(&root, CERTIFICATE, "x");
    is_made_anew("broken", wanted(&root));
    remove(&root, CERTIFICATE);
    is_made_anew("gone", wanted(&root));
    let other = super::root();
    open(&other).unwrap();
    write(&root, CERTIFICATE, read(&other, CERTIFICATE).unwrap());
    is_made_anew("of another authority and key", wanted(&root));
    let more = Wanted { hosts: vec!["10.0.0.1".into()], ..wanted(&root) };
    is_made_anew("it lacks a name", more);
    let renamed = Wanted::new(root.path(), "node9");
    let certificate = is_made_anew("another node", renamed);
    assert!(certificate.names.iter().any(|name| name == "10.0.0.1"), "names stay: {certificate:?}");
    write_certificate(&root, days(32));
    let kept = read(&root, CERTIFICATE);
    open(&root).unwrap();
    assert_eq!(read(&root, CERTIFICATE), kept, "one that will do stays");
}

/// Puts another certificate of node1's into the folder.
pub(super) fn write_certificate(root: &TempDir, lasts: SignedDuration) {
    write_certificate_with(root, lasts, &[]);
}

/// The same, with more names.
pub(super) fn write_certificate_with(root: &TempDir, lasts: SignedDuration, hosts: &[String]) {
    let folder = Folder::of(root.path()).lock().unwrap();
    let authority = keys_own::Authority::load_or_make(&folder).unwrap();
    let node_key = keys_own::read_key(&folder, KEY, "").unwrap().unwrap();
    let names = keys_own::names("node1", hosts);
    let key = authority.key.as_ref().unwrap();
    let pem = keys_own::issue(&authority, key, &node_key, "node1", names, lasts).unwrap();
    folder.write(CERTIFICATE, pem.as_bytes()).unwrap();
}

/// Whatever a start that was killed has left.
// covers: keys.killed
#[test]
fn a_start_goes_on_from_wherever_another_was_killed() {
    let whole = root();
    let files = open(&whole).unwrap();
    for there in 0..MADE.len() {
        let root = root();
        fs::create_dir(root.path().join("keys")).unwrap();
        for name in &MADE[..there] {
            write(&root, name, read(&whole, name).unwrap());
        }
        write(&root, ".cluster.new-aB3xYz", "half a secr");
        let healed = open(&root).unwrap();
        for name in &MADE[..there] {
            assert_eq!(read(&root, name), read(&whole, name), "{name} after {there}");
        }
        assert_eq!(healed.password() == files.password(), there > 0);
        assert_eq!(read(&root, ".cluster.new-aB3xYz"), None, "left-overs go");
    }
}

// covers: keys.lost
#[test]
fn what_others_rely_upon_is_not_made_twice() {
    let refused = |lost: &[&str], expected: &str| {
        let root = root();
        open(&root).unwrap();
        lost.iter().for_each(|name| remove(&root, name));
        let before = MADE.map(|name| read(&root, name));
        let error = open(&root).unwrap_err().to_string();
        assert!(error.contains(expected), "{lost:?}: {error}");
        assert_eq!(MADE.map(|name| read(&root, name)), before, "nothing is written");
    };
    let missing = |name: &str| format!("keys/{name} is missing, and ");
    refused(&[PASSWORD], &missing(PASSWORD));
    refused(&[AUTHORITY_KEY, AUTHORITY], &missing(AUTHORITY));
    refused(&[AUTHORITY_KEY, KEY], &missing(KEY));
    refused(&[AUTHORITY_KEY, CERTIFICATE], &missing(CERTIFICATE));

    // From the authority's key all else can be made, and others go on to trust it.
    let root = root();
    open(&root).unwrap();
    let others = bundle_for(&root, "node2");
    [AUTHORITY, KEY, CERTIFICATE].iter().for_each(|name| remove(&root, name));
    open(&root).unwrap();
    let second = super::root();
    import(second.path(), &others, false).unwrap();
    write(&second, AUTHORITY, read(&root, AUTHORITY).unwrap());
    ClusterFiles::open(Wanted::new(second.path(), "node2")).unwrap();
}

#[test]
fn a_key_that_is_broken_is_not_replaced() {
    for name in [AUTHORITY_KEY, KEY] {
        let root = root();
        open(&root).unwrap();
        write(&root, name, "mine");
        let error = open(&root).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("holds no private key in PEM"), "{error}");
        assert_eq!(read(&root, name).unwrap(), b"mine");
    }
    let (one, other) = (root(), root());
    open(&one).unwrap();
    open(&other).unwrap();
    write(&one, AUTHORITY_KEY, read(&other, AUTHORITY_KEY).unwrap());
    let error = open(&one).unwrap_err();
    assert!(matches!(error, Error::ForeignKey { .. }), "{error}");
}

// covers: keys.closed-again
#[test]
fn secrets_that_were_opened_to_others_are_closed_again() {
    let root = root();
    open(&root).unwrap();
    let keys = root.path().join("keys");
    let to = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    to(&keys, 0o755);
    for name in [AUTHORITY_KEY, KEY, PASSWORD] {
        to(&keys.join(name), 0o644);
    }
    open(&root).unwrap();
    assert_eq!(mode(&keys), 0o700);
    for name in [AUTHORITY_KEY, KEY, PASSWORD] {
        assert_eq!(mode(&keys.join(name)), 0o600, "{name}");
    }
}

/// Nothing of it hangs, or is followed elsewhere.
#[test]
fn odd_files_are_refused() {
    let root = root();
    fs::write(root.path().join("keys"), "a file").unwrap();
    let error = open(&root).unwrap_err();
    assert!(matches!(error, Error::Write { .. }), "{error}");
    fs::remove_file(root.path().join("keys")).unwrap();
    open(&root).unwrap();
    let keys = root.path().join("keys");
    for name in [PASSWORD, AUTHORITY_KEY, KEY, AUTHORITY] {
        let before = read(&root, name).unwrap();
        for odd in ["folder", "pipe", "dangling link", "too long", "bytes"] {
            remove(&root, name);
            let file = keys.join(name);
            match odd {
                "folder" => fs::create_dir(&file).unwrap(),
                "pipe" => {
                    let pipe = rustix::fs::FileType::Fifo;
                    let mode = rustix::fs::Mode::RUSR;
                    rustix::fs::mknodat(rustix::fs::CWD, &file, pipe, mode, 0).unwrap();
                }
                "dangling link" => std::os::unix::fs::symlink("/nonexistent/x", &file).unwrap(),
                "too long" => fs::write(&file, vec![b'a'; 2 << 20]).unwrap(),
                _ => fs::write(&file, [0xff, 0, b'\n', 0x80]).unwrap(),
            }
            let error = open(&root).unwrap_err().to_string();
            assert!(error.contains(name), "{name}, {odd}: {error}");
            if odd == "folder" {
                fs::remove_dir(&file).unwrap()
            } else {
                remove(&root, name)
            }
            write(&root, name, &before);
        }
    }
    fs::remove_file(keys.join("cluster.lock")).unwrap();
    std::os::unix::fs::symlink(root.path().join("elsewhere"), keys.join("cluster.lock")).unwrap();
    let error = open(&root).unwrap_err();
    assert!(matches!(error, Error::Write { .. }), "{error}");
    assert!(!root.path().join("elsewhere").exists());
}
