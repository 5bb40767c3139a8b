//! Every rule in `golden/rules.yaml` is shown by a case or by a Rust test, and nobody shows a rule
//! that is not there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use harper_tests::golden::{self, Rules};

/// An id, and who says that they show it: a case's name, or a file's path.
type Claims = Vec<(String, String)>;

#[test]
fn every_rule_is_shown() {
    let (cases, mut wrong) = golden::cases().unwrap();
    let claim = |case: &golden::Case| {
        let name = case.name.clone();
        case.settings.covers.clone().into_iter().map(move |id| (id, name.clone()))
    };
    let cases = cases.iter().flat_map(claim).collect();
    wrong.extend(problems(&Rules::read().unwrap(), &cases, &comments()));
    assert!(wrong.is_empty(), "{}\n{} wrong", wrong.join("\n"), wrong.len());
}

/// The comments `// covers: <id>, <id>` in the workspace's Rust files.
fn comments() -> Claims {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut folders: Vec<_> = ["plugin", "host", "tests"].map(|folder| root.join(folder)).into();
    let mut claims = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in golden::entries(&folder).unwrap() {
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                let text = fs::read_to_string(&path).unwrap();
                let lists = text.lines().filter_map(|line| line.trim().strip_prefix("// covers:"));
                let ids = lists.flat_map(|list| list.split(','));
                claims.extend(ids.map(|id| (id.trim().to_owned(), name.to_owned())));
            }
        }
    }
    claims
}

fn problems(rules: &Rules, cases: &Claims, comments: &Claims) -> Vec<String> {
    let mut problems = Vec::new();
    let below = |groups: &golden::Pairs<golden::Pairs<String>>| -> Claims {
        let each = |(group, ids): &(String, golden::Pairs<String>)| {
            ids.0.iter().map(|(id, _)| (id.clone(), group.clone())).collect::<Vec<_>>()
        };
        groups.0.iter().flat_map(each).collect()
    };
    let (by_tests, later) = (below(&rules.tests), below(&rules.later));
    let by_cases: Vec<_> = rules.cases.0.iter().map(|(id, _)| id).collect();

    let mut seen = BTreeSet::new();
    let built = by_cases.iter().copied().chain(by_tests.iter().map(|(id, _)| id));
    for id in built.clone().chain(later.iter().map(|(id, _)| id)) {
        if !seen.insert(id) {
            problems.push(format!("{id}: stands twice in rules.yaml"));
        }
    }

    let built: BTreeSet<_> = built.collect();
    let later: BTreeMap<_, _> = later.iter().map(|(id, issue)| (id, issue)).collect();
    for (id, who) in cases.iter().chain(comments) {
        if let Some(issue) = later.get(id) {
            problems.push(format!("{id}: {who} shows it, and rules.yaml has it below {issue}"));
        } else if !built.contains(id) {
            problems.push(format!("{id}: {who} shows it, and rules.yaml does not have it"));
        }
    }

    let shown: BTreeSet<_> = cases.iter().map(|(id, _)| id).collect();
    for id in by_cases.into_iter().filter(|id| !shown.contains(id)) {
        problems.push(format!("{id}: no case shows it"));
    }
    let has =
        |id, place| comments.iter().any(|(i, file)| i == id && Path::new(file).starts_with(place));
    for (id, place) in by_tests.iter().filter(|(id, place)| !has(id, place)) {
        problems.push(format!("{id}: {place} has no test with the comment `// covers: {id}`"));
    }
    problems
}

#[test]
fn each_problem_is_named() {
    let rules = "
cases:
  a.shown: x
  a.forgotten: x
  a.twice: x
  a.twice: x
tests:
  tests/t.rs:
    t.shown: x
    t.elsewhere: x
    a.shown: x
  tests/folder:
    f.shown: x
    f.forgotten: x
later:
  issue 3:
    l.early: x
";
    let rules = serde_yaml::from_str(rules).unwrap();
    let claims = |claims: &[(&str, &str)]| -> Claims {
        claims.iter().map(|(id, who)| ((*id).to_owned(), (*who).to_owned())).collect()
    };
    let cases =
        claims(&[("a.shown", "o/c"), ("a.twice", "o/c"), ("a.unknown", "o/c"), ("l.early", "o/d")]);
    let comments = claims(&[
        ("t.shown", "tests/t.rs"),
        ("t.elsewhere", "tests/u.rs"),
        ("a.shown", "tests/t.rs"),
        ("t.unknown", "tests/u.rs"),
        ("f.shown", "tests/folder/f.rs"),
    ]);
    let expected = [
        "a.twice: stands twice in rules.yaml",
        "a.shown: stands twice in rules.yaml",
        "a.unknown: o/c shows it, and rules.yaml does not have it",
        "l.early: o/d shows it, and rules.yaml has it below issue 3",
        "t.unknown: tests/u.rs shows it, and rules.yaml does not have it",
        "a.forgotten: no case shows it",
        "t.elsewhere: tests/t.rs has no test with the comment `// covers: t.elsewhere`",
        "f.forgotten: tests/folder has no test with the comment `// covers: f.forgotten`",
    ];
    assert_eq!(problems(&rules, &cases, &comments), expected);
}
