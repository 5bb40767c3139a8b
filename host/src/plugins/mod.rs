//! Other people's plugins: which there are, what they may do, and what became of each.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `settings.rs` | `plugins` in the configuration file |
//! | `file.rs` | a component's file, and its hash |
//! | `description.rs` | what a component is, asks for and has, without a node |
//! | `error.rs` | why a plugin is not loaded |
//! | `registry.rs` | the plugins of a node, loaded and loaded again |
//!
//! A plugin is loaded only when its file has the hash that was granted, so that whoever changes the
//! file changes nothing of what runs. One that cannot be loaded keeps no node from starting: the
//! cluster does not go down for a third party's file. The log, `plugin_list` and the metrics tell of
//! it; `/ready` does not, because the node is ready for its own work.

mod description;
mod error;
mod file;
mod registry;
mod settings;

pub use description::{Description, Door, Offer};
pub use error::PluginError;
pub use file::{FileError, sha256};
pub use settings::{PluginSettings, grants_to_json, is_plugin_name};

pub(crate) use registry::{Plugins, Reloaded, Trust};
pub(crate) use settings::unknown_keys;
