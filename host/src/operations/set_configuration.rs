//! `set_configuration`: changes keys of the configuration file, for the next start.

use std::sync::Arc;

use serde_json::{Value, json};

use super::get_configuration::effective;
use super::request::joined;
use crate::capabilities::{Change, Config, ConfigError, KeyPath, log::one_line};
use crate::config::{ConfigFile, Named, Settings, named};
use crate::dispatch::{Error, ErrorKind};
use crate::runtime::Operation;

/// Fields of a request that are no keys: clients send the second one with everything.
const NOT_KEYS: [&str; 2] = ["operation", "hdb_auth_header"];

/// Violations beyond this many are not told one by one.
const MOST_TOLD: usize = 100;

/// How often a write is tried again that another one has overtaken.
const ATTEMPTS: usize = 10;

pub(super) fn operation() -> Operation {
    Operation::new("set_configuration", "Change the configuration, for the next start")
        .with_schema(json!({
            "type": "object",
            "required": ["operation"],
            "properties": { "operation": { "const": "set_configuration" } },
            "additionalProperties": {
                "description": "A key with its dots as _, such as logging_level; null is its default, and for a port none",
            },
            "examples": [{ "operation": "set_configuration", "logging_level": "trace" }],
        }))
}

pub(super) async fn perform(
    file: ConfigFile,
    config: Arc<dyn Config>,
    request: Value,
) -> Result<Value, Error> {
    let changes = changes(&file, request)?;
    let mut document = effective(file).await?;
    put(&mut document, &changes);
    // Who finds a file that is wrong elsewhere may mend it bit by bit.
    if let Some(rule) = Settings::read(&document).ok().and_then(|after| after.contradiction()) {
        return Err(Error::new(ErrorKind::Invalid, rule));
    }
    for _ in 0..ATTEMPTS {
        let revision = config.get_to_change(Vec::new()).await?.0.revision;
        match config.set(revision, changes.clone()).await {
            Err(ConfigError::Conflict) => {}
            done => {
                done?;
                return Ok(json!({
                    "message": "Configuration successfully set. You must restart HarperDB for new \
                                config settings to take effect."
                }));
            }
        }
    }
    Err(ConfigError::Conflict.into())
}

/// What is to be written; all that is wrong with it is told at once.
fn changes(file: &ConfigFile, request: Value) -> Result<Vec<Change>, Error> {
    let mut violations = Vec::new();
    let mut changes: Vec<Change> = Vec::new();
    let fields = request.as_object().into_iter().flatten();
    for (name, value) in fields.filter(|(name, _)| !NOT_KEYS.contains(&name.as_str())) {
        if violations.len() == MOST_TOLD {
            violations.push("And more".to_owned());
            break;
        }
        let shown = one_line(&name[..name.floor_char_boundary(128)]);
        let path: KeyPath = match named(name) {
            Named::Key(path) => match path.parse() {
                Ok(path) => path,
                Err(error) => return Err(Error::new(ErrorKind::Failed, format!("{error}"))),
            },
            Named::Routes => {
                let rule = "is changed by cluster_set_routes and cluster_delete_routes";
                violations.push(format!("'{shown}' {rule}"));
                continue;
            }
            Named::Plugins => {
                let rule = "is changed in the file alone: see harper-host plugin --help";
                violations.push(format!("'{shown}' {rule}"));
                continue;
            }
            Named::Unknown(Some(meant)) => {
                violations
                    .push(format!("'{shown}' is not a configuration key: did you mean '{meant}'?"));
                continue;
            }
            Named::Unknown(None) => {
                violations.push(format!("'{shown}' is not a configuration key"));
                continue;
            }
        };
        if let Some(variable) = file.variable(&path) {
            violations.push(format!("'{shown}' is set by the environment variable {variable}"));
        }
        if changes.iter().any(|change| change.path == path) {
            violations.push(format!("'{shown}' is given twice"));
        }
        changes.push(Change { path, value: value.clone() });
    }
    if let Err(error) = Settings::read(&document(&changes)) {
        violations.extend(error.violations().map(str::to_owned));
    }
    if violations.is_empty() && changes.is_empty() {
        violations.push("At least one configuration key is required".into());
    }
    if violations.is_empty() {
        return Ok(changes);
    }
    Err(Error::new(ErrorKind::Invalid, joined(&violations)))
}

/// A document that holds the changes alone.
fn document(changes: &[Change]) -> Value {
    let mut document = json!({});
    put(&mut document, changes);
    document
}

fn put(document: &mut Value, changes: &[Change]) {
    for Change { path, value } in changes {
        let mut place = &mut *document;
        for key in path.keys() {
            if !place.is_object() {
                *place = json!({});
            }
            place = &mut place[key];
        }
        *place = value.clone();
    }
}
