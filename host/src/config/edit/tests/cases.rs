//! Runs the table of cases in `cases/*.txt`. Their form:
//!
//! ```text
//! === what the case shows            (crlf) behind it turns all line ends of the case into CRLF
//! >>> in
//! routes:
//! - a
//! >>> set routes = ["b"]             several are applied in turn; a path may be a JSON list
//! >>> out                            or `>>> same`, or `>>> error` and the message
//! routes:
//! - b
//! ```
//! What cannot be seen is written as ‹TAB›, ‹SP›, ‹CR›, ‹LS›, ‹BOM›, and ‹EOF› for no final newline.

use super::{parse, set};
use serde_json::Value;

const FILES: [(&str, &str); 7] = [
    ("block", include_str!("cases/block.txt")),
    ("flow", include_str!("cases/flow.txt")),
    ("null", include_str!("cases/null.txt")),
    ("create", include_str!("cases/create.txt")),
    ("scalars", include_str!("cases/scalars.txt")),
    ("surroundings", include_str!("cases/surroundings.txt")),
    ("refused", include_str!("cases/refused.txt")),
];

#[test]
fn every_case_gives_what_it_says() {
    let mut failures = Vec::new();
    let mut count = 0;
    for (file, text) in FILES {
        for case in text.split("\n=== ").skip(1) {
            count += 1;
            if let Err(failure) = run(case) {
                failures.push(format!(
                    "{file}: {}\n{failure}",
                    case.lines().next().unwrap_or_default()
                ));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {count} failed\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
    assert!(count >= 130, "only {count} cases were found");
}

/// The first change of each case: text, path and value.
pub fn changes() -> impl Iterator<Item = (String, Vec<String>, Value)> {
    FILES.iter().flat_map(|(_, text)| text.split("\n=== ").skip(1)).filter_map(|case| {
        let (name, sections) = sections(case);
        let input = sections.iter().find(|(head, _)| *head == "in")?.1.clone();
        let change = sections.iter().find_map(|(head, _)| head.strip_prefix("set "))?;
        let (path, value) = read_change(change).unwrap_or_else(|e| panic!("{name}: {e}"));
        Some((input, path, value))
    })
}

/// A case's name and its sections: what stands behind `>>>`, and the text below it.
fn sections(case: &str) -> (&str, Vec<(&str, String)>) {
    let (name, body) = case.split_once('\n').unwrap_or((case, ""));
    let unescape = |text: &str| {
        let text = text.replace("‹EOF›\n", "").replace("‹TAB›", "\t").replace("‹SP›", " ");
        let text = if name.ends_with("(crlf)") { text.replace('\n', "\r\n") } else { text };
        text.replace("‹CR›", "\r").replace("‹LS›", "\u{2028}").replace("‹BOM›", "\u{feff}")
    };
    let body = body.strip_suffix('\n').unwrap_or(body);
    let sections = body.strip_prefix(">>> ").unwrap_or(body).split("\n>>> ");
    let sections = sections.map(|section| match section.split_once('\n') {
        Some((head, text)) => (head, unescape(&format!("{text}\n"))),
        None => (section, String::new()),
    });
    (name, sections.collect())
}

/// A change in the form `path = value`.
fn read_change(change: &str) -> Result<(Vec<String>, Value), String> {
    let (path, value) = change.split_once(" = ").ok_or("there is no ' = ' in the change")?;
    let path = match path.starts_with('[') {
        true => serde_json::from_str(path).map_err(|e| e.to_string())?,
        false => path.split('.').map(str::to_owned).collect(),
    };
    Ok((path, serde_json::from_str(value).map_err(|e| e.to_string())?))
}

fn run(case: &str) -> Result<(), String> {
    let mut input = String::new();
    let mut result = Ok(String::new());
    let mut expected = None;
    for (head, text) in sections(case).1 {
        if let Some(change) = head.strip_prefix("set ") {
            let (path, value) = read_change(change)?;
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            result =
                result.and_then(|text| set(&text, &path, &value).map_err(|e| format!("{e}\n")));
            if let Ok(once) = &result {
                let twice = set(once, &path, &value).map_err(|e| e.to_string())?;
                (twice == *once).then_some(()).ok_or(format!("setting again gave:\n{twice}"))?;
            }
            continue;
        }
        match head {
            "in" => (input, result) = (text.clone(), Ok(text)),
            "parse" => {
                result = parse(&input).map(|v| format!("{v}\n")).map_err(|e| format!("{e}\n"))
            }
            "out" => expected = Some(Ok(text)),
            "same" => expected = Some(Ok(input.clone())),
            "error" => expected = Some(Err(text)),
            other => return Err(format!("unknown section '{other}'")),
        }
    }
    match expected {
        Some(expected) if expected == result => Ok(()),
        expected => Err(format!("expected: {expected:#?}\n     got: {result:#?}")),
    }
}
