//! The file of a node's first start: every key with its default, and a comment on each.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::replace::remove_left_overs;
use super::settings::SETTINGS;

/// How its name begins until it is whole. Not as that of a later version: who writes one may be at
/// work.
const NEW: &str = ".harperdb-config.yaml.first-";

/// Writes the first configuration file, readable by this user alone, unless there is a file
/// already. Returns whether it did.
pub fn create_if_missing(path: &Path) -> io::Result<bool> {
    let folder = path.parent().unwrap_or(Path::new("."));
    if fs::symlink_metadata(path).is_ok() {
        // Nobody else needs one now.
        remove_left_overs(folder, NEW);
        return Ok(false);
    }
    let mut file = tempfile::Builder::new().prefix(NEW).tempfile_in(folder)?;
    file.write_all(first_file().as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(true),
        // Another start was first. It may have removed this file.
        Err(_) if fs::symlink_metadata(path).is_ok() => Ok(false),
        Err(error) => Err(error.error),
    }
}

fn first_file() -> String {
    let mut text = String::from(
        "# Configuration of this node. A change here is seen at the next start, one of routes at once.\n",
    );
    let mut before: Vec<&str> = Vec::new();
    for setting in SETTINGS {
        let keys: Vec<_> = setting.path.split('.').collect();
        let shared = keys.iter().zip(&before).take_while(|(one, other)| one == other).count();
        for (depth, key) in keys.iter().enumerate().skip(shared) {
            let indent = "  ".repeat(depth);
            if depth == 0 {
                text.push('\n');
            }
            if depth + 1 == keys.len() {
                text.push_str(&format!(
                    "{indent}# {}\n{indent}{key}: {}\n",
                    setting.meaning, setting.default
                ));
            } else {
                text.push_str(&format!("{indent}{key}:\n"));
            }
        }
        before = keys;
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::config::{Settings, edit::Document};

    // covers: cli.run.first-file
    #[test]
    fn the_first_file_says_what_no_file_says() {
        let document = Document::read(first_file()).unwrap().json().clone();
        assert_eq!(Settings::read(&document), Settings::read(&Value::Null));
        for setting in SETTINGS {
            let value = setting.path.split('.').try_fold(&document, |value, key| value.get(key));
            assert!(value.is_some(), "{} is in the file", setting.path);
            let key = setting.path.rsplit('.').next().unwrap();
            let lines = format!("# {}\n{key}: {}\n", setting.meaning, setting.default);
            let text = first_file()
                .lines()
                .map(|line| format!("{}\n", line.trim_start()))
                .collect::<String>();
            assert!(text.contains(&lines), "{} has a comment", setting.path);
        }
    }

    #[test]
    fn a_file_that_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("harperdb-config.yaml");
        // What a start that was killed has left.
        fs::write(folder.path().join(".harperdb-config.yaml.first-x"), "half of it").unwrap();
        assert!(create_if_missing(&path).unwrap());
        fs::write(&path, "mine: true\n").unwrap();
        assert!(!create_if_missing(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine: true\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
