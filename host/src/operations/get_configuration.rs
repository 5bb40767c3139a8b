//! `get_configuration`: the file's values with those of the environment over them, and the defaults
//! of what neither says.

use serde_json::{Value, json};

use crate::capabilities::ConfigError;
use crate::config::ConfigFile;
use crate::dispatch::{Error, ErrorKind};
use crate::json::mask_secrets;
use crate::runtime::Operation;

pub(super) fn operation() -> Operation {
    Operation::new("get_configuration", "Show the configuration").read_only().with_schema(json!({
        "type": "object",
        "required": ["operation"],
        "properties": { "operation": { "const": "get_configuration" } },
        "examples": [{ "operation": "get_configuration" }],
    }))
}

pub(super) async fn perform(file: ConfigFile) -> Result<Value, Error> {
    let mut document = effective(file).await?;
    // The host's own keys hold no secret; the file may have keys of others.
    mask_secrets(&mut document);
    Ok(document)
}

/// The whole document, read off the runtime.
pub(super) async fn effective(file: ConfigFile) -> Result<Value, Error> {
    let read = tokio::task::spawn_blocking(move || file.effective()).await;
    let lost = |_| Error::new(ErrorKind::Failed, "The configuration file could not be handled");
    Ok(read.map_err(lost)?.map_err(ConfigError::from)?)
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        let kind = match error {
            ConfigError::Conflict => ErrorKind::Conflict,
            _ => ErrorKind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}
