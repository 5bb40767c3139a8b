//! Which certificate is used, at the start and later.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use jiff::civil::Date;
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;
use self_made::{CERTIFICATE, KEY, LASTS, load_or_make};
use tokio_rustls::rustls::{
    client::verify_server_name, pki_types::ServerName, server::ParsedCertificate,
};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Writes a certificate for `key`, for 127.0.0.1 and until so many days from now.
fn write(path: &Path, key: &KeyPair, days: i64) {
    let mut certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let end: Date = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let end = end + SignedDuration::from_hours(24 * days);
    let (month, day) = (end.month().unsigned_abs(), end.day().unsigned_abs());
    certificate.not_after = rcgen::date_time_ymd(end.year().into(), month, day);
    fs::write(path, certificate.self_signed(key).unwrap().pem()).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_certificate_is_made_once_and_for_its_owner_alone() {
    let root = tempfile::tempdir().unwrap();
    let keys = root.path().join("keys");
    let made = load_or_make(&keys, HERE).unwrap();
    let left = made.expires.unwrap().duration_since(Timestamp::now());
    assert!(left <= LASTS && left > LASTS - SignedDuration::from_hours(48), "{left}");
    assert_eq!((mode(&keys), mode(&keys.join(KEY))), (0o700, 0o600));
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(keys.join(KEY), fs::Permissions::from_mode(0o644)).unwrap();
    // As a start that was killed leaves it.
    fs::write(keys.join(".self-signed.new-x"), "half of it").unwrap();
    let again = load_or_make(&keys, HERE).unwrap();
    assert_eq!(again.fingerprint, made.fingerprint);
    assert_eq!((mode(&keys), mode(&keys.join(KEY))), (0o700, 0o600), "closed again");
    assert_eq!(fs::read_dir(&keys).unwrap().count(), 2);
}

#[test]
fn the_names_of_the_node_are_in_it() {
    let root = tempfile::tempdir().unwrap();
    let host = "192.0.2.7".parse().unwrap();
    let made = load_or_make(root.path(), host).unwrap();
    let certificate = ParsedCertificate::try_from(&made.key.cert[0]).unwrap();
    let fits = |name: &str| {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verify_server_name(&certificate, &name).is_ok()
    };
    for name in ["localhost", "127.0.0.1", "::1", "192.0.2.7"] {
        assert!(fits(name), "{name}");
    }
    if let Ok(machine) = hostname::get().unwrap().into_string()
        && ServerName::try_from(machine.clone()).is_ok()
    {
        assert!(fits(&machine), "{machine}");
    }
    assert!(!fits("example.org") && !fits("192.0.2.8"));
}

/// Each time from the same key.
#[test]
fn a_certificate_that_will_not_do_is_made_anew() {
    let root = tempfile::tempdir().unwrap();
    let (key_file, file) = (root.path().join(KEY), root.path().join(CERTIFICATE));
    let first = load_or_make(root.path(), HERE).unwrap();
    let key = fs::read_to_string(&key_file).unwrap();
    let mut last = first.fingerprint;
    let mut is_made_anew = |why: &str, host: IpAddr| {
        let before = fs::read(&file).ok();
        let loaded = load_or_make(root.path(), host).unwrap();
        assert_ne!(loaded.fingerprint, last, "{why}");
        assert_ne!(fs::read(&file).ok(), before, "{why}");
        assert_eq!(fs::read_to_string(&key_file).unwrap(), key, "{why}");
        last = load_or_make(root.path(), host).unwrap().fingerprint;
        assert_eq!(last, loaded.fingerprint, "and then it stays");
    };
    let pair = KeyPair::from_pem(&key).unwrap();
    write(&file, &pair, -1);
    is_made_anew("expired", HERE);
    write(&file, &pair, 30);
    is_made_anew("it expires soon", HERE);
    write(&file, &KeyPair::generate().unwrap(), 100);
    is_made_anew("of another key", HERE);
    fs::write(&file, "x").unwrap();
    is_made_anew("broken", HERE);
    fs::remove_file(&file).unwrap();
    is_made_anew("gone", HERE);
    is_made_anew("of another address", "192.0.2.7".parse().unwrap());
    write(&file, &pair, 32);
    let kept = fs::read(&file).unwrap();
    load_or_make(root.path(), HERE).unwrap();
    load_or_make(root.path(), "0.0.0.0".parse().unwrap()).unwrap();
    assert_eq!(fs::read(&file).unwrap(), kept, "one that will do stays");
}

#[test]
fn a_key_of_its_own_that_is_broken_is_not_replaced() {
    let root = tempfile::tempdir().unwrap();
    load_or_make(root.path(), HERE).unwrap();
    let key = root.path().join(KEY);
    fs::write(&key, "mine").unwrap();
    let error = load_or_make(root.path(), HERE).unwrap_err().to_string();
    let begin = format!("the node's own TLS key: {} holds no private key", key.display());
    assert!(error.starts_with(&begin), "{error}");
    assert_eq!(fs::read(&key).unwrap(), b"mine");
}

/// A certificate and a key of the operator, and TLS with them.
async fn given() -> (TempDir, PathBuf, PathBuf, Tls) {
    let root = tempfile::tempdir().unwrap();
    let (certificate, private_key) = (root.path().join("c.pem"), root.path().join("k.pem"));
    let key = KeyPair::generate().unwrap();
    write(&certificate, &key, 100);
    fs::write(&private_key, key.serialize_pem()).unwrap();
    let config = Config {
        certificate: Some(certificate.clone()),
        private_key: Some(private_key.clone()),
        ..Config::default()
    };
    let tls = Tls::open(&config).await.unwrap();
    (root, certificate, private_key, tls)
}

// covers: http.tls.renewed
#[tokio::test]
async fn a_file_that_was_renewed_is_used_and_a_broken_one_is_not() {
    let (_root, certificate, private_key, tls) = given().await;
    let first = tls.current.get();
    tls.refresh().await;
    assert!(Arc::ptr_eq(&tls.current.get(), &first), "nothing changed");
    let key = KeyPair::generate().unwrap();
    write(&certificate, &key, 100);
    tls.refresh().await;
    assert!(Arc::ptr_eq(&tls.current.get(), &first), "half of the change is none");
    fs::write(&private_key, key.serialize_pem()).unwrap();
    tls.refresh().await;
    let second = tls.current.get();
    assert_ne!(second.cert, first.cert);
    fs::remove_file(&certificate).unwrap();
    tls.refresh().await;
    assert!(Arc::ptr_eq(&tls.current.get(), &second));
}

#[tokio::test(start_paused = true)]
async fn it_is_looked_at_again_and_again() {
    let (_root, certificate, private_key, tls) = given().await;
    for _ in 0..2 {
        let before = tls.current.get();
        let key = KeyPair::generate().unwrap();
        write(&certificate, &key, 100);
        fs::write(&private_key, key.serialize_pem()).unwrap();
        let changed = async {
            while Arc::ptr_eq(&tls.current.get(), &before) {
                tokio::time::sleep(LOOK / 10).await;
            }
        };
        tokio::select! {
            () = tls.keep_fresh() => unreachable!(),
            () = changed => {}
        }
    }
}
