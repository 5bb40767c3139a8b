//! Where the cluster's password comes from, and where it never goes.

use super::*;

const GIVEN: &str = "the operator's w0rd";

fn with(root: &TempDir, password: GivenPassword) -> Result<ClusterFiles, Error> {
    ClusterFiles::open(Wanted { password, ..wanted(root) })
}

fn text(text: &str) -> GivenPassword {
    GivenPassword::Text(Zeroizing::new(text.to_owned()))
}

// covers: keys.password.made
#[test]
fn it_is_made_at_the_first_start_and_kept() {
    let (one, other) = (root(), root());
    let files = open(&one).unwrap();
    let kept = String::from_utf8(read(&one, PASSWORD).unwrap()).unwrap();
    assert_eq!(kept, format!("{}\n", files.password().as_str()));
    assert!(files.password().len() >= 43, "256 bits");
    assert_ne!(open(&other).unwrap().password(), files.password());
}

// covers: keys.password.given
#[test]
fn the_environment_wins_at_each_start_and_is_not_kept() {
    let root = root();
    assert_eq!(with(&root, text(GIVEN)).unwrap().password().as_str(), GIVEN);
    assert_eq!(read(&root, PASSWORD), None);
    let error = open(&root).unwrap_err().to_string();
    assert!(error.contains("set CLUSTERING_PASSWORD or CLUSTERING_PASSWORD_FILE"), "{error}");
    let file = root.path().join("secret");
    for (bytes, password) in
        [("abc", "abc"), ("abc\n", "abc"), ("abc\r\n", "abc"), (" a b ", " a b "), ("ü\n", "ü")]
    {
        fs::write(&file, bytes).unwrap();
        let files = with(&root, GivenPassword::File(file.clone())).unwrap();
        assert_eq!(files.password().as_str(), password);
    }
    let root = super::root();
    let kept = open(&root).unwrap();
    assert_eq!(with(&root, text(GIVEN)).unwrap().password().as_str(), GIVEN);
    assert_eq!(open(&root).unwrap().password(), kept.password(), "and the one that is kept stays");
}

// covers: keys.password.refused
#[test]
fn one_that_cannot_be_used_is_refused_and_not_repeated() {
    let root = root();
    let long = "secret".repeat(100);
    for password in ["", "sec\nret", "sec\0ret", "$2a$11$secret", &long] {
        let error = with(&root, text(password)).unwrap_err().to_string();
        let begin = "CLUSTERING_PASSWORD: the cluster's password ";
        assert!(error.starts_with(begin) && !error.contains("secret"), "{error}");
    }
    let file = root.path().join("secret-file");
    for bytes in [&b""[..], b"\n", b"sec\nret\n", b"sec\xffret"] {
        fs::write(&file, bytes).unwrap();
        let error = with(&root, GivenPassword::File(file.clone())).unwrap_err().to_string();
        assert!(error.starts_with("CLUSTERING_PASSWORD_FILE: the cluster's password "), "{error}");
    }
    fs::remove_file(&file).unwrap();
    let error = with(&root, GivenPassword::File(file.clone())).unwrap_err().to_string();
    let begin = format!("CLUSTERING_PASSWORD_FILE: {} cannot be read", file.display());
    assert!(error.starts_with(&begin), "{error}");
    open(&root).unwrap();
    write(&root, PASSWORD, "");
    let error = open(&root).unwrap_err().to_string();
    assert_eq!(error, "keys/cluster-password: the cluster's password is empty");
}

// covers: keys.password.hidden
#[test]
fn it_is_not_shown() {
    let root = root();
    let wanted = Wanted { password: text(GIVEN), ..wanted(&root) };
    let shown = format!("{wanted:?}");
    let files = ClusterFiles::open(wanted).unwrap();
    let shown = format!("{shown}{files:?}");
    assert!(!shown.contains(GIVEN), "{shown}");
}
