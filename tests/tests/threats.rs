//! Every claim in `THREATS.md` names a test that is there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

/// The last cell of each row of a table, but for headings.
fn tests(text: &str) -> Vec<&str> {
    let rows = text.lines().filter(|line| line.starts_with('|') && !line.starts_with("| --- |"));
    let cells = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    cells.map(str::trim).filter(|cell| *cell != "test").collect()
}

/// What is wrong with a claim's test, if anything is.
fn problem(root: &Path, test: &str) -> Option<String> {
    let parts = test.strip_prefix('`').and_then(|test| test.strip_suffix('`'));
    let Some((file, name)) = parts.and_then(|test| test.split_once(": ")) else {
        return Some(format!("{test}: it is no `file: function`"));
    };
    let Ok(text) = fs::read_to_string(root.join(file)) else {
        return Some(format!("{test}: there is no such file"));
    };
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let is_it = |line: &&str| {
        let signature = line.strip_prefix("async ").unwrap_or(line);
        signature.strip_prefix("fn ").is_some_and(|rest| rest.starts_with(&format!("{name}(")))
    };
    let Some(at) = lines.iter().position(is_it) else {
        return Some(format!("{test}: there is no such function"));
    };
    let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    let above = &lines[at.saturating_sub(3)..at];
    (!above.iter().any(is_test)).then(|| format!("{test}: it is no test"))
}

#[test]
fn every_claim_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("THREATS.md")).unwrap();
    let tests = tests(&text);
    assert!(tests.len() > 30, "{}", tests.len());
    let problems: Vec<_> = tests.into_iter().filter_map(|test| problem(root, test)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_claim_without_a_test_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let rows = "| claim | test |\n| --- | --- |\n| a | `x.rs: y` |\n| b | none |\n| c | `tests/tests/threats.rs: tests` |\n| d | `tests/tests/threats.rs: nowhere` |\n| e | `tests/tests/threats.rs: every_claim_has_its_test` |\n";
    let found: Vec<_> = tests(rows).iter().map(|test| problem(root, test).is_some()).collect();
    assert_eq!(found, [true, true, true, true, false]);
}
