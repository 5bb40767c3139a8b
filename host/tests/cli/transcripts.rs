//! `transcripts/*.md`: what is typed at a shell, and what comes of it. Each has a node of its own.
//!
//! Only blocks marked `console` count. A line `$ …` is typed, lines `> …` go on with it; what
//! follows is printed, and `# exit code 2` comes last when it is not 0. The shell has the variables
//! `ROOTPATH` (the node's folder, so commands reach it by its socket), `URL`, `PASSWORD` (of the
//! user `admin`), `NOWHERE` (an empty folder), `COMPONENTS` (a folder with components: see
//! `components.rs`) and `REPOSITORY`; where their values are printed their names stand. They run in a
//! folder of their own, and the node records calls in `calls.jsonl` there.
//! `<milliseconds>`, `<sha256>`, `<bytes>` and `<day>` stand for what differs from run to run.
//!
//! `GOLDEN=write cargo test --workspace --test cli` writes what came, and always fails.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::components;
use crate::node::{Node, PASSWORD, shell};

// covers: cli.help.list, cli.help.operation, cli.unknown-operation
#[test]
fn help() {
    play("host/tests/cli/transcripts/help.md");
}

// covers: cli.call, cli.yaml, cli.json, cli.failed, cli.rootpath
#[test]
fn routes() {
    play("host/tests/cli/transcripts/routes.md");
}

// covers: cli.exit-2
#[test]
fn mistakes() {
    play("host/tests/cli/transcripts/mistakes.md");
}

// covers: cli.target, cli.login.stdin, cli.login.url, cli.plaintext-refused
#[test]
fn another_node() {
    play("host/tests/cli/transcripts/another-node.md");
}

// covers: cli.no-node
#[test]
fn no_node() {
    play("host/tests/cli/transcripts/no-node.md");
}

// covers: cli.destructive.refused, cli.destructive.force
#[test]
fn destructive() {
    play("host/tests/cli/transcripts/destructive.md");
}

// covers: cli.cert
#[test]
fn cert() {
    play("host/tests/cli/transcripts/cert.md");
}

// covers: cli.plugin
#[test]
fn plugins() {
    play("host/tests/cli/transcripts/plugins.md");
}

// covers: cli.plugin, docs.writing-a-plugin
#[test]
fn writing_a_plugin() {
    play("docs/writing-a-plugin.md");
}

#[test]
fn replication() {
    play("host/tests/cli/transcripts/replication.md");
}

#[test]
fn users() {
    play("host/tests/cli/transcripts/users.md");
}

// covers: cli.tables
#[test]
fn tables() {
    play("host/tests/cli/transcripts/tables.md");
}

#[test]
fn the_readme() {
    play("README.md");
}

fn play(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(name);
    let expected = fs::read_to_string(&file).unwrap();
    let work = tempfile::tempdir().unwrap();
    let session = Session {
        node: Node::start_recording(&work.path().join("calls.jsonl")),
        nowhere: tempfile::tempdir().unwrap(),
        components: components::folder(),
        work,
    };
    let came = session.replay(&expected);
    if std::env::var_os("GOLDEN").is_some_and(|mode| mode == "write") {
        fs::write(file, came).unwrap();
        panic!("{name} was written: look at the difference");
    }
    for (number, (expected, came)) in expected.lines().zip(came.lines()).enumerate() {
        assert_eq!(came, expected, "{name}, line {}", number + 1);
    }
    assert_eq!(came, expected, "{name}");
}

struct Session {
    node: Node,
    nowhere: tempfile::TempDir,
    components: tempfile::TempDir,
    work: tempfile::TempDir,
}

impl Session {
    /// The transcript with what really comes of its commands.
    fn replay(&self, transcript: &str) -> String {
        let (mut came, mut lines) = (String::new(), transcript.lines().peekable());
        while let Some(line) = lines.next() {
            came += &format!("{line}\n");
            if line != "```console" {
                continue;
            }
            while let Some(typed) = lines.next() {
                came += &format!("{typed}\n");
                let Some(first) = typed.strip_prefix("$ ") else {
                    assert_eq!(typed, "```", "a block begins with a command, or ends");
                    break;
                };
                let mut command = first.to_owned();
                while let Some(more) = lines.next_if(|line| line.starts_with("> ")) {
                    came += &format!("{more}\n");
                    command += &format!("\n{}", &more[2..]);
                }
                while lines.next_if(|line| !line.starts_with("$ ") && *line != "```").is_some() {}
                came += &self.printed(&command);
            }
        }
        came
    }

    fn printed(&self, command: &str) -> String {
        let Output { status, stdout, stderr } = shell(command)
            .env("ROOTPATH", self.node.root())
            .env("NOWHERE", self.nowhere.path())
            .env("COMPONENTS", self.components.path())
            .env("REPOSITORY", components::repository())
            .current_dir(self.work.path())
            .env("URL", &self.node.url)
            .env("PASSWORD", PASSWORD)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (stdout, stderr) = (self.named(&stdout), self.named(&stderr));
        let code = status.code().unwrap();
        if code == 0 {
            let warning = |line: &str| line.starts_with("harper-host: warning: ");
            assert!(stderr.lines().all(warning), "{command}: {stderr}");
            return stderr + &stdout;
        }
        // These tell of each test or call; what else failed prints nothing on standard output.
        let tells = ["plugin test", "plugin inspect", "harper-host replay"];
        let may_print = tells.iter().any(|part| command.contains(part));
        assert!(may_print || stdout.is_empty(), "{command}: {stdout}");
        format!("{stdout}{stderr}# exit code {code}\n")
    }

    /// The output with names for what differs from run to run.
    fn named(&self, output: &[u8]) -> String {
        let text = str::from_utf8(output).unwrap();
        let text = text
            .replace(self.node.root().to_str().unwrap(), "$ROOTPATH")
            .replace(self.nowhere.path().to_str().unwrap(), "$NOWHERE")
            .replace(self.components.path().to_str().unwrap(), "$COMPONENTS")
            .replace(self.work.path().to_str().unwrap(), "$WORK")
            .replace(&self.node.url, "$URL");
        let is_time = |word: &str| word.len() == 13 && word.bytes().all(|b| b.is_ascii_digit());
        let hex = |pair: &str| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
        let is_sha256 = |word: &str| {
            word.len() == 95 && word.split(':').all(hex)
                || word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit())
        };
        let text = without_sizes(&text);
        let is_day = |word: &str| word.len() == 20 && word.ends_with("T00:00:00Z");
        let words = text.split_inclusive([' ', '\n', ',', ';', '"']).map(|word| {
            match word.trim_end_matches([' ', '\n', ',', ';', '"']) {
                time if is_time(time) => word.replace(time, "<milliseconds>"),
                sha256 if is_sha256(sha256) => word.replace(sha256, "<sha256>"),
                day if is_day(day) => word.replace(day, "<day>"),
                _ => word.to_owned(),
            }
        });
        words.collect()
    }
}

/// How large a component is depends on the toolchain that made it.
fn without_sizes(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| match line.strip_prefix("size     ") {
        Some(_) => "size     <bytes> bytes\n".to_owned(),
        None => line.to_owned(),
    });
    lines.collect()
}
