//! `plugin_reload`: loads a plugin again, as its file and the configuration are now; one that is
//! configured no longer ends.

use std::sync::Weak;

use serde_json::{Value, json};

use super::request::Fields;
use crate::dispatch::{Error, ErrorKind};
use crate::plugins::{PluginError, Plugins, Reloaded};
use crate::runtime::Operation;

pub(super) fn operation() -> Operation {
    Operation::new("plugin_reload", "Load a plugin again, as it is granted now").with_schema(
        json!({
            "type": "object",
            "required": ["operation", "name"],
            "properties": {
                "operation": { "const": "plugin_reload" },
                "name": {
                    "type": "string",
                    "description": "Its name among plugins in harperdb-config.yaml",
                },
            },
            "examples": [{ "operation": "plugin_reload", "name": "cluster-health" }],
        }),
    )
}

pub(super) async fn perform(plugins: Weak<Plugins>, request: Value) -> Result<Value, Error> {
    let mut fields = Fields::of(request);
    let name = fields.required("name", |_| Ok::<_, &str>(()));
    fields.check()?;

    let plugins = plugins.upgrade().ok_or_else(gone)?;
    Ok(match plugins.reload(&name).await? {
        Reloaded::Loaded(loaded) => json!({
            "message": format!("plugin '{name}' successfully reloaded"),
            "sha256": loaded.sha256,
            "operations": loaded.operations,
        }),
        Reloaded::Ended => json!({
            "message": format!(
                "plugin '{name}' is among 'plugins' in harperdb-config.yaml no longer, and has ended"
            ),
            "operations": [],
        }),
    })
}

/// The host ends.
pub(super) fn gone() -> Error {
    Error::new(ErrorKind::Busy, "The host is about to end")
}

impl From<PluginError> for Error {
    fn from(error: PluginError) -> Self {
        let kind = match error {
            PluginError::Unknown(_) | PluginError::OfTheProgram(_) => ErrorKind::Invalid,
            PluginError::Lost => ErrorKind::Busy,
            _ => ErrorKind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}
