//! The node's configuration: the file `harperdb-config.yaml`, and what it means.

mod backup;
mod edit;
mod file;
mod first;
mod overrides;
mod settings;

pub use edit::EditError;
pub use file::{ConfigFile, FileError};
pub use first::create_if_missing;
pub use overrides::{OverrideError, Overrides};
pub use settings::{LogLevel, Settings, SettingsError};

/// The file's name in a node's folder.
pub const FILE_NAME: &str = "harperdb-config.yaml";
