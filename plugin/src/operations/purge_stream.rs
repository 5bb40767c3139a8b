//! `purge_stream`: removes transactions from a table's stream of this node.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::ask::NOT_ENABLED;
use crate::capabilities::{Capabilities, Extent, JetStreamError};
use crate::manifest::own_name;
use crate::operation::{Error, Operation, Request};
use crate::subscriptions::{read_database, read_table};
use crate::validate::Violations;

pub(crate) const OPERATION: Operation = Operation {
    name: "purge_stream",
    super_user: true,
    changes: true,
    warning: Some("What is purged never gets to a node that has not read it yet."),
    help: "Purge the transactions of a table from its stream",
    schema: || {
        json!({
            "type": "object",
            "required": ["operation", "database", "table"],
            "properties": {
                "operation": { "const": OPERATION.name },
                "database": {
                    "type": "string",
                    "description": "The database of the table; `schema` means the same",
                },
                "schema": { "type": "string", "description": "The same as database" },
                "table": { "type": "string", "description": "The table that the stream is of" },
                "options": {
                    "type": "object",
                    "description": "What stays; without, nothing does",
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": false,
                    "properties": {
                        "keep": {
                            "type": "integer",
                            "minimum": 0,
                            "description": "So many of the newest messages stay",
                        },
                        "seq": {
                            "type": "integer",
                            "minimum": 1,
                            "description": "The messages from this sequence on stay",
                        },
                    },
                },
            },
            "examples": [{
                "operation": OPERATION.name,
                "database": "dev",
                "table": "dog",
                "options": { "keep": 100 },
            }],
        })
    },
};

/// How long this node's own server is waited for.
const TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) async fn handle(host: &impl Capabilities, request: &Request) -> Result<Value, Error> {
    let mut violations = Violations::default();
    if !request.contains_key("schema") && !request.contains_key("database") {
        violations.add("database", "is required");
    }
    let database = read_database(request, "", Some(""), &mut violations);
    let table = read_table(request, "", &mut violations);
    let extent = extent(request, &mut violations);
    violations.check()?;
    let (database, table) = (database.unwrap_or_default(), table.unwrap_or_default());

    let this = host.info();
    let domain = harper_wire::names::domain(own_name(&this)?);
    let tables = host.describe().await?;
    if !tables.iter().any(|one| one.database == database) {
        return Err(Error::Invalid(format!("database '{database}' does not exist")));
    }
    if !tables.iter().any(|one| one.database == database && one.name == table) {
        return Err(Error::Invalid(format!("Table '{database}.{table}' does not exist")));
    }
    let stream = harper_wire::names::stream(&database, &table);
    let purged = match host.purge(&domain, &stream, extent, TIMEOUT).await {
        Ok(purged) => purged,
        // Nobody has ever subscribed to it.
        Err(JetStreamError::NotFound) => 0,
        Err(JetStreamError::NotEnabled) => return Err(Error::Invalid(NOT_ENABLED.into())),
        Err(JetStreamError::Timeout) => {
            let text = "This node's server did not answer in time: the stream is purged or not";
            return Err(Error::Failed(text.into()));
        }
        Err(JetStreamError::Unavailable(text) | JetStreamError::Failed(text)) => {
            return Err(Error::Failed(text));
        }
    };
    Ok(json!({
        "message": format!("Successfully purged table '{database}.{table}'"),
        "purged": purged,
    }))
}

/// What stays. Everything goes only when nothing is said of it, and not by a slip.
fn extent(request: &Request, violations: &mut Violations) -> Extent {
    let options = match request.get("options") {
        None => return Extent::All,
        Some(options) => options.as_object().filter(|options| !options.is_empty()),
    };
    let Some(options) = options else {
        violations.add("options", "must be an object with keep or seq");
        return Extent::All;
    };
    for key in options.keys().filter(|key| !["keep", "seq"].contains(&key.as_str())) {
        violations.add(format_args!("options.{}", key.escape_debug()), "is not allowed");
    }
    if options.contains_key("keep") && options.contains_key("seq") {
        violations.add("options", "must not have both keep and seq");
    }
    let keep = integer(options, "keep", 0, violations).map(Extent::Keep);
    let seq = integer(options, "seq", 1, violations).map(Extent::Before);
    keep.or(seq).unwrap_or(Extent::All)
}

fn integer(
    options: &Map<String, Value>,
    key: &str,
    least: u64,
    violations: &mut Violations,
) -> Option<u64> {
    let value = options.get(key)?;
    let label = format_args!("options.{key}");
    // 100.0 is an integer in JSON.
    let whole = |float: f64| {
        let is_whole = float.fract() == 0.0 && (0.0..1e15).contains(&float);
        is_whole.then_some(float as u64)
    };
    let integer = value.as_u64().or_else(|| value.as_f64().and_then(whole));
    match integer {
        Some(integer) if integer >= least => Some(integer),
        _ => {
            let rule = format_args!("must be an integer greater than or equal to {least}");
            violations.add(label, rule);
            None
        }
    }
}
