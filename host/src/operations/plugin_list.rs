//! `plugin_list`: other people's plugins, and what became of each.

use std::sync::Weak;

use serde_json::{Value, json};

use super::plugin_reload::gone;
use crate::dispatch::Error;
use crate::plugins::Plugins;
use crate::runtime::Operation;

pub(super) fn operation() -> Operation {
    Operation::new("plugin_list", "List the plugins beside the host's own, loaded or not")
        .read_only()
        .with_schema(json!({
            "type": "object",
            "required": ["operation"],
            "properties": { "operation": { "const": "plugin_list" } },
            "examples": [{ "operation": "plugin_list" }],
        }))
}

pub(super) async fn perform(plugins: Weak<Plugins>) -> Result<Value, Error> {
    Ok(plugins.upgrade().ok_or_else(gone)?.shown().await)
}
