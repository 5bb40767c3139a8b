//! The examples in the help, and what it says of each key.

use std::process::Stdio;

use serde_json::Value;

use crate::network::Fake;
use crate::node::{program, shell};

/// The operations that the program knows.
fn operations() -> Vec<harper_host::Operation> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(harper_host::describe()).unwrap()
}

fn help(operation: &str) -> String {
    let output = program().args([operation, "--help"]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

// covers: cli.help.example
#[test]
fn an_example_can_be_pasted_into_a_shell() {
    let operations = operations();
    assert!(operations.len() >= 10);
    for operation in operations {
        let example = &operation.schema["examples"][0];
        assert_eq!(example["operation"], operation.name, "{} has an example", operation.name);
        let help = help(&operation.name);
        let (_, rest) = help.split_once("\nExample:\n").unwrap();
        let (line, json) = rest.split_once("\n\n").unwrap();
        let (_, json) = json.split_once(":\n").unwrap();
        assert_eq!(serde_json::from_str::<Value>(json).unwrap(), *example);

        let node = Fake::replying("{}");
        let output = shell(&format!("{line} --force"))
            .env("CLI_TARGET", &node.url)
            .env("CLI_TARGET_USERNAME", "admin")
            .env("CLI_TARGET_PASSWORD", "s3cret")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        let request = node.request();
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!(serde_json::from_str::<Value>(body).unwrap(), *example, "{line}");
    }
}

#[test]
fn each_key_is_explained() {
    for operation in operations() {
        let help = help(&operation.name);
        let keys = help.split("\n\n").find(|part| part.starts_with("Keys:\n")).unwrap_or("");
        let lines: Vec<_> = keys.lines().skip(1).collect();
        for [key, meaning] in lines.as_chunks().0 {
            assert!(key.starts_with("  ") && meaning.starts_with("          "), "{keys}");
        }
        assert!(lines.len().is_multiple_of(2), "{keys}");
    }
}
