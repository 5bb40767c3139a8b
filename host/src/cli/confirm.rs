//! The question before something is taken away.

use std::io::{Write, stderr};

use anyhow::{Result, bail};
use harper_host::Operation;
use serde_json::{Map, Value, json};

use super::output::yaml;
use super::target::Target;
use super::{Usage, prompt};

/// Asks whoever is at the terminal, and is an error unless they say yes. Without a terminal there
/// is nobody to ask. `warning` is fit for it.
pub(super) fn confirm(
    operation: &Operation,
    warning: &str,
    request: &Map<String, Value>,
    target: &Target,
) -> Result<()> {
    let name = &operation.name;
    if !prompt::can_ask() {
        return Err(Usage(format!(
            "{name} takes something away, and there is no terminal to ask on: call it with --force"
        ))
        .into());
    }
    let mut stderr = stderr();
    writeln!(stderr, "{warning}")?;
    writeln!(stderr, "To {target} goes:")?;
    for line in yaml(shown(request).to_string().as_bytes())?.lines() {
        writeln!(stderr, "  {line}")?;
    }
    match prompt::ask("Go on? [y/N] ")?.to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("nothing was sent"),
    }
}

/// The request without its secrets.
fn shown(request: &Map<String, Value>) -> Value {
    let mut request = request.clone();
    if let Some(password) = request.get_mut("password") {
        *password = json!("…");
    }
    Value::Object(request)
}
